"""Pages of other origins through nginx: headers come once, also where nginx carries the answer."""

import secrets

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from facade.hapi import HAPIClient
from tests.facade.world import patient
from tests.servers.stack import Stack, wait_for
from tests.smart_auth.product import command, known, new_user, walk

pytestmark = pytest.mark.server
REDIRECT = "http://127.0.0.1:9996/callback"
ORIGIN, EVIL = "https://page.example", "https://evil.example"
ALLOW = "access-control-allow-origin"


@pytest.fixture(scope="module")
def stack(servers: Stack) -> Stack:
    return servers.need("redis", "hapi", "nginx", "facade")


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    """A browser app that registered itself at /auth/register, was approved, and got a token."""
    new_user(stack, "page-doctor", "doctor", fhir_user="Practitioner/x")
    metadata = {
        "client_name": "Page",
        "token_endpoint_auth_method": "none",
        "redirect_uris": [REDIRECT],
        "cors_origins": [ORIGIN],
        "scope": "openid user/*.rs",
    }
    answer = httpx.post(f"{stack.base_url}/auth/register", json=metadata)
    assert answer.status_code == 201, answer.text
    client_id = answer.json()["client_id"]
    verifier = secrets.token_urlsafe(48)
    question = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT,
        "scope": "openid user/Patient.rs",
        "state": "s",
        "aud": f"{stack.base_url}/fhir",
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    address = httpx.URL(f"{stack.base_url}/auth/authorize", params=question)
    assert httpx.get(address).status_code == 400, "a pending client is nobody"
    command(stack, "clients", "approve", client_id)
    known(stack, client_id, REDIRECT)
    called = httpx.URL(walk(stack.base_url, str(address), REDIRECT, "page-doctor"))
    form = {
        "grant_type": "authorization_code",
        "code": called.params["code"],
        "redirect_uri": REDIRECT,
        "client_id": client_id,
        "code_verifier": verifier,
    }
    redeemed = httpx.post(f"{stack.base_url}/auth/token", data=form, headers={"Origin": ORIGIN})
    assert redeemed.headers.get_list(ALLOW) == [ORIGIN]
    return str(redeemed.json()["access_token"])


@pytest.fixture(scope="module")
async def stored(stack: Stack) -> str:
    async with HAPIClient(stack.hapi_url, stack.secrets["hapi-facade"]) as hapi:
        return str((await hapi.create(patient("Demo^Page")))["id"])


def test_a_page_reads_what_nginx_carries_and_every_header_comes_once(
    stack: Stack, token: str, stored: str
) -> None:
    for path, status in ((f"Patient/{stored}", 200), ("Patient?_count=1", 200), ("Patient/none", 404)):
        headers = {"Origin": ORIGIN, "Authorization": f"Bearer {token}"}
        answer = wait_for(
            lambda path=path, headers=headers: httpx.get(f"{stack.base_url}/fhir/{path}", headers=headers),
            "an answer",
        )
        assert answer.status_code == status, path
        assert answer.headers.get_list(ALLOW) == [ORIGIN], path
        assert "ETag" in answer.headers["access-control-expose-headers"], path
        assert "Origin" in answer.headers["vary"], path
        assert "access-control-allow-credentials" not in answer.headers, path
        other = httpx.get(f"{stack.base_url}/fhir/{path}", headers=headers | {"Origin": EVIL})
        assert (other.status_code, other.headers.get_list(ALLOW)) == (status, []), path


def test_preflights_pass_nginx(stack: Stack, token: str) -> None:
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    for path in ("/fhir/Patient/x", "/auth/token", "/auth/userinfo"):
        ours = httpx.options(stack.base_url + path, headers=asked | {"Origin": ORIGIN})
        assert (ours.status_code, ours.headers.get_list(ALLOW)) == (204, [ORIGIN]), path
        theirs = httpx.options(stack.base_url + path, headers=asked | {"Origin": EVIL})
        assert theirs.headers.get_list(ALLOW) == [], path
    for path in ("/fhir/metadata", "/auth/jwks", "/auth/user-access-brands"):
        assert httpx.get(stack.base_url + path, headers={"Origin": EVIL}).headers.get_list(ALLOW) == ["*"], (
            path
        )
