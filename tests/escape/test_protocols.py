"""Way out: what is not FHIR. WebSocket addresses, tickets, login, documents, health."""

import pytest

from tests.escape.probe import Probe, distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_AUTH = (
    "/auth/users",
    "/auth/admin/users",
    "/auth/admin/users?fhirUser=Patient/<foreign.patient>",
    "/auth/admin/users/<foreign.patient>",
    "/auth/admin/clients",
    "/auth/introspect",
    "/auth/userinfo",
    "/auth/sessions",
    "/auth/account",
    "/auth/setup",
    "/auth/invite/<foreign.patient>",
    "/auth/report-key",
    "/auth/jwks",
    "/auth/authorize?client_id=<foreign.patient>",
    "/auth/ticket",
    "/auth/launch?patient=<foreign.patient>",
    "/auth/patients?name=<foreign.marker>",
    "/auth/pick?patient=<foreign.patient>",
)
_OTHER = (
    "/ws/notifications",
    "/ws/notifications?ticket=<foreign.patient>",
    "/ws/notifications?patient=<foreign.patient>",
    "/ws/<foreign.patient>",
    "/docs",
    "/docs/<foreign.patient>",
    "/openapi.json",
    "/health/live",
    "/health/ready",
    "/health/<foreign.patient>",
    "/health/ready?patient=<foreign.patient>",
    "/metrics",
    "/debug",
    "/",
    "/<foreign.patient>",
    "/var/demo.json",
    "/.git/config",
    "/hooks/imaging-study",
    "/jobs",
)

PROBES = distinct(
    [
        *get(*(path for path in _AUTH)),
        *get(*(path for path in _OTHER if not path.startswith("/health/re"))),
        *get(
            "/ws/notifications?ticket=<foreign.patient>",
            "/ws/notifications",
            "/fhir/websocket",
            headers=_UPGRADE,
        ),
        Probe(
            "POST",
            "/auth/introspect",
            "token=<foreign.patient>",
            {"Content-Type": "application/x-www-form-urlencoded"},
        ),
        Probe(
            "POST",
            "/auth/token",
            "grant_type=refresh_token&refresh_token=<foreign.patient>",
            {"Content-Type": "application/x-www-form-urlencoded"},
        ),
        Probe(
            "POST", "/auth/tickets", {"patient": "<foreign.patient>"}, {"Content-Type": "application/json"}
        ),
        Probe(
            "POST",
            "/auth/admin/users",
            {"username": "x<foreign.marker>", "role": "admin"},
            {"Content-Type": "application/json"},
        ),
    ]
)


async def test_nothing_beside_fhir_tells(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
