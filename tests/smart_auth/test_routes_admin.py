"""Administration of users: who may, what comes out, and that nobody raises themselves."""

import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from smart_auth import routes, users
from smart_auth.errors import InvalidTokenError
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    ORIGIN,
    PASSWORD,
    SCOPE,
    Flow,
    Recorder,
    bearer,
    csrf_of,
    log_in,
    new_browser,
    new_user,
)
from tests.smart_auth.test_second_factor import with_second_factor

pytestmark = pytest.mark.server


async def test_an_administrator_invites_a_person_who_then_logs_in(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, admin_id: str, recorder: Recorder
) -> None:
    given = {"username": "demo-rad", "role": "rib", "fhirUser": "Practitioner/r1"}
    answer = await admin.post("/auth/admin/users", json=given)
    assert answer.status_code == 201
    body = answer.json()
    assert recorder.kinds()[-2:] == [("user-created", "success"), ("role-granted", "success")]
    assert recorder.events[-1][1] == admin_id
    assert recorder.details[-1] == {"target": body["id"], "role": "rib"}
    path = body["invitation"].removeprefix("http://localhost:8080")
    page = await browser.get(path)
    form = {"csrf": csrf_of(page), "password": PASSWORD, "password_again": PASSWORD}
    assert (await browser.post(path, data=form)).status_code == 200
    auth.feed.refresh()
    assert (await log_in(browser, "demo-rad")).status_code == 303
    browser.cookies.clear()
    listed = (await admin.get("/auth/admin/users")).json()["users"]
    assert {user["username"]: user["status"] for user in listed} == {
        "demo-admin": "active",
        "demo-rad": "active",
    }
    assert "password" not in str(listed)


@pytest.mark.parametrize(
    "given",
    [
        {"username": "demo-x", "role": "king"},
        {"username": "demo-x"},
        {"role": "doctor"},
        {"username": "x y", "role": "doctor"},
        {"username": "demo-admin", "role": "doctor"},
        {"username": "demo-x", "role": "patient"},
        {"username": "demo-x", "role": "patient", "fhirUser": "Practitioner/1"},
        {"username": "demo-x", "role": "doctor", "fhirUser": "Patient/1"},
        {"username": "demo-x", "role": "external"},
        {"username": "demo-x", "role": "doctor", "organization": "partner"},
        {"username": "demo-x", "role": "doctor", "fhirUser": "https://x/Practitioner/1"},
    ],
)
async def test_a_user_that_breaks_a_rule_is_not_made(
    browser: httpx.AsyncClient, admin: httpx.AsyncClient, given: dict[str, str]
) -> None:
    answer = await admin.post("/auth/admin/users", json=given)
    assert answer.status_code == 422


async def test_only_an_administrator_in_their_own_session_may(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    given = {"username": "demo-x", "role": "admin"}
    assert (await browser.post("/auth/admin/users", json=given)).status_code == 401
    new_user(auth, "demo-doctor", "doctor")
    async with new_browser(app) as doctor:
        await log_in(doctor, "demo-doctor")
        csrf = (await doctor.get("/auth/me")).json()["csrf"]
        own = {"Origin": ORIGIN, "X-CSRF-Token": csrf}
        assert (await doctor.post("/auth/admin/users", json=given, headers=own)).status_code == 403
        assert (await doctor.get("/auth/admin/users")).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": csrf}):
        assert (await admin.post("/auth/admin/users", json=given, headers=headers)).status_code == 403, (
            headers
        )
    assert users.find(auth.database, "demo-x") is None


@pytest.mark.parametrize("role", ["doctor", "admin"])
async def test_a_token_of_an_app_administers_nothing(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, role: str
) -> None:
    """Not even of the hospital's own app in an administrator's hands, whatever its scope."""
    if role != "admin":
        new_user(auth, f"demo-{role}", role)
    token = await Flow(browser, parameters={"scope": SCOPE}, patient="p1").tokens(f"demo-{role}")
    browser.cookies.clear()
    named = {"user": users.find(auth.database, "demo-admin").id, "client": "demo-app"}  # type: ignore[union-attr]
    tried = 0
    for method, path, _ in routes.ROUTES:
        if path.startswith("/admin/"):
            where = f"/auth{path.format(**named)}"
            answer = await browser.request(method, where, json={}, headers=bearer(token))
            assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope"), where
            tried += 1
    assert tried == 13


async def test_nobody_changes_their_own_role_or_state(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, admin_id: str
) -> None:
    path = f"/auth/admin/users/{admin_id}"
    for change in ({"role": "doctor"}, {"disabled": True}, {"disabled": False}):
        answer = await admin.patch(path, json=change)
        assert answer.status_code == 422, change


async def test_a_changed_role_ends_every_token(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    flow = Flow(browser)
    token = await flow.tokens("demo-nurse")
    browser.cookies.clear()
    path = f"/auth/admin/users/{user_id}"
    answer = await admin.patch(path, json={"role": "lab"})
    assert answer.json()["role"] == "lab"
    assert recorder.kinds()[-1] == ("role-granted", "success")
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["access_token"])
    assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_reset_ends_password_and_tokens_and_gives_a_new_link(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    token = await Flow(browser).tokens("demo-nurse")
    browser.cookies.clear()
    answer = await admin.post(f"/auth/admin/users/{user_id}/reset")
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["access_token"])
    assert (await log_in(browser, "demo-nurse")).status_code == 401
    path = answer.json()["invitation"].removeprefix("http://localhost:8080")
    form = {
        "csrf": csrf_of(await browser.get(path)),
        "password": PASSWORD + "!",
        "password_again": PASSWORD + "!",
    }
    assert (await browser.post(path, data=form)).status_code == 200
    auth.feed.refresh()
    assert (await log_in(browser, "demo-nurse", PASSWORD + "!")).status_code == 303


async def test_a_disabled_user_is_enabled_again_by_an_administrator(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    path = f"/auth/admin/users/{user_id}"
    assert (await admin.patch(path, json={"disabled": True})).json()["status"] == "disabled"
    assert (await log_in(browser, "demo-nurse")).status_code == 401
    assert (await admin.patch(path, json={"disabled": False})).json()["status"] == "active"
    auth.feed.refresh()
    assert (await log_in(browser, "demo-nurse")).status_code == 303
    browser.cookies.clear()
    for wrong in ({}, {"password": "x"}, {"fhirUser": "Practitioner/1"}, {"disabled": True, "x": 1}):
        assert (await admin.patch(path, json=wrong)).status_code == 400


async def test_nobody_resets_their_own_password_or_second_factor_by_the_api(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, admin_id: str
) -> None:
    path = f"/auth/admin/users/{admin_id}"
    assert (await admin.post(f"{path}/reset")).status_code == 422
    assert (await admin.delete(f"{path}/second-factor")).status_code == 422
    assert (await admin.get(path)).status_code == 200


async def test_a_refused_or_unrecordable_grant_is_no_grant(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, admin_id: str, recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    path = f"/auth/admin/users/{user_id}"
    recorder.events.clear()
    assert (await admin.patch(path, json={"role": "king"})).status_code == 422
    own = f"/auth/admin/users/{admin_id}"
    assert (await admin.patch(own, json={"role": "doctor"})).status_code == 422
    assert recorder.events == []

    def full(*_: Any) -> None:
        raise OSError("no space left")

    auth._on_event = full
    with pytest.raises(OSError, match="no space"):
        await admin.patch(path, json={"role": "admin"})
    user = users.get(auth.database, user_id)
    assert user is not None
    assert user.role == "nurse"


async def test_an_administrator_sees_a_lock_and_a_second_factor_and_takes_both_away(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, recorder: Recorder
) -> None:
    user_id, phone, _ = with_second_factor(auth, "demo-nurse", "nurse")
    now = [time.time()]
    auth.throttle._clock = lambda: now[0]
    for _ in range(10):
        assert auth.throttle.attempt("demo-nurse", None) == 0
        now[0] += 1000
    now[0] -= 1000
    path = f"/auth/admin/users/{user_id}"
    seen = (await admin.get(path)).json()
    assert (seen["secondFactor"], seen["failures"]) == (True, 10)
    assert seen["lockedUntil"] == int(now[0]) + 900
    assert (await log_in(browser, "demo-nurse")).status_code == 429
    unlocked = (await admin.post(f"{path}/unlock")).json()
    assert (unlocked["failures"], unlocked["lockedUntil"]) == (0, None)
    assert (await log_in(browser, "demo-nurse")).headers["location"] == "/auth/login/code"
    browser.cookies.clear()
    reset = await admin.delete(f"{path}/second-factor")
    assert reset.json()["secondFactor"] is False
    assert recorder.kinds()[-1] == ("second-factor-off", "success")
    assert recorder.details[-1] == {"target": user_id, "role": "nurse", "change": "reset"}
    assert (await log_in(browser, "demo-nurse")).headers["location"] == "/"
    assert phone.generator.secret not in str(seen)


async def test_an_administrator_sees_and_ends_the_sessions_of_a_user(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    path = f"/auth/admin/users/{user_id}/sessions"
    async with new_browser(app) as nurse:
        token = await Flow(nurse).tokens("demo-nurse")
        (seen,) = (await admin.get(path)).json()["sessions"]
        assert seen["address"] == "192.0.2.1"
        assert (await browser.delete(path, headers=bearer(token))).status_code == 403
        assert (await admin.delete(path)).status_code == 204
        auth.feed.refresh()
        assert (await nurse.get("/auth/me")).status_code == 401
        with pytest.raises(InvalidTokenError):
            auth.verifier.verify(token["access_token"])
    assert (await admin.get(path)).json()["sessions"] == []
    unknown = path.replace(user_id, "unknown")
    assert (await admin.delete(unknown)).status_code == 422
