"""The JavaScript `fhirclient` in Chromium, as a stranger's app uses it: both launches to a Patient read."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.run import Run
from tests.clients.conftest import BrowserApp

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

WAIT_MS = 30_000


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A browser of its own: nobody is logged in."""
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(WAIT_MS)
    yield context.new_page()
    context.close()


def log_in(page: Page, hospital: Run, role: str) -> None:
    """Fill in the login form that is shown."""
    person = hospital.facts["people"][role]
    page.fill("input[name=username]", person["username"])
    page.fill("input[name=password]", person["password"])
    page.click("button[type=submit]")


def mrn(hospital: Run) -> str:
    """The record number of the hospital's first patient."""
    patient = hospital.as_("admin").read(hospital.facts["patient"])
    value: str = patient["identifier"][0]["value"]
    return value


def choose_patient(page: Page, hospital: Run) -> None:
    """Search the first patient by record number and choose the one that is found."""
    page.fill("input[name=mrn]", mrn(hospital))
    page.click("form[role=search] button[type=submit]")
    page.click("button[name=patient]")


def outcome(page: Page) -> dict[str, Any]:
    """What the app left on its page once it had the patient's data."""
    page.wait_for_url(re.compile(r"/app\.html"))
    expect(page.locator("body")).to_have_attribute("data-done", "yes", timeout=WAIT_MS)
    found: dict[str, Any] = page.evaluate("({...document.body.dataset})")
    return found


def test_a_standalone_launch_leads_a_doctor_over_picker_and_consent_to_the_patient(
    page: Page, hospital: Run, browser_app: BrowserApp
) -> None:
    page.goto(
        f"{browser_app.base_url}/launch.html"
        f"?client={browser_app.client_id}&standalone={hospital.base_url}/fhir"
    )
    log_in(page, hospital, "doctor")
    choose_patient(page, hospital)
    expect(page.locator("h1")).to_be_visible()
    page.click("button[name=allow]")
    found = outcome(page)
    assert f"Patient/{found['patient']}" == hospital.facts["patient"]
    assert found["user"].endswith(hospital.facts["people"]["doctor"]["fhirUser"])
    assert "patient/Patient.rs" in found["scope"].split()
    assert found["other"] in ("403", "404")


def test_a_patient_meets_no_picker_and_sees_the_own_record(
    page: Page, hospital: Run, browser_app: BrowserApp
) -> None:
    page.goto(
        f"{browser_app.base_url}/launch.html"
        f"?client={browser_app.client_id}&standalone={hospital.base_url}/fhir"
    )
    log_in(page, hospital, "patient")
    page.click("button[name=allow]")
    found = outcome(page)
    assert f"Patient/{found['patient']}" == hospital.facts["people"]["patient"]["fhirUser"]


def test_a_launch_from_the_ehr_carries_the_patient_that_the_clinician_chose(
    page: Page, hospital: Run, browser_app: BrowserApp
) -> None:
    page.goto(f"{hospital.base_url}/auth/launch")
    log_in(page, hospital, "doctor")
    choose_patient(page, hospital)
    page.check(f"input[name=client_id][value={browser_app.client_id}]")
    with page.context.expect_page() as opened:
        page.click("button[name=open]")
    app = opened.value
    app.set_default_timeout(WAIT_MS)
    app.wait_for_load_state()
    if "/app.html" not in app.url:
        app.click("button[name=allow]")
    found = outcome(app)
    assert f"Patient/{found['patient']}" == hospital.facts["patient"]
    assert found["banner"] == "true"


def test_a_person_who_refuses_sends_the_app_away_with_an_error(
    page: Page, hospital: Run, browser_app: BrowserApp
) -> None:
    page.goto(
        f"{browser_app.base_url}/launch.html"
        f"?client={browser_app.client_id}&standalone={hospital.base_url}/fhir"
    )
    log_in(page, hospital, "rib")
    choose_patient(page, hospital)
    page.click("button[name=deny]")
    page.wait_for_url(re.compile(r"/app\.html\?.*error=access_denied"))
    expect(page.locator("body")).to_have_attribute("data-failed", re.compile("."), timeout=WAIT_MS)
