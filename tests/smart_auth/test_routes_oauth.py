"""The code flow through its pages, and every way that must not lead to a token."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette

from smart_auth import clients, users
from smart_auth.errors import InvalidTokenError
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    AUDIENCE,
    ORIGIN,
    REDIRECT,
    SCOPE,
    Flow,
    Recorder,
    bearer,
    log_in,
    new_browser,
    new_user,
)

pytestmark = pytest.mark.server


async def test_the_code_flow_ends_with_a_token_for_the_person(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor", fhir_user="Practitioner/d1")
    flow = Flow(browser)
    answer = await flow.answer("demo-doctor")
    assert (answer["state"], answer["iss"]) == ("a-state", f"{ORIGIN}/auth")
    response = await flow.redeem(answer["code"])
    assert response.headers["cache-control"] == "no-store"
    token = response.json()
    principal = auth.verifier.verify(token["access_token"])
    assert (principal.user_id, principal.role, principal.fhir_user) == (
        user_id,
        "doctor",
        "Practitioner/d1",
    )
    assert principal.session is False
    assert token["expires_in"] == 3600
    # A doctor has no right to delete: the answer says what was granted, not what was asked.
    assert "user/Patient.crus" in token["scope"].split()
    assert "*" not in token["scope"]
    assert recorder.kinds()[-2:] == [("login", "success"), ("token", "success")]
    assert recorder.events[-1] == ("token", user_id, "demo-app", "success", "192.0.2.1")


async def test_the_id_token_names_the_person_for_this_app_only(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor", fhir_user="Practitioner/d1")
    token = await Flow(browser).tokens("demo-doctor")
    keys = KeySet.import_key_set((await browser.get("/auth/jwks")).json())
    read = jwt.decode(token["id_token"], keys, algorithms=["RS256"])
    claims = read.claims
    assert (claims["sub"], claims["aud"], claims["nonce"]) == (user_id, "demo-app", "a-nonce")
    assert claims["fhirUser"] == f"{AUDIENCE}/Practitioner/d1"
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["id_token"])


async def test_a_patient_gets_their_own_context(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-patient", "patient", fhir_user="Patient/p1")
    flow = Flow(browser, parameters={"scope": "launch/patient patient/*.rs user/*.cruds"})
    token = await flow.tokens("demo-patient")
    assert token["patient"] == "p1"
    assert "patient/Observation.rs" in token["scope"]
    assert "user/Patient.rs" in token["scope"]
    assert auth.verifier.verify(token["access_token"]).patient == "p1"


async def test_staff_choose_a_patient_for_patient_scopes(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-nurse", "nurse")
    flow = Flow(browser, parameters={"scope": "openid launch/patient patient/*.rs"}, patient="p1")
    token = await flow.tokens("demo-nurse")
    assert token["patient"] == "p1"
    assert "patient/Observation.rs" in token["scope"]
    assert auth.verifier.verify(token["access_token"]).patient == "p1"


async def test_a_scope_of_which_nothing_is_left_is_refused(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-nurse", "nurse")
    answer = await Flow(browser, parameters={"scope": "user/AuditEvent.rs"}).answer("demo-nurse")
    assert answer["error"] == "invalid_scope"


async def test_a_v1_scope_is_answered_in_its_own_words(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await Flow(browser, parameters={"scope": "user/Patient.read"}).tokens("demo-doctor")
    assert token["scope"] == "user/Patient.read"


async def test_a_second_app_needs_no_second_password(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await Flow(browser).tokens("demo-doctor")
    page = await Flow(browser).authorize()
    assert page.headers["location"].startswith(REDIRECT)


async def test_prompt_login_asks_for_the_password_again(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await Flow(browser).tokens("demo-doctor")
    page = await Flow(browser, parameters={"prompt": "login"}).authorize()
    assert page.headers["location"].startswith("/auth/login")
    answer = await Flow(browser, parameters={"prompt": "login"}).answer("demo-doctor")
    assert "code" in answer
    # The login that was there when the app asked is not good for it, however new.
    page = await Flow(browser, parameters={"prompt": "login"}).authorize()
    request_id = page.headers["location"].split("=")[1]
    page = await browser.get(f"/auth/continue?request={request_id}")
    assert page.headers["location"].startswith("/auth/login")


@pytest.mark.parametrize("asked", [{"prompt": "login"}, {"max_age": "60"}])
async def test_a_request_that_came_without_a_cookie_does_not_take_the_old_login(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    now = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(auth.sessions, "_clock", lambda: now)
    # A POST from the app's site: the browser keeps the cookie back, and brings it to the page after.
    kept, browser.cookies = browser.cookies, httpx.Cookies()
    answer = await browser.post("/auth/authorize", data=Flow(browser, parameters=asked).parameters)
    browser.cookies = kept
    request_id = answer.headers["location"].partition("request=")[2]
    path = f"/auth/continue?request={request_id}"
    assert (await browser.get(path)).headers["location"].startswith("/auth/login")
    await log_in(browser, "demo-doctor")
    # Reading and choosing may take longer than the login may be old.
    monkeypatch.setattr(time, "time", lambda: now + 100)
    assert (await browser.get(path)).headers["location"].startswith(f"{REDIRECT}?code=")


async def test_prompt_none_without_a_login_is_an_error_for_the_app(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    page = await Flow(browser, parameters={"prompt": "none"}).authorize()
    assert "error=login_required" in page.headers["location"]


@pytest.mark.parametrize(
    "redirect",
    [
        "http://127.0.0.1:9999/other",
        "http://127.0.0.1:9999/callback/",
        "http://127.0.0.1:9999/callback?x=1",
        "http://127.0.0.1:9999/callback#x",
        "http://127.0.0.1:9999/CALLBACK",
        "http://127.0.0.1:9999/%63allback",
        "http://user@127.0.0.1:9999/callback",
        "http://127.0.0.1.example.com/callback",
        "http://127.0.0.1:9999@example.com/callback",
        "https://127.0.0.1:9999/callback",
        "http://localhost:9999/callback",
        "http://127.0.0.1:9999/callback\n",
        "javascript:alert(1)",
        "",
    ],
)
async def test_a_redirect_address_that_is_not_registered_gets_a_page_and_no_redirect(
    browser: httpx.AsyncClient, redirect: str
) -> None:
    page = await Flow(browser, parameters={"redirect_uri": redirect}).authorize()
    assert page.status_code == 400
    assert "location" not in page.headers


async def test_a_loopback_address_may_have_any_port(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser, parameters={"redirect_uri": "http://127.0.0.1:51234/callback"})
    assert "access_token" in await flow.tokens("demo-doctor")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"state": ""}, "invalid_request"),
        ({"aud": ""}, "invalid_request"),
        ({"aud": "http://localhost:8081/fhir"}, "invalid_request"),
        ({"resource": "http://localhost:8081/fhir"}, "invalid_target"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"request": "x"}, "request_not_supported"),
        ({"response_mode": "fragment"}, "invalid_request"),
    ],
)
async def test_a_wrong_request_is_told_to_the_app(
    browser: httpx.AsyncClient, change: dict[str, str], error: str
) -> None:
    page = await Flow(browser, parameters=change).authorize()
    assert page.headers["location"].startswith(f"{REDIRECT}?error={error}")
    assert "iss=" in page.headers["location"]


async def test_a_parameter_given_twice_is_refused(browser: httpx.AsyncClient) -> None:
    flow = Flow(browser)
    twice = [*flow.parameters.items(), ("scope", "user/*.cruds")]
    page = await browser.get("/auth/authorize", params=twice)
    assert "error=invalid_request" in page.headers["location"]
    twice = [*flow.parameters.items(), ("redirect_uri", REDIRECT)]
    assert (await browser.get("/auth/authorize", params=twice)).status_code == 400


async def test_an_authorization_request_by_post_works(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    page = await browser.post("/auth/authorize", data=Flow(browser).parameters)
    assert page.headers["location"].startswith("/auth/login?request=")


async def test_a_code_is_good_once_and_its_second_use_ends_the_tokens(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    code = (await flow.answer("demo-doctor"))["code"]
    token = (await flow.redeem(code)).json()
    auth.verifier.verify(token["access_token"])
    again = await flow.redeem(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert recorder.events[-1][:2] == ("reuse", user_id)
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["access_token"])
    assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"


async def test_of_two_uses_at_the_same_time_none_keeps_a_token(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    code = (await flow.answer("demo-doctor"))["code"]
    answers = await asyncio.gather(*(flow.redeem(code) for _ in range(4)))
    auth.feed.refresh()
    for answer in answers:
        if answer.status_code == 200:
            with pytest.raises(InvalidTokenError):
                auth.verifier.verify(answer.json()["access_token"])


async def test_a_code_is_bound_to_client_address_and_verifier(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database, "other-app", kind="public", name="O", scope=SCOPE, redirect_uris=[REDIRECT]
    )
    wrong: list[dict[str, str]] = [
        {"client_id": "other-app"},
        {"redirect_uri": "http://127.0.0.1:1/callback"},
        {"redirect_uri": ""},
        {"code_verifier": "x" * 43},
        {"code_verifier": ""},
        {"code_verifier": "short"},
    ]
    for change in wrong:
        flow = Flow(browser)
        code = (await flow.answer("demo-doctor"))["code"]
        response = await flow.redeem(code, **change)
        assert response.json()["error"] == "invalid_grant", change
        # A code that was tried is spent.
        assert (await flow.redeem(code)).json()["error"] == "invalid_grant"


async def test_a_code_ends_after_a_minute(auth: SMARTAuth, browser: httpx.AsyncClient, redis: Any) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await Flow(browser).answer("demo-doctor")
    keys = [key async for key in redis.scan_iter("smart_auth:code:*")]
    assert len(keys) == 1
    assert 0 < await redis.ttl(keys[0]) <= 60


async def test_loss_of_redis_ends_codes_and_sessions(
    auth: SMARTAuth, browser: httpx.AsyncClient, redis: Any
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    code = (await flow.answer("demo-doctor"))["code"]
    await redis.flushdb()
    assert (await flow.redeem(code)).json()["error"] == "invalid_grant"
    assert (await flow.authorize()).headers["location"].startswith("/auth/login")


async def test_a_refresh_token_is_replaced_and_a_used_one_ends_the_family(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    first = await flow.tokens("demo-doctor")
    second = (await flow.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    auth.verifier.verify(second["access_token"])
    assert (await flow.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert recorder.events[-1][0] == "reuse"
    assert (await flow.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(second["access_token"])


async def test_a_refresh_may_ask_for_less_and_never_for_more(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser, parameters={"scope": "offline_access user/Patient.rs user/Task.rs"})
    token = await flow.tokens("demo-doctor")
    more = await flow.refresh(token["refresh_token"], scope="user/Patient.cruds")
    assert more.json()["error"] == "invalid_scope"
    less = (await flow.refresh(token["refresh_token"], scope="user/Patient.r offline_access")).json()
    assert set(less["scope"].split()) == {"user/Patient.r", "offline_access"}


async def test_a_refresh_token_of_another_client_is_refused_and_goes_on(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database, "other-app", kind="public", name="O", scope=SCOPE, redirect_uris=[REDIRECT]
    )
    flow = Flow(browser)
    token = await flow.tokens("demo-doctor")
    stolen = await flow.refresh(token["refresh_token"], client_id="other-app")
    assert stolen.json()["error"] == "invalid_grant"
    assert "access_token" in (await flow.refresh(token["refresh_token"])).json()


async def test_without_offline_or_online_access_there_is_no_refresh_token(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await Flow(browser, parameters={"scope": "user/Patient.rs"}).tokens("demo-doctor")
    assert "refresh_token" not in token


async def test_online_access_ends_with_the_login(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database,
        "online-app",
        kind="public",
        name="O",
        scope="online_access user/*.rs",
        redirect_uris=[REDIRECT],
        trusted=True,
    )
    flow = Flow(browser, "online-app", parameters={"scope": "online_access user/Patient.rs"})
    token = await flow.tokens("demo-doctor")
    token = (await flow.refresh(token["refresh_token"])).json()
    session = await auth.authenticator.session(f"{auth.viewer_cookie}={browser.cookies[auth.viewer_cookie]}")
    await auth.sessions.end(session)
    assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_disabled_user_or_client_soon_has_no_rights(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    token = await flow.tokens("demo-doctor")
    users.set_disabled(auth.database, user_id, disabled=True, actor=None)
    for _ in range(120):  # a second on a quiet machine
        await asyncio.sleep(0.025)
        if not _is_valid(auth, token):
            break
    assert not _is_valid(auth, token)
    assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"
    users.set_disabled(auth.database, user_id, disabled=False, actor=None)
    auth.feed.refresh()
    assert not _is_valid(auth, token)
    token = await flow.tokens("demo-doctor")
    clients.set_disabled(auth.database, "demo-app", disabled=True)
    auth.feed.refresh()
    assert not _is_valid(auth, token)
    assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_client"


async def test_revoking_ends_an_access_token_or_the_whole_family(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    token = await flow.tokens("demo-doctor")
    form = {"client_id": "demo-app", "token": token["access_token"]}
    assert (await browser.post("/auth/revoke", data=form)).status_code == 200
    auth.feed.refresh()
    assert not _is_valid(auth, token)
    token = (await flow.refresh(token["refresh_token"])).json()
    form["token"] = token["refresh_token"]
    assert (await browser.post("/auth/revoke", data=form)).status_code == 200
    auth.feed.refresh()
    assert not _is_valid(auth, token)
    form["token"] = "never issued"
    assert (await browser.post("/auth/revoke", data=form)).status_code == 200


async def test_another_client_cannot_revoke(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database, "other-app", kind="public", name="O", scope=SCOPE, redirect_uris=[REDIRECT]
    )
    token = await Flow(browser).tokens("demo-doctor")
    for value in (token["access_token"], token["refresh_token"]):
        await browser.post("/auth/revoke", data={"client_id": "other-app", "token": value})
    auth.feed.refresh()
    assert _is_valid(auth, token)


async def test_a_confidential_client_needs_its_secret(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    secret = clients.register(
        auth.database,
        "server-app",
        kind="confidential",
        name="S",
        scope=SCOPE,
        redirect_uris=[REDIRECT],
        trusted=True,
    )
    assert secret is not None
    for change in ({}, {"client_secret": "wrong"}):
        flow = Flow(browser, "server-app")
        code = (await flow.answer("demo-doctor"))["code"]
        response = await flow.redeem(code, **change)
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    flow = Flow(browser, "server-app")
    code = (await flow.answer("demo-doctor"))["code"]
    assert (await flow.redeem(code, client_secret=secret)).status_code == 200
    code = (await flow.answer("demo-doctor"))["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": flow.verifier,
    }
    both = await browser.post(
        "/auth/token", data=form | {"client_secret": secret}, auth=("server-app", secret)
    )
    assert both.json()["error"] == "invalid_request"
    assert (await browser.post("/auth/token", data=form, auth=("server-app", secret))).status_code == 200
    new = clients.rotate(auth.database, "server-app")
    assert new not in (None, secret)


async def test_the_token_endpoint_refuses_what_it_does_not_know(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    form = {"client_id": "demo-app", "grant_type": "password", "username": "a", "password": "b"}
    assert (await browser.post("/auth/token", data=form)).json()["error"] == "unsupported_grant_type"
    form["grant_type"] = "client_credentials"
    assert (await browser.post("/auth/token", data=form)).json()["error"] == "unauthorized_client"
    assert (await browser.post("/auth/token", json=form)).json()["error"] == "invalid_request"
    twice = "client_id=demo-app&client_id=demo-app"
    answer = await browser.post(
        "/auth/token", content=twice, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.json()["error"] == "invalid_request"
    long = await browser.post("/auth/token", data={"client_id": "x" * 70000})
    assert long.status_code == 413


async def test_discovery_names_this_server_and_only_what_works(browser: httpx.AsyncClient) -> None:
    body = (await browser.get("/auth/.well-known/openid-configuration")).json()
    assert body["issuer"] == f"{ORIGIN}/auth"
    assert body["code_challenge_methods_supported"] == ["S256"]
    assert body["response_types_supported"] == ["code"]
    keys = (await browser.get("/auth/jwks")).json()["keys"]
    assert {key["alg"] for key in keys} == {"ES256", "RS256"}
    assert not any("d" in key or "p" in key for key in keys)
    report = (await browser.get("/auth/report-key")).json()["keys"]
    assert {key["kid"] for key in report}.isdisjoint({key["kid"] for key in keys})


async def test_an_event_that_cannot_be_recorded_gives_no_token(
    auth: SMARTAuth, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_user(auth, "demo-doctor", "doctor")

    def full(*_: Any) -> None:
        raise OSError("no space left")

    async with new_browser(app) as browser:
        monkeypatch.setattr(auth, "_on_event", full)
        with pytest.raises(OSError, match="no space"):
            await log_in(browser, "demo-doctor")
        assert auth.viewer_cookie not in browser.cookies


async def test_authorization_header_of_a_token_works_for_me(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await Flow(browser).tokens("demo-doctor")
    browser.cookies.clear()
    body = (await browser.get("/auth/me", headers=bearer(token))).json()
    assert (body["role"], body["username"]) == ("doctor", "demo-doctor")
    assert body["permissions"]["Task"]["operations"] == ["$review"]
    assert "csrf" not in json.dumps(body)


def _is_valid(auth: SMARTAuth, token: dict[str, Any]) -> bool:
    try:
        auth.verifier.verify(token["access_token"])
    except InvalidTokenError:
        return False
    return True


async def test_max_age_asks_for_the_password_again_when_the_login_is_old(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await Flow(browser).tokens("demo-doctor")
    flow = Flow(browser, parameters={"max_age": "300"})
    assert (await flow.authorize()).headers["location"].startswith(REDIRECT)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 301)
    assert (await flow.authorize()).headers["location"].startswith("/auth/login")


async def test_refusals_are_events_too(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    await browser.post("/auth/token", data={"client_id": "unknown", "grant_type": "authorization_code"})
    await browser.get("/auth/authorize", params={"client_id": "unknown"})
    await Flow(browser, parameters={"aud": "x"}).authorize()
    await browser.get("/auth/me", headers={"Authorization": "Bearer x"})
    await browser.get("/auth/admin/users")
    assert recorder.kinds() == [
        ("refused", "failure"),
        ("refused", "failure"),
        ("authorize", "failure"),
        ("refused", "failure"),
        ("refused", "failure"),
    ]
    assert {event[4] for event in recorder.events} == {"192.0.2.1"}


async def test_a_token_for_another_resource_is_not_given(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor", fhir_user="Practitioner/d1")
    flow = Flow(browser, parameters={"resource": AUDIENCE})
    answer = await flow.answer("demo-doctor")
    refused = await flow.redeem(answer["code"], resource="http://localhost:8081/fhir")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    assert (await flow.redeem(answer["code"], resource=AUDIENCE)).status_code == 200
