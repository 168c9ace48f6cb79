"""The code flow through its pages, and every way that must not lead to a token."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette

from smart_auth import clients
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
    assert "management_endpoint" not in body, "SMART's word, not OpenID's"
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
