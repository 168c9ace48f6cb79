"""No log of the running product holds what opens anything: password, code, token, assertion, link."""

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from smart_auth import users
from smart_auth.assertion import ASSERTION_TYPE
from smart_auth.database import Database
from tests.servers.stack import Stack
from tests.smart_auth.product import PASSWORD, command, known, new_user, walk

pytestmark = pytest.mark.server
REDIRECT = "http://127.0.0.1:9994/callback"
SCOPE = "openid offline_access user/*.rs"


@pytest.fixture(scope="module")
def stack(servers: Stack) -> Stack:
    return servers.need("redis", "hapi", "nginx", "facade")


def test_no_log_holds_what_opens_anything(stack: Stack) -> None:
    name = f"log-{secrets.token_hex(4)}"
    new_user(stack, name, "nurse", fhir_user="Practitioner/n")
    command(
        stack, "clients", "add", "--name", name, "--client-id", name, "--trusted",
        "--redirect-uri", REDIRECT, "--scope", SCOPE, "--json",
    )  # fmt: skip
    known(stack, name, REDIRECT)
    opens = _walk(stack, name) | _wrong_tries(stack, name) | _links(stack) | {PASSWORD}
    written = b""
    for path in (stack.var / "log").rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert not [value for value in opens if value.encode() in text], path.name
            written += text
    assert b"facade" in written or b"uvicorn" in written


def _walk(stack: Stack, name: str) -> set[str]:
    """The code flow, a refresh, a second use of everything, and the tokens where they do not belong."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    question = {
        "response_type": "code",
        "client_id": name,
        "redirect_uri": REDIRECT,
        "scope": SCOPE,
        "state": "s",
        "aud": f"{stack.base_url}/fhir",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    address = f"{stack.base_url}/auth/authorize?{urlencode(question)}"
    code = parse_qs(urlsplit(walk(stack.base_url, address, REDIRECT, name)).query)["code"][0]
    with httpx.Client(base_url=stack.base_url, timeout=60) as app:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        form |= {"client_id": name, "code_verifier": verifier}
        token = app.post("/auth/token", data=form).json()
        access, refresh = token["access_token"], token["refresh_token"]
        again = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": name}
        newer = app.post("/auth/token", data=again).json()
        bearer = {"Authorization": f"Bearer {access}"}
        assert app.get("/fhir/Patient?_count=1", headers=bearer).status_code == 200
        app.get(f"/fhir/Patient?access_token={access}")
        app.get(f"/auth/logout?id_token_hint={token['id_token']}")
        app.post("/auth/introspect", data={"token": access, "client_id": name})
        assert app.post("/auth/token", data=again).json()["error"] == "invalid_grant"
        assert app.post("/auth/token", data=form).json()["error"] == "invalid_grant"
        app.post("/auth/revoke", data={"token": newer["refresh_token"], "client_id": name})
    values = (code, verifier, access, refresh, newer["access_token"], newer["refresh_token"])
    # Of a token its signature: header and claims of two tokens may share a beginning.
    return {value.rpartition(".")[2] for value in (*values, token["id_token"])}


def _wrong_tries(stack: Stack, name: str) -> set[str]:
    """What somebody types or sends by mistake is a secret as well."""
    password, code, assertion, basic = (secrets.token_hex(16) for _ in range(4))
    with httpx.Client(base_url=stack.base_url, timeout=60, headers={"Origin": stack.base_url}) as browser:
        browser.post("/auth/login", json={"username": name, "password": password})
        # A name that was typed may be the password.
        browser.post("/auth/login", json={"username": password, "password": name})
        browser.post("/auth/login/code", json={"code": code})
        browser.post("/auth/token", auth=(name, basic), data={"grant_type": "client_credentials"})
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": f"e30.e30.{assertion}"}
        browser.post("/auth/token", data={"grant_type": "client_credentials", **form})
        browser.get("/fhir/Patient", headers={"Authorization": f"Bearer e30.e30.{assertion}"})
    return {password, code, assertion, basic}


def _links(stack: Stack) -> set[str]:
    """An invitation is opened and used."""
    database = Database(f"sqlite:///{stack.var}/smart_auth.db")
    invitation = users.create(database, f"log-{secrets.token_hex(4)}", "nurse")
    database.close()
    path = f"{stack.base_url}/auth/invite/{invitation.code}"
    assert httpx.get(path, timeout=60).status_code == 200
    httpx.post(path, data={"password": PASSWORD, "password_again": PASSWORD}, timeout=60)
    return {invitation.code}
