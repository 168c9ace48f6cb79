"""Patient picker and encounter picker: only what the person may see, found by name, MRN and birth date."""

import re

import httpx
import pytest

from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    form_of,
    log_in,
    new_user,
    send,
    step_of,
)
from tests.smart_auth.hospital import Hospital, encounter, patient
from tests.smart_auth.strangers import flow_of, page_of

pytestmark = pytest.mark.server


async def test_staff_search_and_choose_a_patient(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, hospital: Hospital
) -> None:
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-nurse")
    page = await page_of(browser, flow_of(browser, "openid launch/patient patient/Observation.rs"))
    assert step_of(page) == "patient"
    assert "홍길동" not in page.text  # nothing is listed before somebody searches
    for field, value, found in (
        ("name", "홍길동", "홍길동"),
        ("name", "demo sec", "Demo Second"),
        ("mrn", "M-1", "홍길동"),
        ("birthdate", "1971-02-03", "홍길동"),
    ):
        page = await send(browser, "patient", [*form_of(page), (field, value)])
        assert found in page.text
        assert page.text.count('name="patient"') == 1
    assert "female · 1971-02-03 · MRN M-1" in page.text
    page = await send(browser, "patient", [*form_of(page), ("name", "홍길동"), ("birthdate", "1999-01-01")])
    assert "No patient found" in page.text


async def test_a_korean_name_is_found_when_the_store_keeps_its_parts(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, hospital: Hospital
) -> None:
    apart = patient("p9", "", "M-9")
    apart["name"] = [{"family": "김", "given": ["하늘"]}]
    hospital.add(apart)
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-nurse")
    page = await page_of(browser, flow_of(browser, "openid launch/patient patient/Observation.rs"))
    page = await send(browser, "patient", [*form_of(page), ("name", "김하늘")])
    assert "김하늘" in page.text
    assert "M-9" in page.text


async def test_a_long_list_has_pages(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, hospital: Hospital
) -> None:
    hospital.add(*(patient(f"many{i}", f"Demo Many{i:02}", f"X-{i}") for i in range(45)))
    new_user(auth, "demo-nurse", "nurse")
    await log_in(browser, "demo-nurse")
    page = await page_of(browser, flow_of(browser, "openid launch/patient patient/Observation.rs"))
    seen: set[str] = set()
    offset = "0"
    for expected in (20, 20, 5):
        page = await send(browser, "patient", [*form_of(page), ("name", "Demo"), ("offset", offset)])
        shown = set(re.findall(r"MRN (X-\d+)", page.text))
        seen |= shown
        assert len(re.findall(r'name="patient"', page.text)) == expected + (2 if expected == 5 else 0)
        offsets = re.findall(r'name="offset" value="(\d+)">More', page.text)
        offset = offsets[0] if offsets else ""
    assert len(seen) == 45
    assert not offset


async def test_a_patient_that_may_not_be_seen_cannot_be_chosen(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, hospital: Hospital
) -> None:
    hospital.shared = frozenset({"p2"})
    new_user(auth, "demo-partner", "external")
    await log_in(browser, "demo-partner")
    flow = flow_of(browser, "openid launch/patient patient/Patient.rs")
    page = await page_of(browser, flow)
    found = await send(browser, "patient", [*form_of(page), ("mrn", "M-1")])
    assert "No patient found" in found.text
    for refused in ("p1", "missing", "../p2", "p1/_history/1"):
        page = await send(browser, "patient", [*form_of(page), ("patient", refused)])
        assert step_of(page) == "patient"
    flow = flow_of(browser, "openid launch/patient patient/Patient.rs", patient="p2")
    assert (await flow.tokens("demo-partner"))["patient"] == "p2"


async def test_a_patient_needs_no_picker_for_themselves(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-patient", "patient")
    flow = flow_of(browser, "openid launch/patient patient/Observation.rs")
    token = await flow.tokens("demo-patient")
    assert flow.pages == ["consent"]
    assert token["patient"] == "own"


async def test_a_visit_of_the_chosen_patient_is_chosen(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    scope = "openid launch/patient launch/encounter patient/Observation.rs"
    flow = flow_of(browser, scope, patient="p1", encounter="e1")
    token = await flow.tokens("demo-doctor")
    assert flow.pages == ["patient", "encounter", "consent"]
    assert (token["patient"], token["encounter"]) == ("p1", "e1")
    assert token["scope"] == scope


async def test_a_visit_of_another_patient_cannot_be_chosen(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    page = await page_of(browser, flow_of(browser, "openid launch/encounter patient/Observation.rs"))
    page = await send(browser, "patient", [*form_of(page), ("patient", "p1")])
    page = await browser.get(page.headers["location"])
    assert step_of(page) == "encounter"
    assert "ambulatory" in page.text
    page = await send(browser, "encounter", [*form_of(page), ("encounter", "e2")])
    assert step_of(page) == "encounter"


async def test_without_a_visit_the_scope_says_so(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str, hospital: Hospital
) -> None:
    hospital.add(encounter("e9", "p2"))
    new_user(auth, "demo-doctor", "doctor")
    flow = flow_of(browser, "openid launch/encounter patient/Observation.rs", patient="p1")
    token = await flow.tokens("demo-doctor")
    assert "encounter" not in token
    assert token["scope"] == "openid patient/Observation.rs"


async def test_cancelling_a_picker_is_access_denied(
    auth: SMARTAuth, browser: httpx.AsyncClient, stranger: str
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    page = await page_of(browser, flow_of(browser, "openid launch/patient patient/Observation.rs"))
    answer = await send(browser, "patient", [*form_of(page), ("cancel", "1")])
    assert "error=access_denied" in answer.headers["location"]
