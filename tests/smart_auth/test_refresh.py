"""What outlives a code: refresh tokens, their rotation and reuse, revocation, and the end of rights."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from smart_auth import clients, users
from smart_auth.errors import InvalidTokenError
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    REDIRECT,
    SCOPE,
    Flow,
    Recorder,
    new_user,
)

pytestmark = pytest.mark.server


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


async def test_a_family_lives_by_its_use_and_not_for_ever(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow, day, began = Flow(browser), 86400, time.time()
    unused, used = await flow.tokens("demo-doctor"), await flow.tokens("demo-doctor")

    async def after(days: float, token: dict[str, Any]) -> dict[str, Any]:
        monkeypatch.setattr(auth.grants, "_clock", lambda: began + days * day)
        body: dict[str, Any] = (await flow.refresh(token["refresh_token"])).json()
        return body

    for days in (6.9, 13.8, 20.7, 27.6, 29.9):
        used = await after(days, used)
        assert "access_token" in used, days
    assert (await after(7.1, unused))["error"] == "invalid_grant"
    assert (await after(30.1, used))["error"] == "invalid_grant"


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


def _is_valid(auth: SMARTAuth, token: dict[str, Any]) -> bool:
    try:
        auth.verifier.verify(token["access_token"])
    except InvalidTokenError:
        return False
    return True
