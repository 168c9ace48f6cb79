"""EHR launch: made by a person for an app, taken up once by that person in that app, and by nobody else."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from smart_auth import clients
from smart_auth.models import Client
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    AUDIENCE,
    ORIGIN,
    REDIRECT,
    Flow,
    Recorder,
    form_of,
    log_in,
    new_browser,
    new_user,
    send,
)
from tests.smart_auth.hospital import Hospital

pytestmark = pytest.mark.server

SCOPE = "openid launch launch/encounter offline_access patient/*.rs user/Patient.rs"
LAUNCH = {"client_id": "viewer", "patient": "p1", "encounter": "e1"}


def register(auth: SMARTAuth, client_id: str, launch_uri: str | None, scope: str = SCOPE) -> None:
    """An app with a launch address."""
    clients.register(
        auth.database,
        client_id,
        kind="public",
        name=f"App {client_id}",
        scope=scope,
        redirect_uris=[REDIRECT],
    )
    with auth.database.write() as session:
        client = session.get(Client, client_id)
        assert client is not None
        client.launch_uri = launch_uri
    auth.feed.refresh()


@pytest.fixture
def viewer(auth: SMARTAuth) -> str:
    """An app that can be launched."""
    register(auth, "viewer", "https://viewer.example/launch")
    return "viewer"


async def made(browser: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    """A launch by JSON from the first-party app."""
    csrf = (await browser.get("/auth/me")).json()["csrf"]
    body = {name: value for name, value in (LAUNCH | changes).items() if value is not None}
    return await browser.post("/auth/launch", json=body, headers={"Origin": ORIGIN, "X-CSRF-Token": csrf})


def flow_of(
    browser: httpx.AsyncClient, launch: str, client_id: str = "viewer", scope: str = SCOPE, **more: Any
) -> Flow:
    parameters = {"scope": scope, "launch": launch, **more.pop("parameters", {})}
    return Flow(browser, client_id, parameters=parameters, **more)


async def test_a_launch_carries_patient_visit_and_the_rest_to_the_app(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str, hospital: Hospital, recorder: Recorder
) -> None:
    study = {"resourceType": "ImagingStudy", "id": "s1", "status": "available"}
    hospital.add(study | {"subject": {"reference": "Patient/p1"}})
    user = new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    context = [
        {"reference": "ImagingStudy/s1"},
        {"canonical": "https://plan.example/1", "type": "PlanDefinition"},
    ]
    answer = await made(browser, intent="review", fhirContext=context, need_patient_banner=False)
    assert answer.status_code == 201
    body = answer.json()
    query = parse_qs(urlsplit(body["url"]).query)
    assert body["url"].startswith("https://viewer.example/launch?")
    assert query == {"iss": [AUDIENCE], "launch": [body["launch"]]}
    flow = flow_of(browser, body["launch"])
    token = await flow.tokens("demo-doctor")
    assert flow.pages == ["consent"]
    told = {
        "patient": "p1",
        "encounter": "e1",
        "intent": "review",
        "fhirContext": context,
        "need_patient_banner": False,
        "smart_style_url": f"{ORIGIN}/auth/smart-style-1.json",
    }
    assert told.items() <= token.items()
    assert {"launch", "launch/encounter"} <= set(token["scope"].split())
    assert auth.verifier.verify(token["access_token"]).patient == "p1"
    refreshed = (await flow.refresh(token["refresh_token"])).json()
    assert told.items() <= refreshed.items()
    style = await browser.get("/auth/smart-style-1.json")
    assert style.json()["color_background"]
    assert ("launch-made", user, "viewer", "success", "192.0.2.1") in recorder.events
    assert ("launch", user, "viewer", "success", "192.0.2.1") in recorder.events


async def test_a_launch_is_good_once(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str, recorder: Recorder
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    name = (await made(browser)).json()["launch"]
    await flow_of(browser, name).tokens("demo-doctor")
    answer = await flow_of(browser, name).answer("demo-doctor")
    assert answer["error"] == "invalid_request"
    assert ("launch", "failure") in recorder.kinds()


async def test_a_launch_of_another_person_is_refused_and_used_up(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, viewer: str, recorder: Recorder
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    thief = new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-doctor")
    name = (await made(browser)).json()["launch"]
    async with new_browser(app) as other:
        assert (await flow_of(other, name).answer("demo-nurse"))["error"] == "invalid_request"
    assert ("launch", thief, "viewer", "failure", "192.0.2.1") in recorder.events
    assert (await flow_of(browser, name).answer("demo-doctor"))["error"] == "invalid_request"


async def test_who_logs_in_next_in_the_same_browser_does_not_take_the_launch_over(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-doctor")
    name = (await made(browser)).json()["launch"]
    # The app asked while the doctor was logged in, and asks for the password again.
    again = flow_of(browser, name, parameters={"prompt": "login"})
    assert (await again.answer("demo-nurse"))["error"] == "invalid_request"


async def test_a_launch_belongs_to_the_login_that_made_it(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, viewer: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    name = (await made(browser)).json()["launch"]
    async with new_browser(app) as other:  # the same person, another browser: the link was passed on
        assert (await flow_of(other, name).answer("demo-doctor"))["error"] == "invalid_request"
    name = (await made(browser)).json()["launch"]
    again = flow_of(browser, name, parameters={"prompt": "login"})
    assert (await again.tokens("demo-doctor"))["patient"] == "p1"


async def test_a_launch_for_another_app_is_refused(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str
) -> None:
    register(auth, "other", "https://other.example/launch")
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    name = (await made(browser)).json()["launch"]
    assert (await flow_of(browser, name, "other").answer("demo-doctor"))["error"] == "invalid_request"


async def test_a_launch_ends_after_minutes(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str, redis: Redis
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    answer = (await made(browser)).json()
    keys = [key async for key in redis.scan_iter("smart_auth:launch:*")]
    assert len(keys) == 1
    assert 0 < await redis.ttl(keys[0]) <= answer["expires_in"] == 300
    assert answer["launch"].encode() not in keys[0]
    await redis.delete(*keys)  # what Redis does when the time is over
    assert (await flow_of(browser, answer["launch"]).answer("demo-doctor"))["error"] == "invalid_request"


async def test_a_launch_needs_its_scope_and_the_scope_needs_a_launch(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    name = (await made(browser)).json()["launch"]
    answer = await flow_of(browser, name, scope="openid user/Patient.rs").answer("demo-doctor")
    assert answer["error"] == "invalid_scope"
    token = await Flow(browser, "viewer", parameters={"scope": "openid launch user/Patient.rs"}).tokens(
        "demo-doctor"
    )
    assert token["scope"] == "openid user/Patient.rs"
    assert "patient" not in token


@pytest.mark.parametrize(
    "changes",
    [
        {"patient": "missing"},
        {"patient": "../p1"},
        {"encounter": "e2"},
        {"encounter": "missing"},
        {"patient": None},
        {"client_id": "demo-app"},
        {"client_id": "missing"},
        {"patient": 5},
        {"need_patient_banner": "no"},
        {"intent": ""},
        {"intent": "a b"},
        {"smart_style_url": "https://evil.example/style"},
        {"fhirContext": {}},
        {"fhirContext": [{}]},
        {"fhirContext": [{"type": "ImagingStudy"}]},
        {"fhirContext": [{"reference": "Patient/p1"}]},
        {"fhirContext": [{"reference": "Encounter/e1", "role": "launch"}]},
        {"fhirContext": [{"reference": "Encounter/e1", "role": ""}]},
        {"fhirContext": [{"reference": "Encounter/e1", "role": "relative"}]},
        {"fhirContext": [{"reference": "Encounter/e2", "role": "https://role.example/x"}]},
        {"fhirContext": [{"reference": "Encounter/missing", "role": "https://role.example/x"}]},
        {"fhirContext": [{"reference": "https://elsewhere.example/Encounter/e1"}]},
        {"fhirContext": [{"reference": "Encounter/e1", "type": "Task", "role": "https://role.example/x"}]},
        {"fhirContext": [{"canonical": "https://x.example", "other": 1}]},
    ],
)
async def test_a_launch_names_what_the_person_may_open(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str, changes: dict[str, Any]
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    assert (await made(browser, **changes)).status_code == 422


async def test_another_visit_may_stand_in_the_context_in_a_role_of_its_own(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    item = {"reference": "Encounter/e1", "role": "https://role.example/previous"}
    assert (await made(browser, fhirContext=[item])).status_code == 201


async def test_a_partner_launches_with_shared_patients_only(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str, hospital: Hospital
) -> None:
    hospital.shared = frozenset({"p2"})
    new_user(auth, "demo-partner", "external")
    await log_in(browser, "demo-partner")
    assert (await made(browser)).status_code == 422
    assert (await made(browser, patient="p2", encounter="e2")).status_code == 201


async def test_a_launch_from_another_site_or_without_a_login_is_refused(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient, viewer: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    csrf = (await browser.get("/auth/me")).json()["csrf"]
    for headers in (
        {"Origin": "https://evil.example", "X-CSRF-Token": csrf},
        {"Origin": ORIGIN},
        {"Origin": ORIGIN, "X-CSRF-Token": "x"},
    ):
        assert (await browser.post("/auth/launch", json=LAUNCH, headers=headers)).status_code == 403
    form = [("patient", "p1"), ("client_id", "viewer"), ("open", "1")]
    assert (await send(browser, "launch", [*form, ("csrf", "x")])).status_code == 403
    assert (
        await send(browser, "launch", [*form, ("csrf", csrf)], origin="https://evil.example")
    ).status_code == 403
    async with new_browser(app) as nobody:
        answer = await nobody.post("/auth/launch", json=LAUNCH, headers={"Origin": ORIGIN})
        assert answer.status_code == 401
        page = await nobody.get("/auth/launch")
        assert page.headers["location"] == "/auth/login?next=/auth/launch"


async def test_a_clinician_chooses_patient_visit_and_app_on_the_page(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str
) -> None:
    register(auth, "no-launch", None)
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    page = await browser.get("/auth/launch")
    page = await send(browser, "launch", [*form_of(page), ("mrn", "M-1")])
    assert "홍길동" in page.text
    page = await send(browser, "launch", [*form_of(page), ("patient", "p1")])
    assert "App viewer" in page.text
    assert "App no-launch" not in page.text
    assert 'value="e1"' in page.text
    assert 'value="e2"' not in page.text
    assert "form-action 'self' https://viewer.example;" in page.headers["content-security-policy"]
    form = [*form_of(page), ("patient", "p1"), ("encounter", "e1"), ("client_id", "viewer"), ("open", "1")]
    answer = await send(browser, "launch", form)
    target = answer.headers["location"]
    assert target.startswith("https://viewer.example/launch?iss=")
    name = parse_qs(urlsplit(target).query)["launch"][0]
    token = await flow_of(browser, name).tokens("demo-doctor")
    assert (token["patient"], token["encounter"], token["need_patient_banner"]) == ("p1", "e1", True)
    refused = await send(
        browser, "launch", [*form_of(page), ("patient", "p1"), ("encounter", "e2"), *form[-2:]]
    )
    assert refused.status_code == 422
    assert "This cannot be opened" in refused.text


async def test_a_patient_launches_with_themselves(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str
) -> None:
    new_user(auth, "demo-patient", "patient")
    await log_in(browser, "demo-patient")
    page = await browser.get("/auth/launch")
    assert "Demo Own" in page.text
    assert not re.search(r'id="mrn"', page.text)
    assert (await made(browser)).status_code == 422
    assert (await made(browser, patient="own", encounter="e3")).status_code == 201


async def test_a_launch_without_a_patient_leaves_the_choice_to_the_picker(
    auth: SMARTAuth, browser: httpx.AsyncClient, viewer: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    name = (await made(browser, patient=None, encounter=None)).json()["launch"]
    flow = flow_of(browser, name, patient="p2", encounter="e2")
    token = await flow.tokens("demo-doctor")
    assert flow.pages == ["patient", "encounter", "consent"]
    assert (token["patient"], token["encounter"]) == ("p2", "e2")
