"""Codes, tokens and requests that were taken, changed or overtaken by a decision."""

import json
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from sqlalchemy import select

from smart_auth import clients
from smart_auth.errors import InvalidTokenError
from smart_auth.models import GrantFamily
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    REDIRECT,
    SCOPE,
    Flow,
    form_of,
    log_in,
    new_user,
    row_counts,
    send,
    step_of,
)
from tests.smart_auth.test_assertion import back_end, claims, key, old_memory, post, sign  # noqa: F401

pytestmark = pytest.mark.server


@pytest.mark.usefixtures("back_end", "old_memory")
@pytest.mark.parametrize("change", ["disabled", "narrower", "another role"])
async def test_a_back_ends_token_does_not_outlive_what_it_was_registered_for(
    auth: SMARTAuth,
    browser: httpx.AsyncClient,
    key: ECKey,  # noqa: F811
    change: str,
) -> None:
    before = (await post(browser, sign(key, claims()), "system/Patient.rs")).json()["access_token"]
    auth.verifier.verify(before)
    if change == "disabled":
        clients.set_disabled(auth.database, "partner-backend", disabled=True)
        clients.set_disabled(auth.database, "partner-backend", disabled=False)
    elif change == "narrower":
        clients.change(auth.database, "partner-backend", scope="system/Patient.r")
    else:
        clients.change(auth.database, "partner-backend", organization="another")
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(before)
    after = (await post(browser, sign(key, claims()), "system/Patient.rs")).json()["access_token"]
    auth.verifier.verify(after)


async def test_a_used_refresh_token_ends_its_family_whatever_it_asks_for(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser, parameters={"scope": "offline_access user/Patient.rs"})
    first = await flow.tokens("demo-doctor")
    second = (await flow.refresh(first["refresh_token"])).json()
    stolen = await flow.refresh(first["refresh_token"], scope="user/*.cruds")
    assert stolen.json()["error"] == "invalid_grant"
    assert (await flow.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_code_is_cut_to_a_ceiling_that_became_lower(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser, parameters={"scope": "openid user/Patient.rs user/Task.rs"})
    code = (await flow.answer("demo-doctor"))["code"]
    clients.change(auth.database, "demo-app", scope="openid user/Task.rs")
    auth.feed.refresh()
    token = (await flow.redeem(code)).json()
    assert set(token["scope"].split()) == {"openid", "user/Task.rs"}
    assert str(auth.verifier.verify(token["access_token"]).scopes) == "openid user/Task.rs"


async def test_a_redirect_address_that_was_taken_away_meanwhile_gets_no_code(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    flow = Flow(browser, parameters={"prompt": "login"})
    page = await flow.authorize()
    clients.change(auth.database, "demo-app", redirect_uris=["https://app.example/cb"])
    request_id = page.headers["location"].partition("request=")[2]
    await log_in(browser, "demo-doctor")
    answer = await browser.get(f"/auth/continue?request={request_id}")
    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "redirect", ["https://evil.example/cb", "//evil.example", "http://127.0.0.1:9999/CALLBACK"]
)
@pytest.mark.parametrize("wrong", [{}, {"response_type": "token"}, {"state": ""}, {"code_challenge": ""}])
async def test_an_error_is_never_sent_to_an_address_that_is_not_registered(
    browser: httpx.AsyncClient, redirect: str, wrong: dict[str, str]
) -> None:
    answer = await Flow(browser, parameters={"redirect_uri": redirect, **wrong}).authorize()
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_a_state_that_is_too_long_is_not_sent_back(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/auth/authorize", data=Flow(browser).parameters | {"state": "s" * 5000})
    assert "error=invalid_request" in answer.headers["location"]
    assert "state=" not in answer.headers["location"]


def another_app(auth: SMARTAuth, client_id: str, scope: str = SCOPE) -> None:
    """An app that is not the hospital's own."""
    clients.register(
        auth.database, client_id, kind="public", name=client_id, scope=scope, redirect_uris=[REDIRECT]
    )
    auth.feed.refresh()


async def _consent_page(browser: httpx.AsyncClient, flow: Flow) -> httpx.Response:
    page = await flow.authorize()
    while page.has_redirect_location and not page.headers["location"].startswith(REDIRECT):
        page = await browser.get(page.headers["location"])
    return page


async def test_two_apps_in_one_browser_do_not_share_an_answer(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    another_app(auth, "app-a")
    another_app(auth, "app-b")
    flow_a = Flow(browser, "app-a", parameters={"scope": "openid user/Patient.rs"})
    flow_b = Flow(browser, "app-b", parameters={"scope": "openid user/Task.rs"})
    page_a, page_b = await _consent_page(browser, flow_a), await _consent_page(browser, flow_b)
    assert (step_of(page_a), step_of(page_b)) == ("consent", "consent")
    # The switches of one app's page, sent with the other one's request, allow nothing of the first.
    mixed = [*form_of(page_a), ("allow", "1")]
    of_b = dict(form_of(page_b))["request"]
    mixed = [pair if pair[0] != "request" else ("request", of_b) for pair in mixed]
    answer = await send(browser, "consent", mixed)
    code = httpx.URL(answer.headers["location"]).params["code"]
    assert (await flow_a.redeem(code)).json()["error"] == "invalid_grant"
    assert step_of(await _consent_page(browser, flow_a)) == "consent"
    assert "user/Patient.rs" not in json.dumps((await flow_b.tokens("demo-doctor"))["scope"])


async def test_an_app_may_ask_for_as_much_as_a_scope_holds(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    types = "Patient Encounter ServiceRequest ImagingStudy Task DiagnosticReport Observation Condition"
    types += " AllergyIntolerance Procedure DocumentReference MedicationRequest MedicationStatement"
    wanted = " ".join(f"{context}/{type_}.crus" for type_ in types.split() for context in ("user", "patient"))
    new_user(auth, "demo-doctor", "doctor")
    another_app(auth, "big-app", wanted)
    flow = Flow(browser, "big-app", patient="p1", parameters={"scope": wanted})
    assert "access_token" in await flow.tokens("demo-doctor")


async def test_a_code_is_not_for_another_app_although_the_person_trusts_both(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database,
        "other-app",
        kind="public",
        name="O",
        scope=SCOPE,
        redirect_uris=[REDIRECT],
        trusted=True,
    )
    flow = Flow(browser)
    code = (await flow.answer("demo-doctor"))["code"]
    assert (await flow.redeem(code, client_id="other-app")).json()["error"] == "invalid_grant"


async def test_a_second_use_while_the_first_is_under_way_ends_both(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    code = (await flow.answer("demo-doctor"))["code"]
    answers = []

    async def in_thread(function: Any, *args: Any) -> Any:
        if function.__name__ == "_start_family":
            answers.append(await flow.redeem(code))  # the thief comes before the first use is stored
        return await auth.in_thread(function, *args)

    monkeypatch.setattr(auth.grants, "_in_thread", in_thread)
    answers.append(await flow.redeem(code))
    assert [answer.json().get("error") for answer in answers] == ["invalid_grant", "invalid_grant"]
    assert row_counts(auth, GrantFamily) == [1]
    with auth.database.read() as session:
        assert session.scalar(select(GrantFamily.ended_at)) is not None
