"""Back ends: signed assertions, and everything that is wrong with one."""

import asyncio
import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import update
from starlette.applications import Starlette
from starlette.routing import Mount

from smart_auth import clients, routes
from smart_auth.assertion import ASSERTION_TYPE
from smart_auth.errors import RuleError
from smart_auth.models import Client
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import ORIGIN, new_browser, settings_for, signed_with_public_key

pytestmark = pytest.mark.server
TOKEN_URL = f"{ORIGIN}/auth/token"


@pytest.fixture(scope="module")
def key() -> ECKey:
    """The back end's key."""
    return ECKey.generate_key("P-384", {"kid": "k1", "alg": "ES384"})


@pytest.fixture
def back_end(auth: SMARTAuth, key: ECKey, redis: Any) -> str:
    """A registered back end of a partner hospital."""
    clients.register(
        auth.database,
        "partner-backend",
        kind="backend",
        name="Partner",
        scope="system/Patient.rs system/ServiceRequest.crus",
        jwks={"keys": [key.as_dict(private=False)]},
        role="external",
        organization="partner",
    )
    auth.feed.refresh()
    return "partner-backend"


@pytest.fixture
async def old_memory(redis: Any) -> None:
    """A Redis that has its content for an hour."""
    await redis.set("smart_auth:born", int(time.time()) - 3600)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of a good assertion."""
    now = int(time.time())
    good = {
        "iss": "partner-backend",
        "sub": "partner-backend",
        "aud": TOKEN_URL,
        "iat": now,
        "exp": now + 300,
        "jti": f"j{time.time_ns()}",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def sign(key: Any, payload: dict[str, Any], alg: str = "ES384", **header: Any) -> str:
    """The assertion."""
    return jwt.encode({"alg": alg, "kid": "k1", **header}, payload, key, algorithms=[alg])


async def post(browser: httpx.AsyncClient, assertion: str, scope: str = "system/*.rs") -> httpx.Response:
    """The token request."""
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return await browser.post("/auth/token", data=form)


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_a_back_end_gets_a_short_token_for_its_role_and_organization(
    auth: SMARTAuth, browser: httpx.AsyncClient, key: ECKey
) -> None:
    answer = await post(browser, sign(key, claims()), "system/*.rs user/Patient.rs")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["expires_in"] == 300
    assert body["scope"] == "system/Patient.rs system/ServiceRequest.rs"
    assert "refresh_token" not in body
    principal = auth.verifier.verify(body["access_token"])
    assert (principal.user_id, principal.role, principal.organization) == (None, "external", "partner")


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_an_assertion_is_good_once(browser: httpx.AsyncClient, key: ECKey) -> None:
    assertion = sign(key, claims())
    assert (await post(browser, assertion)).status_code == 200
    again = await post(browser, assertion)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


@pytest.mark.usefixtures("back_end")
async def test_after_a_loss_of_redis_older_assertions_are_refused(
    browser: httpx.AsyncClient, key: ECKey, redis: Any
) -> None:
    await redis.set("smart_auth:born", int(time.time()) - 3600)
    assertion = sign(key, claims())
    assert (await post(browser, assertion)).status_code == 200
    await redis.flushdb()
    assert (await post(browser, assertion)).status_code == 401
    assert (await post(browser, sign(key, claims(iat=None)))).status_code == 401
    later = claims(iat=int(time.time()) + 2)
    assert (await post(browser, sign(key, later))).status_code == 200


@pytest.mark.usefixtures("auth")
async def test_a_redis_that_came_back_empty_is_noticed_before_a_back_end_asks(redis: Any) -> None:
    await redis.flushdb()
    async with asyncio.timeout(10):
        while await redis.get("smart_auth:born") is None:  # noqa: ASYNC110  Redis tells nobody
            await asyncio.sleep(0.05)


WRONG: list[Callable[[], dict[str, Any]]] = [
    lambda: claims(iss="another"),
    lambda: claims(sub="another"),
    lambda: claims(aud=ORIGIN),
    lambda: claims(aud=None),
    lambda: claims(exp=int(time.time()) + 400),
    lambda: claims(exp=int(time.time()) - 60),
    lambda: claims(exp=None),
    lambda: claims(exp="soon"),
    lambda: claims(jti=None),
    lambda: claims(jti=""),
    lambda: claims(jti=7),
    lambda: claims(iat=int(time.time()) + 100),
    lambda: claims(nbf=int(time.time()) + 100),
]


@pytest.mark.usefixtures("back_end", "old_memory")
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_claim_is_refused(
    browser: httpx.AsyncClient, key: ECKey, wrong: Callable[[], dict[str, Any]]
) -> None:
    answer = await post(browser, sign(key, wrong()))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_only_a_registered_key_of_the_right_kind_signs(browser: httpx.AsyncClient, key: ECKey) -> None:
    stranger = ECKey.generate_key("P-384", {"kid": "k1"})
    small = ECKey.generate_key("P-256", {"kid": "k1"})
    rsa = RSAKey.generate_key(2048, {"kid": "k1"})
    wrong = [
        sign(stranger, claims()),
        sign(small, claims(), "ES256"),
        sign(rsa, claims(), "RS384"),
        signed_with_public_key({"alg": "HS384", "kid": "k1"}, claims(), key.as_pem(private=False), "sha384"),
        sign(key, claims(), kid="unknown"),
        sign(key, claims(), jku="https://evil.example/jwks"),
        sign(key, claims(), jwk=stranger.as_dict(private=False)),
        sign(key, claims()).rpartition(".")[0] + ".",
        "eyJhbGciOiJub25lIn0." + sign(key, claims()).split(".")[1] + ".",
        "not.a.token",
        "",
        "x" * 9000,
    ]
    for assertion in wrong:
        assert (await post(browser, assertion)).status_code in (400, 401), assertion[:40]
    assert (await post(browser, sign(key, claims()))).status_code == 200


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_a_back_end_gets_system_scopes_within_registration_and_role_only(
    browser: httpx.AsyncClient, key: ECKey
) -> None:
    for scope in ("user/Patient.rs", "system/Patient.cud", "system/Task.rs", "openid", ""):
        answer = await post(browser, sign(key, claims()), scope)
        assert answer.json()["error"] == "invalid_scope", scope


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_a_disabled_back_end_gets_nothing(
    auth: SMARTAuth, browser: httpx.AsyncClient, key: ECKey
) -> None:
    clients.set_disabled(auth.database, "partner-backend", disabled=True)
    assert (await post(browser, sign(key, claims()))).status_code == 401


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_rotated_keys_replace_the_old_ones(
    auth: SMARTAuth, browser: httpx.AsyncClient, key: ECKey
) -> None:
    new = RSAKey.generate_key(2048, {"kid": "k2", "alg": "RS384"})
    clients.rotate(auth.database, "partner-backend", jwks={"keys": [new.as_dict(private=False)]})
    assert (await post(browser, sign(key, claims()))).status_code == 401
    assert (await post(browser, sign(new, claims(), "RS384", kid="k2"))).status_code == 200


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_a_back_end_has_no_code_flow(browser: httpx.AsyncClient, key: ECKey) -> None:
    page = await browser.get(
        "/auth/authorize", params={"client_id": "partner-backend", "response_type": "code"}
    )
    assert page.status_code == 400
    form = {
        "grant_type": "authorization_code",
        "code": "x",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": sign(key, claims()),
    }
    assert (await browser.post("/auth/token", data=form)).json()["error"] == "unsupported_grant_type"


async def test_keys_behind_an_address_prove_a_back_end(
    auth: SMARTAuth, key: ECKey, old_memory: None, tmp_path: Path, redis: Any, keys_dir: Path
) -> None:
    """A real server of keys on this machine, which only a setting of tests allows."""
    rsa = RSAKey.generate_key(2048, {"kid": "k1", "alg": "RS384"})
    served = json.dumps({"keys": [rsa.as_dict(private=False)]}).encode()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Host"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(served)

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_port}/keys.json"
        for allowed in (True, False):
            folder = tmp_path / str(allowed)
            folder.mkdir()
            settings = settings_for(folder, "unix:///unused", keys_dir=keys_dir, jwks_loopback=allowed)
            other = SMARTAuth(settings, redis=redis)
            await other.start()
            clients.register(
                other.database,
                "partner-backend",
                kind="backend",
                name="Partner",
                scope="system/Patient.rs",
                jwks_uri=address,
                role="doctor",
                http_keys=True,
            )
            other.feed.refresh()
            async with new_browser(Starlette(routes=[Mount("/auth", routes=routes.build(other))])) as client:
                answers = [await post(client, sign(rsa, claims(), "RS384")) for _ in range(3)]
                forged = await post(client, sign(key, claims()))
            await other.stop()
            assert [one.status_code for one in answers] == [200 if allowed else 401] * 3
            assert forged.status_code == 401, "a key that is not at the address"
        server.shutdown()
    assert asked == [f"localhost:{server.server_port}"], (
        "asked once, by its name, and never without the setting"
    )


async def test_both_secrets_are_good_until_the_overlap_ends(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    def new(client_id: str) -> str:
        made = clients.register(
            auth.database,
            client_id,
            kind="confidential",
            name="A",
            scope="openid",
            redirect_uris=["https://app.example/cb"],
        )
        assert made is not None
        return made

    async def accepted(client_id: str, secret: str) -> bool:
        form = {"token": "unknown"}
        answer = await browser.post("/auth/revoke", data=form, auth=httpx.BasicAuth(client_id, secret))
        return answer.status_code == 200

    first = new("server-1")
    second = clients.rotate(auth.database, "server-1", overlap_s=3600)
    assert second is not None
    assert await accepted("server-1", first)
    assert await accepted("server-1", second)
    with auth.database.write() as session:
        session.execute(update(Client).values(previous_secret_until=int(time.time()) - 1))
    assert not await accepted("server-1", first)
    assert await accepted("server-1", second)
    third = clients.rotate(auth.database, "server-1")
    assert third is not None
    assert not await accepted("server-1", second), "without an overlap the old one ends at once"
    with pytest.raises(RuleError):
        clients.rotate(auth.database, "server-1", overlap_s=31 * 86400)
