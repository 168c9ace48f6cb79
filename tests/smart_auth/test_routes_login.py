"""Login, logout, session cookies, set-up and invitation through their pages."""

import re
import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from smart_auth import passwords, users
from smart_auth.errors import (
    CrossSiteError,
    InvalidTokenError,
    MixedCredentialsError,
    NoCredentialsError,
)
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    ORIGIN,
    PASSWORD,
    Flow,
    Recorder,
    bearer,
    csrf_of,
    log_in,
    new_browser,
    new_user,
    without_nonce,
)

pytestmark = pytest.mark.server


async def test_a_login_sets_cookies_that_scripts_and_other_sites_do_not_get(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor")
    page = await log_in(browser, " Demo-Doctor ")
    assert (page.status_code, page.headers["location"]) == (303, "/")
    cookies = {c.split("=")[0]: c.lower() for c in page.headers.get_list("set-cookie")}
    assert "httponly" in cookies["neuronova_session"]
    assert "samesite=strict" in cookies["neuronova_session"]
    assert "path=/;" in cookies["neuronova_session"] + ";"
    assert "httponly" in cookies["neuronova_login"]
    assert "samesite=lax" in cookies["neuronova_login"]
    assert recorder.events == [("login", user_id, None, "success", "192.0.2.1")]


async def test_under_tls_the_cookies_are_bound_to_host_and_tls(auth: SMARTAuth) -> None:
    tls = auth.settings.model_copy(update={"issuer": "https://hospital.example/auth"})
    auth.settings = tls
    assert auth.viewer_cookie == "__Host-neuronova_session"
    assert auth.login_cookie == "__Secure-neuronova_login"


async def test_unknown_user_and_wrong_password_look_the_same_and_cost_the_same(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor")
    hashes: list[bool] = []
    verify = passwords.verify_password

    def counted(password: str, stored: str | None) -> bool:
        hashes.append(stored is not None)
        return verify(password, stored)

    monkeypatch.setattr("smart_auth.login.verify_password", counted)
    known = await log_in(browser, "demo-doctor", "not the password")
    unknown = await log_in(browser, "demo-nobody", "not the password")
    assert known.status_code == unknown.status_code == 401
    assert hashes == [True, False]
    assert without_nonce(known.text) == without_nonce(unknown.text)
    assert [event[:2] for event in recorder.events] == [("login", user_id), ("login", None)]


async def test_an_invited_or_disabled_user_cannot_log_in(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    users.create(auth.database, "demo-invited", "doctor")
    assert (await log_in(browser, "demo-invited", "")).status_code == 401
    user_id = new_user(auth, "demo-disabled", "doctor")
    users.set_disabled(auth.database, user_id, disabled=True, actor=None)
    assert (await log_in(browser, "demo-disabled")).status_code == 401


async def test_failures_in_a_row_make_the_next_try_wait_even_with_the_right_password(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(auth.throttle, "_clock", lambda: now)
    new_user(auth, "demo-doctor", "doctor")
    answers = [await log_in(browser, "demo-doctor", "wrong") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert int(answers[3].headers["retry-after"]) >= 1
    assert (await log_in(browser, "demo-doctor")).status_code == 429
    # Another account from the same address is not yet affected.
    new_user(auth, "demo-nurse", "nurse")
    assert (await log_in(browser, "demo-nurse")).status_code == 303


async def test_a_login_form_of_another_browser_or_site_is_refused(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    async with new_browser(app) as attacker:
        stolen = csrf_of(await attacker.get("/auth/login"))
    await browser.get("/auth/login")
    form = {"csrf": stolen, "username": "demo-doctor", "password": PASSWORD}
    assert (await browser.post("/auth/login", data=form)).status_code == 403
    form["csrf"] = csrf_of(await browser.get("/auth/login"))
    foreign = {"Origin": "https://evil.example"}
    assert (await browser.post("/auth/login", data=form, headers=foreign)).status_code == 403
    assert (await browser.post("/auth/login", data=form, headers={"Origin": "null"})).status_code == 403
    assert (await browser.post("/auth/login", data=form)).status_code == 303


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/pacs-viewer/?x=1", "/pacs-viewer/?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/a\tb", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
async def test_the_page_to_go_on_to_is_of_this_site(
    auth: SMARTAuth, browser: httpx.AsyncClient, wanted: str, target: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    page = await browser.get("/auth/login", params={"next": wanted})
    form = {"csrf": csrf_of(page), "username": "demo-doctor", "password": PASSWORD, "next": wanted}
    answer = await browser.post("/auth/login", data=form)
    assert answer.headers["location"] == target


async def test_pages_load_nothing_from_outside_and_cannot_be_framed(browser: httpx.AsyncClient) -> None:
    for path in ("/auth/login", "/auth/setup", "/auth/logout", "/auth/invite/unknown"):
        page = await browser.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r'(src|href)="https?:', page.text)
        assert "<script" not in page.text


async def test_a_login_page_of_an_app_may_lead_to_that_app_only(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    page = await browser.get((await Flow(browser).authorize()).headers["location"])
    assert "form-action 'self' http://127.0.0.1:9999;" in page.headers["content-security-policy"]
    assert "Log in to continue to Demo" in page.text


async def test_pages_speak_korean_and_english(browser: httpx.AsyncClient) -> None:
    korean = await browser.get("/auth/login", headers={"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.8"})
    assert '<html lang="ko">' in korean.text
    assert "비밀번호" in korean.text
    english = await browser.get("/auth/login", headers={"Accept-Language": "de;q=1, en;q=0.5, ko;q=0.1"})
    assert '<html lang="en">' in english.text
    switched = await browser.get("/auth/login?lang=ko")
    assert '<html lang="ko">' in switched.text
    assert '<html lang="ko">' in (await browser.get("/auth/login")).text


async def test_the_other_language_keeps_the_apps_request_after_a_wrong_password(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    target = (await Flow(browser).authorize()).headers["location"]
    page = await browser.get(target)
    form = {"csrf": csrf_of(page), "request": target.split("=")[1], "username": "x1", "password": "x"}
    wrong = await browser.post("/auth/login", data=form)
    assert wrong.status_code == 401
    assert f'href="?request={target.split("=")[1]}&amp;lang=ko"' in wrong.text


async def test_what_a_person_types_is_text_on_the_page(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/auth/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script" not in page.text


async def test_a_new_login_has_new_secrets_and_ends_the_one_before(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    browser.cookies.set("neuronova_session", "chosen-by-an-attacker", domain="localhost.local")
    await log_in(browser, "demo-doctor")
    first = _viewer(browser)
    assert first != "chosen-by-an-attacker"
    csrf = (await browser.get("/auth/me")).json()["csrf"]
    await log_in(browser, "demo-doctor")
    assert _viewer(browser) != first
    assert (await browser.get("/auth/me")).json()["csrf"] != csrf
    with pytest.raises(InvalidTokenError):
        await auth.authenticator.authenticate("GET", cookie=f"neuronova_session={first}")


async def test_a_login_ends_after_its_time(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    began = time.time()
    for later, status in ((auth.settings.session_s - 60, 200), (auth.settings.session_s + 1, 401)):
        monkeypatch.setattr(auth.sessions, "_clock", lambda later=later: began + later)
        assert (await browser.get("/auth/me")).status_code == status
    assert (await browser.get("/auth/apps")).headers["location"].startswith("/auth/login")


async def test_logging_out_ends_session_tokens_and_cookies(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await Flow(browser).tokens("demo-doctor")
    cookie = f"neuronova_session={_viewer(browser)}"
    await auth.authenticator.authenticate("GET", cookie=cookie)
    page = await browser.get("/auth/logout")
    refused = await browser.post("/auth/logout", data={"csrf": "wrong"})
    assert refused.status_code == 403
    answer = await browser.post("/auth/logout", data={"csrf": csrf_of(page)}, headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.headers["clear-site-data"] == '"cache"'
    assert "neuronova_session" not in browser.cookies
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["access_token"])
    with pytest.raises(InvalidTokenError):
        await auth.authenticator.authenticate("GET", cookie=cookie)
    assert ("logout", "success") in recorder.kinds()


async def test_logging_out_with_a_token_ends_its_grant(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    token = await flow.tokens("demo-doctor")
    browser.cookies.clear()
    assert (await browser.post("/auth/logout", headers=bearer(token))).status_code == 204
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["access_token"])
    assert (await flow.refresh(token["refresh_token"])).status_code == 400


async def test_the_web_app_logs_in_and_out_by_json(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    wrong = await browser.post("/auth/login", json={"username": "demo-doctor", "password": "x"})
    assert (wrong.status_code, wrong.json()) == (401, {"error": "login_failed"})
    body = {"username": "demo-doctor", "password": PASSWORD}
    foreign = await browser.post("/auth/login", json=body, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    answer = await browser.post("/auth/login", json=body, headers={"Origin": ORIGIN})
    csrf = answer.json()["csrf"]
    me = (await browser.get("/auth/me")).json()
    assert (me["role"], me["csrf"]) == ("doctor", csrf)
    out = await browser.post("/auth/logout", headers={"Origin": ORIGIN, "X-CSRF-Token": csrf})
    assert out.status_code == 204
    assert (await browser.get("/auth/me")).status_code == 401


async def test_a_session_is_a_caller_with_fixed_scopes(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-patient", "patient", fhir_user="Patient/p1")
    await log_in(browser, "demo-patient")
    principal = await auth.authenticator.authenticate("GET", cookie=f"neuronova_session={_viewer(browser)}")
    assert principal.session
    assert principal.patient == "p1"
    assert str(principal.scopes) == (
        "user/Device.r user/DiagnosticReport.rs user/ImagingStudy.rs user/Observation.r"
    )


async def test_unsafe_requests_by_cookie_need_our_origin_and_the_csrf_value(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    cookie = f"neuronova_session={_viewer(browser)}"
    csrf = (await browser.get("/auth/me")).json()["csrf"]
    authenticate = auth.authenticator.authenticate
    assert (await authenticate("POST", cookie=cookie, origin=ORIGIN, csrf=csrf)).session
    wrong: list[dict[str, Any]] = [
        {},
        {"origin": ORIGIN},
        {"csrf": csrf},
        {"origin": ORIGIN, "csrf": "x"},
        {"origin": f"{ORIGIN}.evil.example", "csrf": csrf},
        {"origin": "null", "csrf": csrf},
    ]
    for given in wrong:
        with pytest.raises(CrossSiteError):
            await authenticate("POST", cookie=cookie, **given)


async def test_cookie_and_bearer_together_are_refused(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await Flow(browser).tokens("demo-doctor")
    authorization = [bearer(token)["Authorization"]]
    with pytest.raises(MixedCredentialsError):
        await auth.authenticator.authenticate(
            "GET", authorization=authorization, cookie=f"neuronova_session={_viewer(browser)}"
        )
    assert (await auth.authenticator.authenticate("GET", authorization=authorization)).role == "doctor"
    for bad in (["Basic abc"], ["Bearer"], ["Bearer a b"], [*authorization, *authorization], [""]):
        with pytest.raises(InvalidTokenError):
            await auth.authenticator.authenticate("GET", authorization=bad)
    with pytest.raises(NoCredentialsError):
        await auth.authenticator.authenticate("GET")


async def test_a_ticket_is_good_once_and_not_after_a_logout(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await Flow(browser).tokens("demo-doctor")
    browser.cookies.clear()
    value = (await browser.post("/auth/ticket", headers=bearer(token))).json()["ticket"]
    principal = await auth.tickets.redeem(value)
    assert principal == auth.verifier.verify(token["access_token"])
    with pytest.raises(InvalidTokenError):
        await auth.tickets.redeem(value)
    value = (await browser.post("/auth/ticket", headers=bearer(token))).json()["ticket"]
    await browser.post("/auth/logout", headers=bearer(token))
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        await auth.tickets.redeem(value)
    assert not auth.is_valid(principal)


async def test_the_first_administrator_is_made_with_the_set_up_code_once(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    old = users.bootstrap(auth.database)
    code = users.bootstrap(auth.database)
    page = await browser.get("/auth/setup")
    form = {
        "csrf": csrf_of(page),
        "code": old,
        "username": "demo-admin",
        "password": PASSWORD,
        "password_again": PASSWORD,
    }
    assert (await browser.post("/auth/setup", data=form)).status_code == 422
    form["code"] = code
    assert (await browser.post("/auth/setup", data=form | {"password_again": "x"})).status_code == 422
    weak = form | {"password": "password1234", "password_again": "password1234"}
    assert (await browser.post("/auth/setup", data=weak)).status_code == 422
    assert (await browser.post("/auth/setup", data=form | {"csrf": "x"})).status_code == 403
    foreign = {"Origin": "https://evil.example"}
    assert (await browser.post("/auth/setup", data=form, headers=foreign)).status_code == 403
    assert (await browser.post("/auth/setup", data=form)).status_code == 200
    assert recorder.kinds()[-2:] == [("setup", "success"), ("role-granted", "success")]
    assert (await browser.post("/auth/setup", data=form | {"username": "second"})).status_code == 422
    auth.feed.refresh()
    assert (await log_in(browser, "demo-admin")).status_code == 303


async def test_an_invitation_sets_the_password_once(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    invitation = users.create(auth.database, "demo-nurse", "nurse")
    path = f"/auth/invite/{invitation.code}"
    page = await browser.get(path)
    assert invitation.user.username not in page.text
    form = {"csrf": csrf_of(page), "password": PASSWORD, "password_again": PASSWORD}
    named = {"password": "demo-nurse-demo", "password_again": "demo-nurse-demo"}
    assert (await browser.post(path, data=form | named)).status_code == 422
    assert (await browser.post(path, data=form)).status_code == 200
    assert ("invite", "success") in recorder.kinds()
    assert (await browser.get(path)).status_code == 404
    assert (await browser.post(path, data=form)).status_code == 422
    assert (await browser.get("/auth/invite/unknown")).status_code == 404
    auth.feed.refresh()
    assert (await log_in(browser, "demo-nurse")).status_code == 303


def _viewer(browser: httpx.AsyncClient) -> str:
    return next(c.value or "" for c in browser.cookies.jar if c.name == "neuronova_session" and c.path == "/")
