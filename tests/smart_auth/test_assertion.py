"""Back ends: signed assertions, and everything that is wrong with one."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from smart_auth import clients
from smart_auth.assertion import ASSERTION_TYPE
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import ORIGIN, signed_with_public_key

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
