"""A person's own account: who am I, sessions, password, second factor."""

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from smart_auth import menu
from smart_auth.errors import InvalidTokenError
from smart_auth.models import Consent
from smart_auth.roles import ROLES
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    PASSWORD,
    Flow,
    Recorder,
    bearer,
    csrf_of,
    fill,
    log_in,
    new_browser,
    new_user,
)
from tests.smart_auth.test_second_factor import Phone, key_of, with_second_factor

pytestmark = pytest.mark.server
NEW = "another horse battery staple"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


async def post(browser: httpx.AsyncClient, path: str, **form: str) -> httpx.Response:
    return await fill(browser, "/auth/account/password", f"/auth/account/{path}", **form)


def changed(old: str = PASSWORD, new: str = NEW) -> dict[str, str]:
    return {"password_old": old, "password": new, "password_again": new}


async def test_me_has_the_menu_of_the_role_in_both_languages(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    new_user(auth, "demo-lab", "lab")
    await log_in(browser, "demo-doctor")
    shown = {entry["id"]: entry for entry in (await browser.get("/auth/me")).json()["menu"]}
    assert shown["viewer"] == {
        "id": "viewer",
        "path": "/pacs-viewer/",
        "label": {"ko": "영상 보기", "en": "Images"},
    }
    async with new_browser(app) as other:
        await log_in(other, "demo-lab")
        assert "viewer" not in [entry["id"] for entry in (await other.get("/auth/me")).json()["menu"]]
    for role in ROLES:
        assert all(set(entry.label) == {"ko", "en"} for entry in menu.entries(role))


async def test_me_is_a_page_for_a_browser_without_script(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    html = {"Accept": "text/html,application/xhtml+xml"}
    first = await browser.get("/auth/me", headers=html)
    assert (first.status_code, first.headers["location"]) == (303, "/auth/login?next=/auth/me")
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    page = await browser.get("/auth/me", headers=html)
    assert 'href="/pacs-viewer/"' in page.text
    assert "demo-doctor · Doctor" in page.text
    assert page.headers["vary"] == "Accept"
    assert (await browser.get("/auth/me")).headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/auth/account", "/auth/account/password", "/auth/account/second-factor"])
async def test_the_pages_need_a_login(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/auth/login?next={path}")


async def test_sessions_are_listed_with_the_kind_of_browser_and_ended_one_by_one(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-doctor")
    async with new_browser(app) as other, new_browser(app) as stranger:
        other.headers.update(FIREFOX)
        await log_in(other, "demo-doctor")
        await log_in(stranger, "demo-nurse")
        page = await browser.get("/auth/account")
        assert page.text.count("<h3>") == 2
        assert "Firefox, Linux" in page.text
        assert "192.0.2.1" in page.text
        sids = re.findall(r'name="sid" value="([^"]+)"', page.text)
        assert len(sids) == 1
        # Nobody ends what belongs to somebody else.
        await post(stranger, "sessions", sid=sids[0])
        assert (await other.get("/auth/me")).status_code == 200
        token = await Flow(other).tokens("demo-doctor")
        assert (await post(browser, "sessions", sid=sids[0])).headers["location"].endswith("session_ended")
        auth.feed.refresh()
        assert (await other.get("/auth/me")).status_code == 401
        with pytest.raises(InvalidTokenError):
            auth.verifier.verify(token["access_token"])
        assert (await browser.get("/auth/me")).status_code == 200
        assert (await stranger.get("/auth/me")).status_code == 200
    assert ("sessions-ended", "success") in recorder.kinds()
    assert (await browser.get("/auth/account")).text.count("<h3>") == 1


@pytest.mark.parametrize(
    ("zone", "shown"), [("+09:00", "2026-03-01 09:30 UTC+09:00<"), ("+00:00", " 00:30 UTC<")]
)
async def test_times_are_the_hospitals_and_say_so(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, zone: str, shown: str
) -> None:
    user = new_user(auth, "demo-doctor", "doctor")
    monkeypatch.setattr(auth, "settings", auth.settings.model_copy(update={"time_zone": zone}))
    at = int(datetime(2026, 3, 1, 0, 30, tzinfo=UTC).timestamp())
    monkeypatch.setattr(auth.sessions, "_clock", lambda: at)
    await log_in(browser, "demo-doctor")
    with auth.database.write() as session:
        session.add(
            Consent(user_id=user, client_id="demo-app", asked="openid", scope="openid", granted_at=at)
        )
    for page in ("account", "apps"):
        assert shown in (await browser.get(f"/auth/{page}")).text, page


async def test_all_other_sessions_end_at_once_and_their_tokens_with_them(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    async with new_browser(app) as second, new_browser(app) as third:
        token = await Flow(second).tokens("demo-doctor")
        await log_in(third, "demo-doctor")
        await post(browser, "sessions")
        auth.feed.refresh()
        for other in (second, third):
            assert (await other.get("/auth/me")).status_code == 401
        with pytest.raises(InvalidTokenError):
            auth.verifier.verify(token["access_token"])
    assert (await browser.get("/auth/me")).status_code == 200


async def test_a_new_password_needs_the_old_one_and_ends_every_other_session_and_token(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await Flow(browser).tokens("demo-doctor")
    before = (await browser.get("/auth/me")).json()
    async with new_browser(app) as other:
        await log_in(other, "demo-doctor")
        assert (await post(browser, "password", **changed(old="wrong"))).status_code == 401
        assert ("password-confirmation", "failure") in recorder.kinds()
        for weak in ("short", "password1234", PASSWORD, "my-demo-doctor-word"):
            assert (await post(browser, "password", **changed(new=weak))).status_code == 422, weak
        mistyped = changed() | {"password_again": "x"}
        assert (await post(browser, "password", **mistyped)).status_code == 422
        assert (await other.get("/auth/me")).status_code == 200
        answer = await post(browser, "password", **changed())
        assert answer.headers["location"] == "/auth/account?done=password_changed"
        assert (await other.get("/auth/me")).status_code == 401
        with pytest.raises(InvalidTokenError):
            auth.verifier.verify(token["access_token"])
        assert (await log_in(other, "demo-doctor")).status_code == 401
        assert (await log_in(other, "demo-doctor", NEW)).status_code == 303
    after = (await browser.get("/auth/me")).json()
    assert after["csrf"] != before["csrf"]
    # Knowing the password is not a new login with every step.
    assert (after["authTime"], after["expires"]) == (before["authTime"], before["expires"])
    assert ("password-changed", "success") in recorder.kinds()


async def test_guesses_at_the_old_password_have_to_wait(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    statuses = [(await post(browser, "password", **changed(old="wrong"))).status_code for _ in range(4)]
    assert statuses[:3] == [401, 401, 401]
    assert statuses[3] in (401, 429)  # the first wait is one second
    auth.throttle.attempt(f" password:{(await browser.get('/auth/me')).json()['user']}", None)
    assert (await post(browser, "password", **changed())).status_code == 429


async def test_the_second_factor_is_turned_on_by_password_and_code(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    new_user(auth, "demo-patient", "patient")
    await log_in(browser, "demo-patient")
    phone = Phone(key_of(await browser.get("/auth/account/second-factor")))
    wrong = {"code": phone.wrong(), "password_old": PASSWORD}
    assert (await post(browser, "second-factor", do="on", **wrong)).status_code == 401
    code = phone.code()
    assert (await post(browser, "second-factor", do="on", code=code, password_old="wrong")).status_code == 401
    page = await post(browser, "second-factor", do="on", code=code, password_old=PASSWORD)
    assert len(re.findall(r"<li><code>([0-9a-z-]{19})</code>", page.text)) == 10
    assert ("second-factor-on", "success") in recorder.kinds()
    shown = await browser.get("/auth/account?done=second_factor_turned_on")
    assert "Unused recovery codes: 10." in shown.text
    browser.cookies.clear()
    assert (await log_in(browser, "demo-patient")).headers["location"] == "/auth/login/code"


async def test_the_second_factor_is_turned_off_by_password_and_code(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    _, phone, codes = with_second_factor(auth, "demo-doctor")
    await log_in(browser, "demo-doctor")
    csrf = csrf_of(await browser.get("/auth/login/code"))
    await browser.post("/auth/login/code", data={"csrf": csrf, "code": codes[0]})
    code = phone.code()
    # A form of another tab, from before it was on.
    late = await post(browser, "second-factor", do="on", code=code, password_old=PASSWORD)
    assert late.headers["location"] == "/auth/account/second-factor"
    assert (
        await post(browser, "second-factor", do="off", code=phone.wrong(), password_old=PASSWORD)
    ).status_code == 401
    assert (
        await post(browser, "second-factor", do="off", code=code, password_old="wrong")
    ).status_code == 401
    answer = await post(browser, "second-factor", do="off", code=code, password_old=PASSWORD)
    assert answer.headers["location"] == "/auth/account?done=second_factor_turned_off"
    assert ("second-factor-off", "success") in recorder.kinds()
    browser.cookies.clear()
    assert (await log_in(browser, "demo-doctor")).headers["location"] == "/"


@pytest.mark.parametrize("path", ["sessions", "password", "second-factor"])
async def test_a_change_needs_the_sessions_own_form(
    auth: SMARTAuth, browser: httpx.AsyncClient, path: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    csrf = csrf_of(await browser.get("/auth/account/password"))
    form: dict[str, Any] = {"csrf": csrf} | changed() | {"code": "000000"}
    address = f"/auth/account/{path}"
    assert (await browser.post(address, data=form | {"csrf": "é"})).status_code == 403
    foreign = {"Origin": "https://evil.example"}
    assert (await browser.post(address, data=form, headers=foreign)).status_code == 403
    token = await Flow(browser).tokens("demo-doctor")
    browser.cookies.clear()
    # A bearer token is not a person at our page.
    assert (await browser.post(address, data=form, headers=bearer(token))).status_code == 401


async def test_a_page_of_the_account_names_only_what_is_known(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    page = await browser.get("/auth/account", params={"done": "product"})
    assert 'role="status"' not in page.text
