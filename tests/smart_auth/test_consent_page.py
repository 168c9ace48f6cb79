"""Consent: what is asked, in words, switched off part by part, remembered, and asked again."""

import re
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from smart_auth import clients
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    REDIRECT,
    WEB_REDIRECT,
    Flow,
    Recorder,
    form_of,
    log_in,
    new_browser,
    new_user,
    send,
)
from tests.smart_auth.strangers import ASKED, SCOPE, flow_of, page_of

pytestmark = pytest.mark.server


async def test_an_app_that_is_not_the_hospitals_own_asks_the_person(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, recorder: Recorder
) -> None:
    user = new_user(auth, "demo-doctor", "doctor")
    flow = flow_of(browser)
    token = await flow.tokens("demo-doctor")
    assert flow.pages == ["consent"]
    assert token["scope"] == ASKED
    assert ("consent", user, "stranger", "success", "192.0.2.1") in recorder.events


async def test_the_page_names_app_person_context_and_every_scope(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    flow = flow_of(browser, "openid launch/patient patient/Observation.rs user/Condition.rs")
    page = await page_of(browser, flow)
    page = await send(browser, "patient", [*form_of(page), ("patient", "p1")])
    page = await browser.get(page.headers["location"])
    for text in ("Stranger", "demo-doctor (Doctor)", "홍길동", "1971-02-03", "M-1", WEB_REDIRECT):
        assert text in page.text
    assert "Measurements and findings" in page.text
    assert "Know who you are" in page.text
    assert "laboratory results" in page.text
    korean = await browser.get(page.url, headers={"Accept-Language": "ko"})
    for text in (
        "접근을 허용하시겠습니까?",
        "검사 결과 및 측정값",
        "보기",
        "검사실 결과",
        "demo-doctor (의사)",
    ):
        assert text in korean.text


async def test_each_scope_can_be_switched_off(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await flow_of(browser, off=("user/Patient.rs", "offline_access")).tokens("demo-doctor")
    assert token["scope"] == "openid user/Observation.rs"
    assert "refresh_token" not in token
    principal = auth.verifier.verify(token["access_token"])
    assert str(principal.scopes) == "openid user/Observation.rs"


async def test_looking_and_changing_are_switched_apart(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    token = await flow_of(browser, "openid user/Observation.crus", off=("user/Observation.cu",)).tokens(
        "demo-doctor"
    )
    assert token["scope"] == "openid user/Observation.rs"


async def test_observations_can_be_narrowed_to_categories(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    flow = flow_of(browser, only=(f"user/Observation|{system}|laboratory",))
    token = await flow.tokens("demo-doctor")
    assert f"user/Observation.rs?category={system}|laboratory" in token["scope"].split()
    assert "user/Observation.rs" not in token["scope"].split()


async def test_what_was_not_offered_cannot_be_allowed(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    flow = flow_of(browser)
    page = await page_of(browser, flow)
    more = [("scope", "user/*.cruds"), ("scope", "user/Condition.rs"), ("scope", "launch/patient")]
    page = await send(browser, "consent", [*form_of(page), *more, ("allow", "1")])
    page = await browser.get(page.headers["location"]) if "/auth/" in page.headers["location"] else page
    code = re.search(r"code=([^&]+)", page.headers["location"])
    assert code
    assert (await flow.redeem(code[1])).json()["scope"] == ASKED


@pytest.mark.parametrize("button", [("deny", "1"), ("allow", "1")])
async def test_saying_no_or_leaving_nothing_on_is_access_denied(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, recorder: Recorder, button: tuple[str, str]
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    page = await page_of(browser, flow_of(browser))
    form = form_of(page) if button[0] == "deny" else [p for p in form_of(page) if p[0] != "scope"]
    answer = await send(browser, "consent", [*form, button])
    assert answer.headers["location"].startswith(f"{WEB_REDIRECT}?error=access_denied")
    assert "state=a-state" in answer.headers["location"]
    assert ("consent", "failure") in recorder.kinds()
    # The request is over: the page cannot be sent again with another answer.
    again = await send(browser, "consent", [*form_of(page), ("allow", "1")])
    assert again.status_code == 400


async def test_the_answer_is_remembered_until_more_is_asked_or_consent_is_wanted_again(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await flow_of(browser, off=("user/Patient.rs",)).tokens("demo-doctor")
    again = flow_of(browser)
    token = await again.tokens("demo-doctor")
    assert again.pages == []
    # Nor does what was switched off come back.
    assert "user/Patient.rs" not in token["scope"]
    more = flow_of(browser, f"{ASKED} user/Condition.rs")
    await more.tokens("demo-doctor")
    assert more.pages == ["consent"]
    wanted = flow_of(browser, parameters={"prompt": "consent"})
    await wanted.tokens("demo-doctor")
    assert wanted.pages == ["consent"]
    less = flow_of(browser, "openid user/Condition.rs")
    await less.tokens("demo-doctor")
    assert less.pages == []


@pytest.mark.parametrize(
    ("kind", "redirect_uri", "trusted", "asked"),
    [
        ("public", REDIRECT, False, True),
        ("public", "http://localhost/callback", False, True),
        ("public", WEB_REDIRECT, False, False),
        ("public", REDIRECT, True, False),
        ("confidential", REDIRECT, False, False),
    ],
)
async def test_an_app_that_any_program_on_the_machine_can_be_is_asked_about_each_time(
    auth: SMARTAuth, browser: httpx.AsyncClient, kind: Any, redirect_uri: str, trusted: bool, asked: bool
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database,
        "native",
        kind=kind,
        name="Native",
        scope=SCOPE,
        redirect_uris=[redirect_uri],
        trusted=trusted,
    )
    auth.feed.refresh()
    more = {"scope": ASKED, "redirect_uri": redirect_uri}
    assert "code" in await Flow(browser, "native", parameters=more).answer("demo-doctor")
    again = Flow(browser, "native", parameters=more)
    assert "code" in await again.answer("demo-doctor")
    assert again.pages == (["consent"] if asked else [])
    silent = await Flow(browser, "native", parameters=more | {"prompt": "none"}).authorize()
    assert ("error=consent_required" in silent.headers["location"]) == asked


async def test_another_person_is_asked_for_themselves(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    new_user(auth, "demo-nurse", "nurse")
    await flow_of(browser).tokens("demo-doctor")
    async with new_browser(app) as other:
        flow = flow_of(other)
        await flow.tokens("demo-nurse")
        assert flow.pages == ["consent"]


async def test_prompt_none_shows_no_page(auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    page = await flow_of(browser, parameters={"prompt": "none"}).authorize()
    assert "error=consent_required" in page.headers["location"]
    scope = "openid launch/patient user/Patient.rs"
    page = await flow_of(browser, scope, parameters={"prompt": "none"}).authorize()
    assert "error=interaction_required" in page.headers["location"]
    await flow_of(browser).tokens("demo-doctor")
    page = await flow_of(browser, parameters={"prompt": "none"}).authorize()
    assert "code=" in page.headers["location"]
    page = await flow_of(browser, parameters={"prompt": "none login"}).authorize()
    assert "error=invalid_request" in page.headers["location"]


async def test_consent_from_another_site_or_another_login_counts_for_nothing(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-doctor")
    form = [*form_of(await page_of(browser, flow_of(browser))), ("allow", "1")]
    assert (await send(browser, "consent", form, origin="https://evil.example")).status_code == 403
    forged = [("csrf", "x") if pair[0] == "csrf" else pair for pair in form]
    assert (await send(browser, "consent", forged)).status_code == 403
    assert (await send(browser, "consent", [p for p in form if p[0] != "csrf"])).status_code == 403
    async with new_browser(app) as nobody:
        answer = await send(nobody, "consent", form)
        assert answer.headers["location"].startswith("/auth/login")
    async with new_browser(app) as other:
        # The value of an attacker's own login does not fit another's.
        await log_in(other, "demo-nurse")
        assert (await send(other, "consent", form)).status_code == 403
        theirs = form_of(await page_of(other, flow_of(other)))
        swapped = [*(p for p in theirs if p[0] == "csrf"), *(p for p in form if p[0] != "csrf")]
        assert (await send(browser, "consent", swapped)).status_code == 403
    assert (await page_of(browser, flow_of(browser))).status_code == 200  # still asked


async def test_a_refresh_never_brings_back_what_the_person_or_the_registration_took(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = flow_of(browser, off=("user/Patient.rs",))
    token = await flow.tokens("demo-doctor")
    grown = await flow.refresh(token["refresh_token"], scope="user/Patient.rs")
    assert grown.json()["error"] == "invalid_scope"
    token = (await flow.refresh(token["refresh_token"])).json()
    assert "user/Patient.rs" not in token["scope"]
    # Later the person switches more off: the older grant follows.
    await flow_of(
        browser, off=("user/Patient.rs", "user/Observation.rs", "offline_access"),
        parameters={"prompt": "consent"},
    ).answer("demo-doctor")  # fmt: skip
    answer = await flow.refresh(token["refresh_token"])
    assert "user/Observation.rs" not in answer.json().get("scope", "")


async def test_a_code_dies_with_the_consent(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = flow_of(browser)
    answer = await flow.answer("demo-doctor")
    page = await browser.get("/auth/apps")
    await send(browser, "apps", [*form_of(page), ("client_id", "stranger")])
    assert (await flow.redeem(answer["code"])).json()["error"] == "invalid_grant"
