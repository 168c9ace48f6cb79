"""Userinfo, and a logout that an app asks for."""

from typing import Any

import httpx
import pytest

from smart_auth import clients, users
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import ORIGIN, PASSWORD, Flow, bearer, csrf_of, log_in, new_user

pytestmark = pytest.mark.server
AFTER = "https://app.example/bye"


@pytest.fixture
async def token(auth: SMARTAuth, browser: httpx.AsyncClient) -> dict[str, Any]:
    """A doctor's tokens, of an app that may send browsers to AFTER."""
    clients.change(auth.database, "demo-app", post_logout_redirect_uris=[AFTER, "http://127.0.0.1/bye"])
    auth.feed.refresh()
    new_user(auth, "demo-doctor", "doctor", fhir_user="Practitioner/d1")
    return await Flow(browser).tokens("demo-doctor")


async def test_userinfo_says_what_the_scope_says(
    auth: SMARTAuth, browser: httpx.AsyncClient, token: dict[str, Any]
) -> None:
    user = users.find(auth.database, "demo-doctor")
    assert user is not None
    browser.cookies.clear()
    for method in ("GET", "POST"):
        answer = await browser.request(method, "/auth/userinfo", headers=bearer(token))
        assert answer.json() == {"sub": user.id, "fhirUser": f"{ORIGIN}/fhir/Practitioner/d1"}
    without = await Flow(browser, parameters={"scope": "user/*.rs"}).tokens("demo-doctor")
    browser.cookies.clear()
    assert (await browser.get("/auth/userinfo", headers=bearer(without))).status_code == 403
    assert (await browser.get("/auth/userinfo")).status_code == 401
    id_token = {"access_token": token["id_token"]}
    assert (await browser.get("/auth/userinfo", headers=bearer(id_token))).status_code == 401


async def test_an_app_sends_the_person_to_log_out_and_gets_the_browser_back(
    auth: SMARTAuth, browser: httpx.AsyncClient, token: dict[str, Any]
) -> None:
    asked = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": AFTER, "state": "s&1"}
    # A link of another site brings the login's cookie alone (SameSite).
    viewer = browser.cookies.get(auth.viewer_cookie, path="/")
    browser.cookies.delete(auth.viewer_cookie, path="/", domain="localhost.local")
    page = await browser.get("/auth/logout", params=asked)
    assert page.status_code == 200
    assert "app.example" in page.headers["content-security-policy"]
    browser.cookies.set(auth.viewer_cookie, viewer or "", path="/", domain="localhost.local")
    done = await browser.post(
        "/auth/logout", data=asked | {"csrf": csrf_of(page)}, headers={"Origin": ORIGIN}
    )
    assert (done.status_code, done.headers["location"]) == (303, f"{AFTER}?state=s%261")
    auth.feed.refresh()
    assert (await browser.get("/auth/userinfo", headers=bearer(token))).status_code == 401
    again = await browser.get("/auth/logout", params=asked)
    assert (again.status_code, again.headers["location"]) == (303, f"{AFTER}?state=s%261")


async def test_an_apps_form_leads_to_the_page_that_asks(
    auth: SMARTAuth, browser: httpx.AsyncClient, token: dict[str, Any]
) -> None:
    asked = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": AFTER, "state": "s", "x": "y"}
    cookies = dict(browser.cookies)
    browser.cookies.clear()  # a form of another site brings none
    sent = await browser.post("/auth/logout", data=asked, headers={"Origin": "https://app.example"})
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/auth/logout?id_token_hint=")
    assert "set-cookie" not in sent.headers, "another site cannot take the cookies away"
    assert cookies
    auth.feed.refresh()
    assert auth.verifier.verify(token["access_token"])


@pytest.mark.parametrize(
    "changes",
    [
        {"post_logout_redirect_uri": "https://app.example/bye/"},
        {"post_logout_redirect_uri": "https://app.example/bye?x=1"},
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"post_logout_redirect_uri": "javascript:alert(1)"},
        {"post_logout_redirect_uri": "http://127.0.0.1:5/other"},
        {"id_token_hint": ""},
        {"id_token_hint": "a.b.c"},
        {"client_id": "other-app"},
        {"state": "x" * 5000},
    ],
)
async def test_after_a_logout_nobody_is_sent_elsewhere(
    auth: SMARTAuth, browser: httpx.AsyncClient, token: dict[str, Any], changes: dict[str, str]
) -> None:
    asked = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": AFTER} | changes
    page = await browser.get("/auth/logout", params=asked)
    assert page.status_code == 200
    assert "evil" not in page.headers["content-security-policy"]
    data = asked | {"csrf": csrf_of(page)}
    done = await browser.post("/auth/logout", data=data, headers={"Origin": ORIGIN})
    assert done.status_code == 200
    assert "location" not in done.headers


async def test_the_hint_must_be_of_the_person_who_is_logged_in(
    auth: SMARTAuth, browser: httpx.AsyncClient, token: dict[str, Any]
) -> None:
    asked = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": AFTER}
    access = asked | {"id_token_hint": token["access_token"]}
    new_user(auth, "demo-nurse", "nurse")
    browser.cookies.clear()
    await log_in(browser, "demo-nurse", PASSWORD)
    for given in (asked, access):
        page = await browser.get("/auth/logout", params=given)
        assert AFTER not in page.text
    clients.set_disabled(auth.database, "demo-app", disabled=True)
    browser.cookies.clear()
    assert (await browser.get("/auth/logout", params=asked)).status_code == 200


async def test_the_brands_are_open_and_kept_by_their_tag(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/auth/user-access-brands")
    assert answer.headers["content-type"] == "application/fhir+json"
    assert answer.json()["resourceType"] == "Bundle"
    tag = {"If-None-Match": answer.headers["etag"]}
    assert (await browser.get("/auth/user-access-brands", headers=tag)).status_code == 304
