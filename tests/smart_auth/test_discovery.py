"""What discovery declares is there."""

from pathlib import Path

from fhir.resources.R4B.bundle import Bundle

from smart_auth import brands, discovery, routes
from tests.smart_auth.flow import ORIGIN, settings_for

PATHS = {path for _, path, _ in routes.ROUTES}


def test_every_declared_endpoint_has_a_route(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "unix:///unused")
    for body in (discovery.smart_configuration(settings), discovery.openid_configuration(settings)):
        found = {value for name, value in body.items() if name.endswith(("_endpoint", "_uri", "_bundle"))}
        assert {value.removeprefix(f"{ORIGIN}/auth") for value in found} <= PATHS
        assert body["issuer"] == f"{ORIGIN}/auth"
        assert body["code_challenge_methods_supported"] == ["S256"]


def test_launch_and_its_context_are_declared(tmp_path: Path) -> None:
    body = discovery.smart_configuration(settings_for(tmp_path, "unix:///unused"))
    launches = {"launch-ehr", "launch-standalone", "context-banner", "context-style"}
    pickers = {f"context-{way}-{what}" for way in ("ehr", "standalone") for what in ("patient", "encounter")}
    assert launches | pickers <= set(body["capabilities"])
    assert {"launch", "launch/patient", "launch/encounter"} <= set(body["scopes_supported"])


def test_both_documents_say_the_same(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "unix:///unused")
    smart, openid = discovery.smart_configuration(settings), discovery.openid_configuration(settings)
    assert {name: openid[name] for name in smart.keys() & openid.keys()} == {
        name: smart[name] for name in smart.keys() & openid.keys()
    }


def test_the_brand_of_the_configuration_is_in_the_bundle_once(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, "unix:///unused", organization_name="Demo", organization_url="https://www.demo.example/x"
    )
    smart = discovery.smart_configuration(settings)
    identifier = smart["user_access_brand_identifier"]
    assert identifier == {"system": "urn:ietf:rfc:3986", "value": "https://demo.example"}
    bundle = brands.bundle(settings, "2026-01-01T00:00:00+00:00")
    Bundle.model_validate(bundle)
    brand, endpoint = (entry["resource"] for entry in bundle["entry"])
    assert brand["identifier"] == [identifier]
    assert brand["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]
    assert endpoint["address"] == settings.audience
