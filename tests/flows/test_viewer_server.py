"""OHIF with the product's panel in a real Chromium: results, review, signature, measurements, study list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, expect
from pydicom import Dataset

from demo.run import Run
from smart_auth import users
from smart_auth.database import Database
from tests.flows.panel_pages import LOCALES, person
from tests.flows.pipeline import Clinic, Study
from tests.servers.stack import Stack, wait_for
from tests.smart_auth.flow import PASSWORD

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
RESULT, REVIEW, TASK = "urn:neuronova:ai-result", "urn:neuronova:review", "urn:neuronova:task"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
WORDS = {
    "ko": {"draft": "초안, 검토 대기", "approve": "승인 …", "confirm": "이 결과를 승인"},
    "en": {"draft": "Draft, awaits review", "approve": "Approve …", "confirm": "Approve this result"},
}


class Reading:
    """A study in the product, a patient's login, and what the AI left: as workers write it."""

    def __init__(self, hospital: Run, clinic: Clinic, template: list[Dataset]) -> None:
        self.stack: Stack = clinic.stack.need()
        self.people: dict[str, Any] = hospital.facts["people"]
        self.clinic = clinic
        self.study: Study = clinic.study(template)
        clinic.send(self.study.files)
        clinic.wait_available(self.study)
        (self.resource,) = clinic.imaging_studies(self.study)
        values = {one["system"]: one["value"] for one in self.resource["identifier"]}
        uid = values["urn:dicom:uid"].removeprefix("urn:oid:")
        self.path = f"/pacs-viewer/viewer?StudyInstanceUIDs={uid}"
        self.subject = {"reference": f"Patient/{self.study.patient_id}"}
        secret = {"X-NeuroNova-Secret": self.stack.secrets["hapi-workers"]}
        self.hapi = httpx.Client(base_url=self.stack.hapi_url, headers=secret, timeout=30)

    def put(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Create, or store a next version."""
        place = resource["resourceType"] + (f"/{resource['id']}" if "id" in resource else "")
        answer = self.hapi.request("PUT" if "id" in resource else "POST", f"/{place}", json=resource)
        answer.raise_for_status()
        stored: dict[str, Any] = answer.json()
        return stored

    def patient_login(self) -> dict[str, str]:
        """A login of the study's patient."""
        name = f"patient.{uuid4().hex[:8]}"
        database = Database(self.stack.variables("facade")["SMART_AUTH_DATABASE_URL"])
        invitation = users.create(database, name, "patient", fhir_user=self.subject["reference"])
        users.accept(database, invitation.code, PASSWORD, length=12)
        database.close()
        return {"username": name, "password": PASSWORD}

    def draft(self) -> dict[str, Any]:
        """A result that awaits a review; the Observation whose value is shown."""
        key, about = uuid4().hex, {"status": "preliminary", "subject": self.subject}
        device = self.put(
            {
                "resourceType": "Device",
                "deviceName": [{"name": "Demo algorithm", "type": "user-friendly-name"}],
                "safety": [{"text": "Not for clinical use"}],
            }
        )
        value = self.put(
            {
                "resourceType": "Observation",
                "identifier": [{"system": RESULT, "value": f"{key}#core"}],
                "category": [{"coding": [{"system": CATEGORY, "code": "imaging"}]}],
                "code": {"text": "Tumour core: volume", "coding": [{"code": "tumour-core-volume"}]},
                "valueQuantity": {"value": 4.747, "unit": "mL"},
                "component": [
                    {"code": {"coding": [{"code": "confidence"}]}, "valueQuantity": {"value": 0.94}}
                ],
                "device": {"reference": f"Device/{device['id']}"},
                **about,
            }
        )
        report = self.put(
            {
                "resourceType": "DiagnosticReport",
                "identifier": [{"system": RESULT, "value": key}],
                "code": {"text": "MR brain"},
                "basedOn": [{"reference": self.study.reference}],
                "imagingStudy": [{"reference": f"ImagingStudy/{self.resource['id']}"}],
                "result": [{"reference": f"Observation/{value['id']}"}],
                "conclusion": "<img src=x onerror=alert(1)> Draft by software.",
                **about,
            }
        )
        self.put(
            {
                "resourceType": "Task",
                "identifier": [{"system": RESULT, "value": key}],
                "status": "completed",
                "intent": "order",
                "code": {"coding": [{"system": TASK, "code": "ai-inference"}]},
                "businessStatus": {"coding": [{"system": REVIEW, "code": "awaiting-review"}]},
                "focus": {"reference": f"ImagingStudy/{self.resource['id']}"},
                "for": self.subject,
                "output": [
                    {
                        "type": {"text": "report"},
                        "valueReference": {"reference": f"DiagnosticReport/{report['id']}"},
                    }
                ],
            }
        )
        return value

    def task(self) -> dict[str, Any]:
        """The Task of the draft, as it is stored now."""
        return next(task for task in self.clinic.tasks(self.study) if task["status"] == "completed")


@pytest.fixture(scope="module")
def reading(hospital: Run, clinic: Clinic, single_series: list[Dataset]) -> Iterator[Reading]:
    found = Reading(hospital, clinic, single_series)
    yield found
    found.hapi.close()


def test_the_doctor_approves_exactly_what_is_shown_and_the_radiologist_signs_it(
    browser: Browser, reading: Reading
) -> None:
    doctor = person(browser, reading.stack.base_url, "ko")
    doctor.log_in(reading.people["doctor"], reading.path)
    # One series is no study for the demo's network: the panel is open, and says why there is no result.
    expect(doctor.wait("unsuitable")).to_contain_text("사유")
    value = reading.draft()
    shown = doctor.wait("preliminary")  # by itself: the WebSocket told of a new Task
    for text in (WORDS["ko"]["draft"], "4.747 mL", "0.94", "임상에 사용할 수 없음", "종양 핵심부"):
        expect(shown).to_contain_text(text)
    assert shown.locator("img").count() == 0
    assert doctor.judged() == []
    confirm = doctor.panel.get_by_role("button", name=WORDS["ko"]["confirm"])
    with doctor.without_news():
        doctor.panel.get_by_role("button", name=WORDS["ko"]["approve"]).press("Enter")
        assert doctor.judged() == []
        confirm.press("Enter")  # without the tick nothing is sent
        assert reading.task()["businessStatus"]["coding"][0]["code"] == "awaiting-review"
        # While the doctor reads, a value changes without a new version of the report.
        reading.put({**value, "valueQuantity": {"value": 9.5, "unit": "mL"}})
        doctor.panel.get_by_role("checkbox").press("Space")
        confirm.press("Enter")
    expect(doctor.panel.get_by_role("status")).to_contain_text("아무것도 처리되지 않았습니다")
    expect(doctor.wait("preliminary")).to_contain_text("9.5 mL")
    assert reading.task()["businessStatus"]["coding"][0]["code"] == "awaiting-review"
    doctor.panel.get_by_role("button", name=WORDS["ko"]["approve"]).press("Enter")
    doctor.panel.get_by_role("checkbox").press("Space")
    confirm.press("Enter")
    doctor.wait("approved")
    assert reading.task()["businessStatus"]["coding"][0]["code"] == "approved"
    expect(doctor.panel.get_by_role("button", name="서명 …")).to_have_count(0)

    patient = person(browser, reading.stack.base_url, "ko")
    patient.log_in(reading.patient_login(), "/auth/me")
    patient.page.wait_for_url("**/auth/me")
    patient.alone(reading.study.uid)
    patient.wait("none")
    assert "9.5" not in patient.page.content()

    radiologist = person(browser, reading.stack.base_url, "en", width=400)
    radiologist.log_in(reading.people["rib"], "/auth/me")
    radiologist.page.wait_for_url("**/auth/me")
    radiologist.alone(reading.study.uid)
    radiologist.wait("approved")
    radiologist.panel.get_by_role("button", name="Sign …").press("Enter")
    radiologist.panel.get_by_role("checkbox").press("Space")
    radiologist.panel.get_by_role("button", name="Sign this report").press("Enter")
    radiologist.wait("final")
    assert radiologist.judged() == []
    doctor.wait("final")  # told by the WebSocket
    patient.panel.get_by_role("button", name="새로 고침").click()
    expect(patient.wait("final")).to_contain_text("9.5 mL")
    expect(patient.panel.get_by_role("button")).to_have_count(1)  # nothing but to refresh
    assert doctor.faults + patient.faults + radiologist.faults == []


def result(state: str) -> dict[str, Any]:
    """An answer of the facade with one result in this state."""
    review = {"approved": "approved", "rejected": "rejected"}.get(state, "awaiting-review")
    jobs = {"running": "in-progress", "failed": "failed", "unsuitable": "rejected"}
    reports = {"preliminary": "preliminary", "approved": "preliminary", "rejected": "cancelled"}
    reports |= {"withdrawn": "entered-in-error", "final": "final", "corrected": "corrected"}
    reason = {"text": "a reason"} if state in ("failed", "unsuitable", "rejected") else {}
    task = {
        "resourceType": "Task",
        "id": "t",
        "meta": {"versionId": "1"},
        "status": jobs.get(state, "completed"),
        "statusReason": reason,
        "businessStatus": {"coding": [{"system": REVIEW, "code": review}]},
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "meta": {"versionId": "1"},
        "status": reports.get(state),
    }
    return {
        "task": task,
        "report": report if state in reports else None,
        "observations": [],
        "device": None,
        "content": "sha256:x",
        "operations": {"$review": None, "$sign": "ERR_007"} if state in reports else {},
        "problem": "ERR_103" if state == "broken" else None,
    }


STATES = (
    *("running", "preliminary", "approved", "final", "corrected"),
    *("rejected", "withdrawn", "failed", "unsuitable", "broken"),
)


@pytest.mark.parametrize("lang", LOCALES)
def test_each_state_of_a_result_is_said_in_words_and_offers_only_what_it_allows(
    browser: Browser, reading: Reading, lang: str
) -> None:
    one = person(browser, reading.stack.base_url, lang, width=280)
    one.log_in(reading.people["doctor"], "/auth/me")
    one.page.wait_for_url("**/auth/me")
    answer: dict[str, Any] = {
        "status": 200,
        "json": {"study": {"reference": "ImagingStudy/s"}, "results": []},
    }
    one.page.route("**/viewer/studies/*/results", lambda route: route.fulfill(**answer))
    one.alone(reading.study.uid)
    one.wait("none")
    words = set()
    for state in STATES:
        answer["json"] = {"study": {"reference": "ImagingStudy/s"}, "results": [result(state)]}
        one.panel.get_by_role("button").first.click()
        article = one.wait(state)
        words.add(article.locator(".state").inner_text())
        offered = article.get_by_role("button").all_inner_texts()
        assert len(offered) == (2 if state == "preliminary" else 0), (state, offered)
        assert article.get_by_role("link").count() == (state == "approved"), "a login that is too old says so"
        assert one.judged() == [], state
    assert len(words) == len(STATES)
    assert all(any("가" <= letter <= "힣" for letter in word) is (lang == "ko") for word in words)
    for status in (401, 403, 404, 503):
        answer |= {"status": status, "json": {"issue": []}}
        one.panel.get_by_role("button").first.click()
        one.wait(f"error-{status}")
        assert one.panel.locator("article").count() == 0
        assert one.judged() == []
    assert one.faults == []


def test_a_rejection_needs_a_reason_and_what_is_typed_is_no_shortcut_of_the_viewer(
    browser: Browser, reading: Reading
) -> None:
    one = person(browser, reading.stack.base_url, "en")
    one.log_in(reading.people["doctor"], "/auth/me")
    one.page.wait_for_url("**/auth/me")
    answer = {"study": {"reference": "ImagingStudy/s"}, "results": [result("preliminary")]}
    one.page.route("**/viewer/studies/*/results", lambda route: route.fulfill(json=answer))
    asked: list[dict[str, Any]] = []
    one.page.route(
        "**/fhir/Task/t/$review", lambda route: (asked.append(route.request.post_data_json), route.abort())
    )
    one.alone(reading.study.uid)
    one.page.evaluate("document.addEventListener('keydown', event => (window.leaked = event.key))")
    one.wait("preliminary")
    one.panel.get_by_role("button", name="Reject …").click()
    confirm = one.panel.get_by_role("button", name="Reject this result")
    confirm.click()
    assert asked == []
    one.panel.get_by_role("textbox").press_sequentially("artefact")
    assert one.page.evaluate("window.leaked") is None
    assert one.judged() == []
    confirm.click()
    expect(one.panel.get_by_role("status")).to_contain_text("cannot be read")
    given = {part["name"]: part for part in asked[0]["parameter"]}
    assert given["decision"]["valueCode"] == "reject"
    assert given["reason"]["valueString"] == "artefact"
    assert given["content"]["valueString"] == "sha256:x"


def test_an_act_is_never_left_open_on_something_else_than_what_is_shown(
    browser: Browser, reading: Reading
) -> None:
    one = person(browser, reading.stack.base_url, "en")
    one.log_in(reading.people["doctor"], "/auth/me")
    one.page.wait_for_url("**/auth/me")
    shown = result("preliminary")
    answer = {"study": {"reference": "ImagingStudy/s"}, "results": [shown]}
    one.page.route("**/viewer/studies/*/results", lambda route: route.fulfill(json=answer))
    one.page.route("**/viewer/studies/9.9/results", lambda route: None)  # no answer yet
    one.alone(reading.study.uid)
    one.wait("preliminary").get_by_role("button", name="Approve …").click()
    one.panel.get_by_role("checkbox").check()
    one.panel.get_by_role("button", name="Refresh").click()
    expect(one.panel.get_by_role("checkbox")).to_be_checked()  # nothing has changed
    shown["content"] = "sha256:y"
    one.panel.get_by_role("button", name="Refresh").click()
    expect(one.panel.get_by_role("status")).to_contain_text("has changed")
    expect(one.panel.locator("form")).to_have_count(0)
    one.page.evaluate(
        """async () => {
          const { ResultPanel } = await import('/pacs-viewer/neuronova/panel.js');
          ResultPanel.study = () => '9.9';
          window.dispatchEvent(new Event('neuronova-study'));
        }"""
    )
    expect(one.panel.locator("article")).to_have_count(0)


def test_a_measurement_is_stored_as_dicom_sr_and_the_list_shows_a_patient_their_own_study_only(
    browser: Browser, reading: Reading
) -> None:
    doctor = person(browser, reading.stack.base_url, "en")
    doctor.log_in(reading.people["doctor"], reading.path)
    page = doctor.page
    page.locator("[data-cy=viewport-overlay-bottom-right]").filter(has_text="/16").wait_for(timeout=60_000)
    page.locator('[data-cy="MeasurementTools-split-button-primary"]').click()
    page.mouse.move(600, 400)
    page.mouse.down()
    page.mouse.move(660, 430, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Yes").click()  # "Track measurements?"
    page.locator('[data-cy="trackedMeasurements-btn"]').click()
    page.get_by_text("Create SR").first.click()
    with page.expect_response(
        lambda got: got.request.method == "POST" and "/dicom-web/" in got.url
    ) as stored:
        page.get_by_role("button", name="Save").first.click()
    assert stored.value.status == 200, stored.value.text()
    uid = reading.study.uid

    def structured_reports() -> list[Any]:
        found: list[Any] = page.evaluate(
            "async path => (await fetch(path)).json()", f"/dicom-web/studies/{uid}/instances?Modality=SR"
        )
        return found

    (report,) = wait_for(structured_reports, "the SR in the study", 60)
    assert report["00080016"]["Value"] == ["1.2.840.10008.5.1.4.1.1.88.22"]  # Enhanced SR
    assert doctor.faults == []

    patient = person(browser, reading.stack.base_url, "en")
    with patient.page.expect_response(lambda got: "/dicom-web/studies?" in got.url) as listed:
        patient.log_in(reading.patient_login(), "/pacs-viewer/")
    assert [row["0020000D"]["Value"] for row in listed.value.json()] == [[uid]]
    assert patient.faults == []
