"""The second step of a login through its pages and in JSON: no step, no session."""

import re
import time
from typing import Any

import httpx
import pyotp
import pytest
from starlette.applications import Starlette

from smart_auth import totp, users
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    ORIGIN,
    PASSWORD,
    REDIRECT,
    Flow,
    Recorder,
    csrf_of,
    log_in,
    new_browser,
    new_user,
)

pytestmark = pytest.mark.server
COOKIES = ("neuronova_session", "neuronova_login")


class Phone:
    """An authenticator; each call shows the code of the next unused time step."""

    def __init__(self, secret: str) -> None:
        self.generator = pyotp.TOTP(secret)
        self.step = int(time.time()) // totp.STEP_S - 1

    def code(self) -> str:
        self.step += 1
        return self.generator.generate_otp(self.step)

    def wrong(self) -> str:
        now = int(time.time())
        near = {self.generator.at(now + away) for away in range(-120, 150, 30)}
        return next(code for code in (f"{n:06}" for n in range(20)) if code not in near)


def with_second_factor(auth: SMARTAuth, username: str, role: str = "doctor") -> tuple[str, Phone, list[str]]:
    user_id = new_user(auth, username, role)
    phone = Phone(totp.new_secret())
    phone.step -= 1
    codes = auth.second_factors.enrol(user_id, phone.generator.secret, phone.code())
    assert codes is not None
    return user_id, phone, codes


async def enter(browser: httpx.AsyncClient, code: str, step: str = "code") -> httpx.Response:
    page = await browser.get(f"/auth/login/{step}")
    assert page.status_code == 200, page.headers
    return await browser.post(
        f"/auth/login/{step}", data={"csrf": csrf_of(page), "code": code}, headers={"Origin": ORIGIN}
    )


def has_session(browser: httpx.AsyncClient) -> bool:
    return any(cookie.name in COOKIES for cookie in browser.cookies.jar)


async def test_the_password_alone_gives_no_session(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    user_id, phone, _ = with_second_factor(auth, "demo-doctor")
    answer = await log_in(browser, "demo-doctor")
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/login/code")
    assert not has_session(browser)
    assert (await browser.get("/auth/me")).status_code == 401
    assert (await Flow(browser).authorize()).headers["location"].startswith("/auth/login?")
    assert ("login", "success") not in recorder.kinds()
    answer = await enter(browser, phone.code())
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await browser.get("/auth/me")).json()["user"] == user_id
    assert recorder.events[-1] == ("login", user_id, None, "success", "192.0.2.1")


async def test_the_apps_request_goes_on_after_the_second_step(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    _, phone, _ = with_second_factor(auth, "demo-doctor")
    target = (await Flow(browser).authorize()).headers["location"]
    page = await browser.get(target)
    form = {"csrf": csrf_of(page), "username": "demo-doctor", "password": PASSWORD}
    answer = await browser.post("/auth/login", data=form | {"request": target.split("=")[1]})
    assert answer.headers["location"] == "/auth/login/code"
    page = await browser.get("/auth/login/code")
    assert f"form-action 'self' {REDIRECT.rpartition('/')[0]};" in page.headers["content-security-policy"]
    answer = await enter(browser, phone.code())
    assert answer.headers["location"] == f"/auth/continue?request={target.split('=')[1]}"
    assert (await browser.get(answer.headers["location"])).headers["location"].startswith(REDIRECT)


async def test_a_half_login_is_good_once(auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient) -> None:
    _, phone, codes = with_second_factor(auth, "demo-doctor")
    await log_in(browser, "demo-doctor")
    half = half_of(browser)
    assert (await enter(browser, phone.code())).status_code == 303
    async with new_browser(app) as replayed:
        keep_half(replayed, half)
        again = await replayed.get("/auth/login/code")
        assert again.headers["location"] == "/auth/login"
        csrf = csrf_of(await replayed.get("/auth/login"))
        answer = await replayed.post("/auth/login/code", data={"csrf": csrf, "code": codes[0]})
        assert answer.status_code == 403
        assert not has_session(replayed)


async def test_a_half_login_is_bound_to_its_browser_and_short_lived(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, redis: Any
) -> None:
    _, phone, _ = with_second_factor(auth, "demo-doctor")
    answer = await log_in(browser, "demo-doctor")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if "neuronova_half" in c).lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/auth/login" in cookie
    async with new_browser(app) as other:
        csrf = csrf_of(await other.get("/auth/login"))
        answer = await other.post("/auth/login/code", data={"csrf": csrf, "code": phone.code()})
        assert answer.status_code == 403
        assert not has_session(other)
    keys = [key async for key in redis.scan_iter("smart_auth:half:*")]
    assert [0 < await redis.ttl(key) <= 300 for key in keys] == [True]
    # The secret is nowhere in the page: the cookie alone carries it.
    assert half_of(browser) not in (await browser.get("/auth/login/code")).text


async def test_a_code_is_good_for_one_login(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient
) -> None:
    _, phone, _ = with_second_factor(auth, "demo-doctor")
    code = phone.code()
    await log_in(browser, "demo-doctor")
    assert (await enter(browser, code)).status_code == 303
    async with new_browser(app) as watcher:
        await log_in(watcher, "demo-doctor")
        assert (await enter(watcher, code)).status_code == 401
        assert not has_session(watcher)


async def test_wrong_codes_have_to_wait_even_in_new_logins(
    auth: SMARTAuth, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, phone, _ = with_second_factor(auth, "demo-doctor")
    now = time.time()
    monkeypatch.setattr(auth.throttle, "_clock", lambda: now)
    statuses = []
    for _ in range(4):
        async with new_browser(app) as browser:
            await log_in(browser, "demo-doctor")
            statuses.append((await enter(browser, phone.wrong())).status_code)
    assert statuses == [401, 401, 401, 429]
    async with new_browser(app) as browser:
        await log_in(browser, "demo-doctor")
        answer = await enter(browser, phone.code())
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert not has_session(browser)


async def test_a_recovery_code_takes_the_place_of_the_phone_once(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    _, _, codes = with_second_factor(auth, "demo-doctor")
    await log_in(browser, "demo-doctor")
    assert (await enter(browser, codes[3])).status_code == 303
    assert ("recovery-code", "success") in recorder.kinds()
    browser.cookies.clear()
    await log_in(browser, "demo-doctor")
    assert (await enter(browser, codes[3])).status_code == 401


async def test_a_user_disabled_between_the_steps_does_not_get_in(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    user_id, phone, _ = with_second_factor(auth, "demo-doctor")
    for change in (
        lambda: users.set_disabled(auth.database, user_id, disabled=True, actor=None),
        lambda: users.set_disabled(auth.database, user_id, disabled=False, actor=None),
    ):
        await log_in(browser, "demo-doctor")
        csrf = csrf_of(await browser.get("/auth/login"))
        change()
        assert not has_session(browser)
        answer = await browser.post("/auth/login/code", data={"csrf": csrf, "code": phone.code()})
        assert answer.status_code == 403
    assert not has_session(browser)


async def test_the_second_step_has_to_come_from_our_own_form(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    _, phone, _ = with_second_factor(auth, "demo-doctor")
    await log_in(browser, "demo-doctor")
    csrf = csrf_of(await browser.get("/auth/login/code"))
    form = {"csrf": csrf, "code": phone.code()}
    foreign = {"Origin": "https://evil.example"}
    assert (await browser.post("/auth/login/code", data=form, headers=foreign)).status_code == 403
    assert (await browser.post("/auth/login/code", data=form | {"csrf": "é"})).status_code == 403
    assert (await browser.post("/auth/login/code", data={"code": form["code"]})).status_code == 403
    assert not has_session(browser)
    assert (await browser.post("/auth/login/code", data=form)).status_code == 303


async def test_the_web_app_takes_the_second_step_by_json(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    _, phone, _ = with_second_factor(auth, "demo-doctor")
    body = {"username": "demo-doctor", "password": PASSWORD}
    answer = await browser.post("/auth/login", json=body)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": "second_factor_required",
        "step": "code",
        "location": "/auth/login/code",
    }
    assert not has_session(browser)
    wrong = await browser.post("/auth/login/code", json={"code": phone.wrong()})
    assert (wrong.status_code, wrong.json()) == (401, {"error": "login_failed"})
    foreign = {"Origin": "https://evil.example"}
    code = phone.code()
    assert (await browser.post("/auth/login/code", json={"code": code}, headers=foreign)).status_code == 403
    right = await browser.post("/auth/login/code", json={"code": code}, headers={"Origin": ORIGIN})
    assert (right.status_code, right.json()["role"]) == (200, "doctor")
    assert (await browser.get("/auth/me")).json()["csrf"] == right.json()["csrf"]


async def test_staff_without_a_second_factor_enrol_before_anything_else(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    auth.settings = auth.settings.model_copy(update={"totp_required": True})
    user_id = new_user(auth, "demo-nurse", "nurse")
    answer = await log_in(browser, "demo-nurse")
    assert answer.headers["location"] == "/auth/login/enrol"
    assert not has_session(browser)
    page = await browser.get("/auth/login/enrol")
    secret = key_of(page)
    assert "<svg" in page.text
    assert key_of(await browser.get("/auth/login/enrol")) == secret
    phone = Phone(secret)
    assert (await enter(browser, phone.wrong(), "enrol")).status_code == 401
    assert not has_session(browser)
    done = await enter(browser, phone.code(), "enrol")
    assert done.status_code == 200
    codes = re.findall(r"<li><code>([0-9a-z-]{19})</code>", done.text)
    assert len(codes) == 10
    assert done.headers["cache-control"] == "no-store"
    assert (await browser.get("/auth/me")).json()["user"] == user_id
    assert recorder.kinds()[-2:] == [("second-factor-on", "success"), ("login", "success")]
    browser.cookies.clear()
    await log_in(browser, "demo-nurse")
    assert (await enter(browser, codes[0])).status_code == 303


async def test_an_enrolment_has_to_come_from_our_own_form(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    auth.settings = auth.settings.model_copy(update={"totp_required": True})
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-nurse")
    page = await browser.get("/auth/login/enrol")
    form = {"csrf": csrf_of(page), "code": Phone(key_of(page)).code()}
    foreign = {"Origin": "https://evil.example"}
    assert (await browser.post("/auth/login/enrol", data=form, headers=foreign)).status_code == 403
    assert (await browser.post("/auth/login/enrol", data=form | {"csrf": "x"})).status_code == 403
    assert not has_session(browser)
    assert (await browser.post("/auth/login/enrol", data=form)).status_code == 200


async def test_patients_need_none_and_may_have_one(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    auth.settings = auth.settings.model_copy(update={"totp_required": True})
    new_user(auth, "demo-patient", "patient")
    assert (await log_in(browser, "demo-patient")).headers["location"] == "/"


async def test_who_knows_the_password_does_not_learn_the_key_of_another_browsers_enrolment(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient
) -> None:
    auth.settings = auth.settings.model_copy(update={"totp_required": True})
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-nurse")
    phone = Phone(key_of(await browser.get("/auth/login/enrol")))
    async with new_browser(app) as thief:
        await log_in(thief, "demo-nurse")
        page = await thief.get("/auth/login/enrol")
        assert key_of(page) != phone.generator.secret
        assert (await enter(browser, phone.code(), "enrol")).status_code == 200
        late = {"csrf": csrf_of(page), "code": Phone(key_of(page)).code()}
        assert (await thief.post("/auth/login/enrol", data=late)).status_code == 403
        assert not has_session(thief)


async def test_a_code_step_cannot_be_left_out_by_the_enrolment_page(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    with_second_factor(auth, "demo-doctor")
    await log_in(browser, "demo-doctor")
    assert (await browser.get("/auth/login/enrol")).headers["location"] == "/auth/login"
    csrf = csrf_of(await browser.get("/auth/login/code"))
    assert (await browser.post("/auth/login/enrol", data={"csrf": csrf, "code": "000000"})).status_code == 403


async def test_required_is_what_the_product_ships(auth: SMARTAuth) -> None:
    assert type(auth.settings).model_fields["totp_required"].default is True


async def test_a_known_browser_lets_the_person_in_while_strangers_guess(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    assert (await log_in(browser, "demo-doctor")).status_code == 303
    now = time.time()
    monkeypatch.setattr(auth.throttle, "_clock", lambda: now)
    async with new_browser(app) as stranger:
        statuses = [(await log_in(stranger, "demo-doctor", "wrong")).status_code for _ in range(4)]
        assert statuses[-1] == 429
        assert (await log_in(stranger, "demo-doctor")).status_code == 429
    assert (await log_in(browser, "demo-doctor")).status_code == 303


def half_of(browser: httpx.AsyncClient) -> str:
    return next(c.value or "" for c in browser.cookies.jar if c.name == "neuronova_half")


def keep_half(browser: httpx.AsyncClient, secret: str) -> None:
    browser.cookies.set("neuronova_half", secret, domain="localhost.local", path="/auth/login")


def key_of(page: httpx.Response) -> str:
    match = re.search(r"<dd><code>([A-Z2-7 ]+)</code>", page.text)
    assert match, page.text
    return match[1].replace(" ", "")
