"""Way out: headers. Overrides, forwarding, preferences, other tokens beside the own one."""

import pytest

from tests.escape.probe import Probe, distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_HEADERS = (
    {"X-HTTP-Method-Override": "DELETE"},
    {"X-HTTP-Method": "PUT"},
    {"X-Method-Override": "PATCH"},
    {"X-Original-URL": "/fhir/Patient/<foreign.patient>"},
    {"X-Rewrite-URL": "/fhir/Patient/<foreign.patient>"},
    {"X-Accel-Redirect": "/internal-hapi/Patient/<foreign.patient>"},
    {"X-Sendfile": "/etc/passwd"},
    {"X-Forwarded-Host": "example.org"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Prefix": "/fhir/Patient/<foreign.patient>"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1;host=example.org"},
    {"Host": "127.0.0.1:8090"},
    {"Host": "example.org"},
    {"X-NeuroNova-Secret": "x"},
    {"X-Request-Id": "<foreign.patient>"},
    {"X-Cascade": "delete"},
    {"X-Retry-On-Version-Conflict": "retry; max-retries=10"},
    {"X-Upsert-Extistence-Check": "disabled"},
    {"X-Rewrite-History": "true"},
    {"X-Security-Context": "<foreign.patient>"},
    {"X-Patient-Id": "<foreign.patient>"},
    {"X-Tenant": "DEFAULT"},
    {"Cache-Control": "no-cache"},
    {"Cache-Control": "no-store, max-results=1000"},
    {"Cache-Control": "only-if-cached"},
    {"Prefer": "return=representation"},
    {"Prefer": "return=minimal"},
    {"Prefer": "return=OperationOutcome"},
    {"Prefer": "handling=lenient"},
    {"Prefer": "handling=strict"},
    {"Prefer": "respond-async"},
    {"Accept": "application/fhir+xml"},
    {"Accept": "text/html"},
    {"Accept": "application/fhir+ndjson"},
    {"Accept": "*/*"},
    {"Accept": "application/fhir+json; fhirVersion=1.0"},
    {"Accept-Language": "ko"},
    {"Accept-Language": "x"},
    {"Accept-Encoding": "gzip"},
    {"Range": "bytes=0-10"},
    {"Origin": "https://example.org"},
    {"Origin": "null"},
    {"Referer": "http://localhost:8080/fhir/Patient/<foreign.patient>"},
    {"Cookie": "viewer=x"},
    {"Expect": "100-continue"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Access-Control-Request-Method": "GET"},
    {"Idempotency-Key": "<foreign.patient>"},
)
_ASKED = ("Patient/<foreign.patient>", "Observation?subject=Patient/<foreign.patient>")
_METHODS = ("OPTIONS", "TRACE", "CONNECT", "PROPFIND", "SEARCH", "get", "LINK", "PURGE", "FOO")
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_TOKENS = (
    {"Authorization": "Bearer x"},
    {"Authorization": "Basic YWRtaW46YWRtaW4="},
    {"Authorization": ""},
    {"Authorization": "bearer"},
    {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
)

PROBES = distinct(
    [
        *(Probe("GET", path, headers=headers) for path in _ASKED for headers in _HEADERS),
        *(Probe("GET", "Patient/<foreign.patient>", headers=headers) for headers in _TOKENS),
        *(Probe(method, path) for method in _METHODS for path in _ASKED),
        *(Probe(method, "Patient/<foreign.patient>") for method in ("HEAD", "OPTIONS")),
        *(Probe("HEAD", f"{type_}?_id=<foreign.patient>") for type_ in ("Patient", "Observation", "Group")),
        *(
            Probe("HEAD", path)
            for path in ("Patient?name=<foreign.marker>", "Patient/<foreign.patient>/_history")
        ),
        *get("Patient/<foreign.patient>?access_token=x", "Patient/<foreign.patient>?_method=DELETE"),
        *get("Patient/<foreign.patient>?ticket=x", "Patient/<foreign.patient>?patient=<own.patient>"),
        Probe("POST", "Patient/<foreign.patient>", "_method=GET", _FORM),
        Probe("POST", "Patient/_search", "_id=<foreign.patient>", {"Content-Type": "text/plain"}),
        Probe(
            "POST", "Patient/_search", '{"_id": "<foreign.patient>"}', {"Content-Type": "application/json"}
        ),
        Probe("POST", "Patient/_search", "_id=<foreign.patient>", _FORM | {"Content-Encoding": "gzip"}),
        Probe("GET", "Patient/_search", "_id=<foreign.patient>", _FORM),
        Probe("GET", "Patient", "_id=<foreign.patient>", _FORM),
        *get(
            "metadata",
            "metadata?mode=full",
            "metadata?patient=<foreign.patient>",
            "metadata/<foreign.patient>",
        ),
        *get(".well-known/smart-configuration", ".well-known/smart-configuration/<foreign.patient>"),
    ]
)


async def test_no_header_opens_a_door(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
