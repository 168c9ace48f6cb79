"""Clients that no one here wrote get in through nginx, by what they were made for and nothing special."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from fhirclient.client import FHIRClient
from fhirclient.models.patient import Patient
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from facade.hapi import HAPIClient
from tests.facade.world import patient
from tests.servers.stack import Stack
from tests.smart_auth.product import command, known, new_user, walk

pytestmark = pytest.mark.server
REDIRECT = "http://127.0.0.1:9997/callback"


@pytest.fixture(scope="module")
def stack(servers: Stack) -> Stack:
    """The part of the product that a client meets, with a doctor."""
    stack = servers.need("redis", "hapi", "nginx", "facade")
    new_user(stack, "clients-doctor", "doctor", fhir_user="Practitioner/x")
    return stack


@pytest.fixture(scope="module")
async def stored(stack: Stack) -> str:
    """A Patient's id; the family name is the id of nobody else."""
    async with HAPIClient(stack.hapi_url, stack.secrets["hapi-facade"]) as hapi:
        made = await hapi.create(patient(f"Strangers{time.time_ns()}^Demo"))
    return str(made["id"])


@pytest.fixture(scope="module")
def smart(stack: Stack) -> dict[str, Any]:
    """What every client reads first."""
    answer = httpx.get(f"{stack.base_url}/fhir/.well-known/smart-configuration")
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="module")
def server_app(stack: Stack) -> dict[str, str]:
    """A confidential app with the right to introspect, registered by the operator's command."""
    made: dict[str, str] = command(
        stack, "clients", "add", "--name", "Server app", "--kind", "confidential", "--trusted", "--json",
        "--redirect-uri", REDIRECT, "--scope", "openid fhirUser offline_access user/*.rs introspection",
    )  # fmt: skip
    known(stack, made["client_id"], REDIRECT)
    return made


@pytest.fixture
def authlib_client(server_app: dict[str, str]) -> Iterator[OAuth2Session]:
    """authlib's own OAuth client."""
    with OAuth2Session(
        server_app["client_id"],
        server_app["client_secret"],
        redirect_uri=REDIRECT,
        scope="openid fhirUser offline_access user/Patient.rs",
        code_challenge_method="S256",
    ) as client:
        yield client


def authorize(
    client: OAuth2Session, stack: Stack, smart: dict[str, Any], verifier: str
) -> tuple[str, dict[str, Any]]:
    """The whole code flow by authlib; the callback and the token."""
    address, state = client.create_authorization_url(
        smart["authorization_endpoint"], code_verifier=verifier, aud=f"{stack.base_url}/fhir"
    )
    called = walk(stack.base_url, address, REDIRECT, "clients-doctor")
    token = client.fetch_token(
        smart["token_endpoint"], authorization_response=called, state=state, code_verifier=verifier
    )
    return called, dict(token)


def test_authlibs_client_walks_the_code_flow_refreshes_and_revokes(
    stack: Stack, smart: dict[str, Any], authlib_client: OAuth2Session, stored: str
) -> None:
    called, token = authorize(authlib_client, stack, smart, "v" * 64)
    answer = parse_qs(urlsplit(called).query)
    assert answer["iss"] == [smart["issuer"]], "RFC 9207: whom the answer comes from"
    assert token["token_type"] == "Bearer"
    read = authlib_client.get(f"{stack.base_url}/fhir/Patient/{stored}")
    assert read.json()["id"] == stored
    fresh = authlib_client.refresh_token(smart["token_endpoint"], refresh_token=token["refresh_token"])
    assert fresh["refresh_token"] != token["refresh_token"]
    told = authlib_client.introspect_token(
        smart["introspection_endpoint"], token=fresh["access_token"]
    ).json()
    assert (told["active"], told["fhirUser"]) == (True, f"{stack.base_url}/fhir/Practitioner/x")
    person = authlib_client.get(smart["userinfo_endpoint"]).json()
    assert person["sub"] == told["sub"]
    # The first refresh token again: whoever has it is not to be trusted, and the family ends.
    with pytest.raises(OAuthError, match="invalid_grant"):
        authlib_client.refresh_token(smart["token_endpoint"], refresh_token=token["refresh_token"])
    with pytest.raises(OAuthError, match="invalid_grant"):
        authlib_client.refresh_token(smart["token_endpoint"], refresh_token=fresh["refresh_token"])


def test_a_stolen_code_ends_what_it_was_first_used_for(
    stack: Stack, smart: dict[str, Any], authlib_client: OAuth2Session, stored: str
) -> None:
    called, token = authorize(authlib_client, stack, smart, "w" * 64)
    with pytest.raises(OAuthError, match="invalid_grant"):
        authlib_client.fetch_token(
            smart["token_endpoint"], authorization_response=called, code_verifier="w" * 64
        )
    with pytest.raises(OAuthError, match="invalid_grant"):
        authlib_client.refresh_token(smart["token_endpoint"], refresh_token=token["refresh_token"])


@pytest.fixture(scope="module")
def back_end(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """A back end of this hospital with one key of each kind that SMART names."""
    keys: dict[str, Any] = {
        "RS384": RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS384"}),
        "ES384": ECKey.generate_key("P-384", {"kid": "ec", "alg": "ES384"}),
    }
    path = tmp_path_factory.mktemp("jwks") / "jwks.json"
    path.write_text(json.dumps({"keys": [key.as_dict(private=False) for key in keys.values()]}))
    made = command(
        stack, "clients", "add", "--name", "Back end", "--kind", "backend", "--role", "doctor", "--json",
        "--scope", "system/*.rs", "--jwks", str(path),
    )  # fmt: skip
    return made["client_id"], keys


def assertion(client_id: str, keys: dict[str, Any], algorithm: str, token_url: str) -> str:
    """A signed assertion, as SMART's guide describes it."""
    now = int(time.time())
    header = {"alg": algorithm, "kid": keys[algorithm].kid, "typ": "JWT"}
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": token_url,
        "iat": now,
        "exp": now + 240,
        "jti": str(time.time_ns()),
    }
    return jwt.encode(header, claims, keys[algorithm], algorithms=[algorithm])


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_the_python_fhirclient_gets_in_as_a_back_end_and_searches(
    stack: Stack,
    smart: dict[str, Any],
    back_end: tuple[str, dict[str, Any]],
    stored: str,
    algorithm: str,
) -> None:
    client_id, keys = back_end
    client = FHIRClient(
        {
            "app_id": client_id,
            "api_base": f"{stack.base_url}/fhir",
            "scope": "system/Patient.rs",
            "jwt_token": assertion(client_id, keys, algorithm, smart["token_endpoint"]),
        }
    )
    client.wants_patient = False
    client.prepare()
    client.authorize()
    assert client.ready
    found = Patient.where({"_id": stored}).perform_resources_iter(client.server)
    assert [one.id for one in found] == [stored]
    assert client.server.auth.expires_at is not None


def test_the_python_fhirclient_walks_the_code_flow_with_what_it_reads_in_the_statement(
    stack: Stack, server_app: dict[str, str], stored: str
) -> None:
    client = FHIRClient(
        {
            "app_id": server_app["client_id"],
            "app_secret": server_app["client_secret"],
            "api_base": f"{stack.base_url}/fhir",
            "redirect_uri": REDIRECT,
            "scope": "openid fhirUser user/Patient.rs",
        }
    )
    client.wants_patient = False
    client.prepare()
    address = client.authorize_url
    # Without the challenge the same request is refused: PKCE is required of everybody.
    plain = address.partition("&code_challenge=")[0]
    refused = httpx.get(plain)
    assert "error=invalid_request" in refused.headers["location"]
    client.handle_callback(walk(stack.base_url, address, REDIRECT, "clients-doctor"))
    assert Patient.read(stored, client.server).id == stored


def test_every_address_of_the_smart_configuration_answers(smart: dict[str, Any], stack: Stack) -> None:
    for name, address in smart.items():
        if name.endswith(("_endpoint", "_uri", "_bundle")):
            assert httpx.get(address, follow_redirects=False).status_code in (200, 302, 303, 400, 401, 405), (
                name
            )
    statement = httpx.get(f"{stack.base_url}/fhir/metadata").json()
    uris = statement["rest"][0]["security"]["extension"][0]["extension"]
    assert {row["valueUri"] for row in uris} <= set(map(str, smart.values()))


def test_keys_are_published_by_the_running_product_without_a_restart(stack: Stack, tmp_path: Path) -> None:
    def kids() -> set[str]:
        return {key["kid"] for key in httpx.get(f"{stack.base_url}/auth/jwks").json()["keys"]}

    before = kids()
    rows = command(stack, "keys", "list", "--json")
    if all(row["state"] != "published" for row in rows):
        command(stack, "keys", "rotate")
    listed = {row["kid"] for row in command(stack, "keys", "list", "--json") if row["state"] != "retired"}
    deadline = time.monotonic() + 10
    while kids() != listed and time.monotonic() < deadline:
        continue
    assert kids() == listed
    assert before <= listed
    assert all(path.stat().st_mode & 0o077 == 0 for path in (stack.var / "keys").iterdir())
