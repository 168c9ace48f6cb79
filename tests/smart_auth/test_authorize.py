"""The authorization request: what is refused and to whom it is told; when a person logs in again."""

import time

import httpx
import pytest

from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    REDIRECT,
    Flow,
    log_in,
    new_user,
)

pytestmark = pytest.mark.server


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
