"""What discovery declares is there."""

from pathlib import Path

from smart_auth import discovery, routes
from tests.smart_auth.flow import ORIGIN, settings_for

PATHS = {path for _, path, _ in routes.ROUTES}


def test_every_declared_endpoint_has_a_route(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "unix:///unused")
    for body in (discovery.smart_configuration(settings), discovery.openid_configuration(settings)):
        found = {value for name, value in body.items() if name.endswith(("_endpoint", "_uri"))}
        assert {value.removeprefix(f"{ORIGIN}/auth") for value in found} <= PATHS
        assert body["issuer"] == f"{ORIGIN}/auth"
        assert body["code_challenge_methods_supported"] == ["S256"]


def test_what_does_not_work_yet_is_not_declared(tmp_path: Path) -> None:
    body = discovery.smart_configuration(settings_for(tmp_path, "unix:///unused"))
    for capability in ("launch-ehr", "context-standalone-patient", "context-ehr-patient"):
        assert capability not in body["capabilities"]
    assert "introspection_endpoint" not in body
    assert "registration_endpoint" not in body
