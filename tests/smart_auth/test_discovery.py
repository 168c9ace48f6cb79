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
    assert "introspection_endpoint" not in body
    assert "registration_endpoint" not in body


def test_launch_and_its_context_are_declared(tmp_path: Path) -> None:
    body = discovery.smart_configuration(settings_for(tmp_path, "unix:///unused"))
    launches = {"launch-ehr", "launch-standalone", "context-banner", "context-style"}
    pickers = {f"context-{way}-{what}" for way in ("ehr", "standalone") for what in ("patient", "encounter")}
    assert launches | pickers <= set(body["capabilities"])
    assert {"launch", "launch/patient", "launch/encounter"} <= set(body["scopes_supported"])
