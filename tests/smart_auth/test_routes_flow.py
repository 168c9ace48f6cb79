"""The steps of a request through its pages, none of which can be skipped; and the apps that have access."""

import httpx
import pytest
from starlette.applications import Starlette

from smart_auth.errors import InvalidTokenError
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    Recorder,
    form_of,
    log_in,
    new_browser,
    new_user,
    send,
)
from tests.smart_auth.strangers import flow_of, page_of

pytestmark = pytest.mark.server


async def test_pages_cannot_be_framed_and_lead_to_the_app_only(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    pages = [
        await page_of(browser, flow_of(browser)),
        await page_of(browser, flow_of(browser, "openid launch/patient user/Patient.rs")),
        await browser.get("/auth/launch"),
        await browser.get("/auth/apps"),
    ]
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert page.status_code == 200
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert "script-src" not in policy
        assert "default-src 'none'" in policy
        assert page.headers["cache-control"] == "no-store"
    for page in pages[:2]:
        assert "form-action 'self' https://app.example;" in page.headers["content-security-policy"]


async def test_a_step_cannot_be_skipped_by_its_address(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    scope = "openid launch/encounter patient/Observation.rs"
    page = await page_of(browser, flow_of(browser, scope))
    form = form_of(page)
    request_id = dict(form)["request"]
    for path in ("continue", "consent", "encounter"):
        answer = await browser.get(f"/auth/{path}", params={"request": request_id})
        assert answer.headers["location"] == f"/auth/patient?request={request_id}"
    for step, value in (
        ("consent", [("scope", "patient/Observation.rs"), ("scope", "openid"), ("allow", "1")]),
        ("encounter", [("encounter", "e1")]),
        ("encounter", [("none", "1")]),
    ):
        answer = await send(browser, step, [*form, *value])
        assert answer.headers["location"] == f"/auth/patient?request={request_id}"
    answer = await send(browser, "patient", [*form, ("patient", "p1")])
    assert answer.headers["location"] == f"/auth/encounter?request={request_id}"
    # The same form once more does no harm: it is the visit's turn.
    answer = await send(browser, "patient", [*form, ("patient", "p2")])
    assert answer.headers["location"] == f"/auth/encounter?request={request_id}"


async def test_what_one_person_chose_is_not_there_for_the_next(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-doctor")
    page = await page_of(browser, flow_of(browser, "openid launch/patient patient/Observation.rs"))
    form = form_of(page)
    answer = await send(browser, "patient", [*form, ("patient", "p1")])
    assert "/auth/consent" in answer.headers["location"]
    async with new_browser(app) as other:
        await log_in(other, "demo-nurse")
        answer = await other.get("/auth/continue", params={"request": dict(form)["request"]})
        assert "/auth/patient" in answer.headers["location"]


async def test_ending_an_apps_access_ends_tokens_and_the_remembered_answer(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, recorder: Recorder
) -> None:
    user = new_user(auth, "demo-doctor", "doctor")
    flow = flow_of(browser)
    token = await flow.tokens("demo-doctor")
    page = await browser.get("/auth/apps")
    assert "Stranger" in page.text
    assert "Measurements and findings: view" in page.text
    assert (await send(browser, "apps", [("csrf", "x"), ("client_id", "stranger")])).status_code == 403
    assert (
        await send(
            browser, "apps", [*form_of(page), ("client_id", "stranger")], origin="https://evil.example"
        )
    ).status_code == 403
    auth.verifier.verify(token["access_token"])
    page = await send(browser, "apps", [*form_of(page), ("client_id", "stranger")])
    assert "The access has ended." in page.text
    assert "Stranger" not in page.text
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(token["access_token"])
    assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"
    assert ("access-ended", user, "stranger", "success", "192.0.2.1") in recorder.events
    again = flow_of(browser)
    await again.tokens("demo-doctor")
    assert again.pages == ["consent"]


async def test_the_list_is_of_ones_own_apps(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    new_user(auth, "demo-nurse", "nurse")
    token = await flow_of(browser).tokens("demo-doctor")
    async with new_browser(app) as other:
        assert (await other.get("/auth/apps")).headers["location"] == "/auth/login?next=/auth/apps"
        await log_in(other, "demo-nurse")
        page = await other.get("/auth/apps")
        assert "Stranger" not in page.text
        await send(other, "apps", [*form_of(page), ("client_id", "stranger")])
    auth.feed.refresh()
    auth.verifier.verify(token["access_token"])
