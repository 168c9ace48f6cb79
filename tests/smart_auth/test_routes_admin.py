"""Administration of users: who may, what comes out, and that nobody raises themselves."""

import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from smart_auth import clients, users
from smart_auth.errors import InvalidTokenError
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    PASSWORD,
    REDIRECT,
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


@pytest.fixture
async def admin(auth: SMARTAuth, browser: httpx.AsyncClient) -> dict[str, Any]:
    """An administrator's token, and the administrator's id under `id`."""
    user_id = new_user(auth, "demo-admin", "admin")
    token = await Flow(browser).tokens("demo-admin")
    browser.cookies.clear()
    return token | {"id": user_id}


async def test_an_administrator_invites_a_person_who_then_logs_in(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any], recorder: Recorder
) -> None:
    given = {"username": "demo-rad", "role": "rib", "fhirUser": "Practitioner/r1"}
    answer = await browser.post("/auth/admin/users", json=given, headers=bearer(admin))
    assert answer.status_code == 201
    body = answer.json()
    assert recorder.kinds()[-2:] == [("user-created", "success"), ("role-granted", "success")]
    assert recorder.events[-1][1] == admin["id"]
    assert recorder.details[-1] == {"target": body["id"], "role": "rib"}
    path = body["invitation"].removeprefix("http://localhost:8080")
    page = await browser.get(path)
    form = {"csrf": csrf_of(page), "password": PASSWORD, "password_again": PASSWORD}
    assert (await browser.post(path, data=form)).status_code == 200
    auth.feed.refresh()
    assert (await log_in(browser, "demo-rad")).status_code == 303
    browser.cookies.clear()
    listed = (await browser.get("/auth/admin/users", headers=bearer(admin))).json()["users"]
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
    browser: httpx.AsyncClient, admin: dict[str, Any], given: dict[str, str]
) -> None:
    answer = await browser.post("/auth/admin/users", json=given, headers=bearer(admin))
    assert answer.status_code == 422


async def test_only_an_administrator_with_the_hospitals_own_app_may(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any]
) -> None:
    given = {"username": "demo-x", "role": "admin"}
    assert (await browser.post("/auth/admin/users", json=given)).status_code == 401
    new_user(auth, "demo-doctor", "doctor")
    doctor = await Flow(browser).tokens("demo-doctor")
    browser.cookies.clear()
    for token in (doctor,):
        assert (await browser.post("/auth/admin/users", json=given, headers=bearer(token))).status_code == 403
        assert (await browser.get("/auth/admin/users", headers=bearer(token))).status_code == 403
    clients.register(
        auth.database,
        "other-app",
        kind="public",
        name="O",
        scope=SCOPE,
        redirect_uris=[REDIRECT],
        trusted=True,
    )
    auth.feed.refresh()
    token = await Flow(browser, "other-app").tokens("demo-admin")
    with auth.database.write() as session:
        client = session.get(clients.Client, "other-app")
        assert client is not None
        client.trusted = False
    assert (await browser.get("/auth/admin/users", headers=bearer(token))).status_code == 403


async def test_nobody_changes_their_own_role_or_state(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any]
) -> None:
    path = f"/auth/admin/users/{admin['id']}"
    for change in ({"role": "doctor"}, {"disabled": True}, {"disabled": False}):
        answer = await browser.patch(path, json=change, headers=bearer(admin))
        assert answer.status_code == 422, change


async def test_a_changed_role_ends_every_token(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any], recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    flow = Flow(browser)
    token = await flow.tokens("demo-nurse")
    browser.cookies.clear()
    path = f"/auth/admin/users/{user_id}"
    answer = await browser.patch(path, json={"role": "lab"}, headers=bearer(admin))
    assert answer.json()["role"] == "lab"
    assert recorder.kinds()[-1] == ("role-granted", "success")
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["access_token"])
    assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_reset_ends_password_and_tokens_and_gives_a_new_link(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any]
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    token = await Flow(browser).tokens("demo-nurse")
    browser.cookies.clear()
    answer = await browser.post(f"/auth/admin/users/{user_id}/reset", headers=bearer(admin))
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
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any]
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    path = f"/auth/admin/users/{user_id}"
    assert (await browser.patch(path, json={"disabled": True}, headers=bearer(admin))).json()[
        "status"
    ] == "disabled"
    assert (await log_in(browser, "demo-nurse")).status_code == 401
    assert (await browser.patch(path, json={"disabled": False}, headers=bearer(admin))).json()[
        "status"
    ] == "active"
    auth.feed.refresh()
    assert (await log_in(browser, "demo-nurse")).status_code == 303
    browser.cookies.clear()
    for wrong in ({}, {"password": "x"}, {"fhirUser": "Practitioner/1"}, {"disabled": True, "x": 1}):
        assert (await browser.patch(path, json=wrong, headers=bearer(admin))).status_code == 400


async def test_nobody_resets_their_own_password_or_second_factor_by_the_api(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any]
) -> None:
    path = f"/auth/admin/users/{admin['id']}"
    assert (await browser.post(f"{path}/reset", headers=bearer(admin))).status_code == 422
    assert (await browser.delete(f"{path}/second-factor", headers=bearer(admin))).status_code == 422
    assert (await browser.get(path, headers=bearer(admin))).status_code == 200


async def test_a_refused_or_unrecordable_grant_is_no_grant(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any], recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    path = f"/auth/admin/users/{user_id}"
    recorder.events.clear()
    assert (await browser.patch(path, json={"role": "king"}, headers=bearer(admin))).status_code == 422
    own = f"/auth/admin/users/{admin['id']}"
    assert (await browser.patch(own, json={"role": "doctor"}, headers=bearer(admin))).status_code == 422
    assert recorder.events == []

    def full(*_: Any) -> None:
        raise OSError("no space left")

    auth._on_event = full
    with pytest.raises(OSError, match="no space"):
        await browser.patch(path, json={"role": "admin"}, headers=bearer(admin))
    user = users.get(auth.database, user_id)
    assert user is not None
    assert user.role == "nurse"


async def test_an_administrator_sees_a_lock_and_a_second_factor_and_takes_both_away(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: dict[str, Any], recorder: Recorder
) -> None:
    user_id, phone, _ = with_second_factor(auth, "demo-nurse", "nurse")
    now = [time.time()]
    auth.throttle._clock = lambda: now[0]
    for _ in range(10):
        assert auth.throttle.attempt("demo-nurse", None) == 0
        now[0] += 1000
    now[0] -= 1000
    path = f"/auth/admin/users/{user_id}"
    seen = (await browser.get(path, headers=bearer(admin))).json()
    assert (seen["secondFactor"], seen["failures"]) == (True, 10)
    assert seen["lockedUntil"] == int(now[0]) + 900
    assert (await log_in(browser, "demo-nurse")).status_code == 429
    unlocked = (await browser.post(f"{path}/unlock", headers=bearer(admin))).json()
    assert (unlocked["failures"], unlocked["lockedUntil"]) == (0, None)
    assert (await log_in(browser, "demo-nurse")).headers["location"] == "/auth/login/code"
    browser.cookies.clear()
    reset = await browser.delete(f"{path}/second-factor", headers=bearer(admin))
    assert reset.json()["secondFactor"] is False
    assert recorder.kinds()[-1] == ("second-factor-off", "success")
    assert recorder.details[-1] == {"target": user_id, "role": "nurse", "change": "reset"}
    assert (await log_in(browser, "demo-nurse")).headers["location"] == "/"
    assert phone.generator.secret not in str(seen)


async def test_an_administrator_sees_and_ends_the_sessions_of_a_user(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, admin: dict[str, Any]
) -> None:
    user_id = new_user(auth, "demo-nurse", "nurse")
    path = f"/auth/admin/users/{user_id}/sessions"
    async with new_browser(app) as nurse:
        token = await Flow(nurse).tokens("demo-nurse")
        (seen,) = (await browser.get(path, headers=bearer(admin))).json()["sessions"]
        assert seen["address"] == "192.0.2.1"
        assert (await browser.delete(path, headers=bearer(token))).status_code == 403
        assert (await browser.delete(path, headers=bearer(admin))).status_code == 204
        auth.feed.refresh()
        assert (await nurse.get("/auth/me")).status_code == 401
        with pytest.raises(InvalidTokenError):
            auth.verifier.verify(token["access_token"])
    assert (await browser.get(path, headers=bearer(admin))).json()["sessions"] == []
    unknown = path.replace(user_id, "unknown")
    assert (await browser.delete(unknown, headers=bearer(admin))).status_code == 422
