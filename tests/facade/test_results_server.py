"""What the viewer's panel gets: one decision for cookie and token, and acts on exactly what was shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from facade import names
from imaging.study import study_identifier
from tests.facade.signing import amend, draft, review, sign
from tests.facade.stored import Images
from tests.facade.world import World, code_of, observation
from tests.smart_auth.flow import ORIGIN, log_in

pytestmark = pytest.mark.server


class Case:
    """A study with a draft of the AI, and people who ask for it."""

    def __init__(self, images: Images, uid: str, case: dict[str, str]) -> None:
        self.world, self.workers, self.uid, self.case = images.world, images.workers, uid, case

    async def ask(self, who: str | None, uid: str | None = None, **headers: str) -> httpx.Response:
        sent = {**(self.world.tokens[who] if who else {}), **headers}
        async with self.world.browser() as browser:
            return await browser.get(f"/viewer/studies/{uid or self.uid}/results", headers=sent)

    async def results(self, who: str) -> list[dict[str, Any]]:
        answer = await self.ask(who)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["results"]
        return found


@pytest.fixture
async def case(images: Images, people: dict[str, str]) -> Case:
    uid = await images.study(people["own"])
    page = await images.workers.search("ImagingStudy", [("identifier", study_identifier(uid))])
    study = page["entry"][0]["resource"]
    return Case(images, uid, await draft(images.world, images.workers, people, study))


@asynccontextmanager
async def session(world: World, who: str) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """A browser with the viewer's cookie, and the headers of an unsafe request of our own page."""
    async with world.browser() as browser:
        await log_in(browser, who)
        csrf = (await browser.get("/auth/me")).json()["csrf"]
        yield browser, {"Origin": ORIGIN, "X-CSRF-Token": csrf, "Content-Type": "application/fhir+json"}


def reviewing(shown: dict[str, Any], **changed: str) -> tuple[str, dict[str, Any], str]:
    """Address, body and If-Match of an approval of what the panel shows."""
    report = shown["report"]
    values = {
        "decision": {"valueCode": changed.get("decision", "approve")},
        "report": {
            "valueReference": {
                "reference": f"DiagnosticReport/{report['id']}/_history/{report['meta']['versionId']}"
            }
        },
        "content": {"valueString": changed.get("content", shown["content"])},
    }
    parameters = [{"name": name, **value} for name, value in values.items() if value != {"valueString": ""}]
    body = {"resourceType": "Parameters", "parameter": parameters}
    task = shown["task"]
    return f"/fhir/Task/{task['id']}/$review", body, f'W/"{task["meta"]["versionId"]}"'


async def test_staff_see_the_draft_with_its_values_by_token_and_by_cookie(case: Case) -> None:
    (by_token,) = await case.results("doctor")
    assert f"DiagnosticReport/{by_token['report']['id']}" == case.case["report"]
    assert by_token["report"]["status"] == "preliminary"
    assert [one["valueQuantity"]["value"] for one in by_token["observations"]] == [12.5, 3.0]
    assert by_token["operations"] == {"$review": None, "$sign": "ERR_004"}
    async with session(case.world, "doctor") as (browser, _):
        by_cookie = (await browser.get(f"/viewer/studies/{case.uid}/results")).json()["results"]
    assert by_cookie == [by_token]


async def test_a_draft_does_not_exist_for_patient_and_partner(case: Case) -> None:
    assert await case.results("patient") == []
    assert (await case.ask("external")).status_code == 404
    assert (await case.ask("lab")).status_code == 403
    assert (await case.ask("nurse")).status_code == 403
    assert (await case.ask(None)).status_code == 401
    assert (await review(case.world, case.case)).status_code == 200
    assert await case.results("patient") == []  # approved, not signed
    assert (await sign(case.world, case.case)).status_code == 200
    (released,) = await case.results("patient")
    assert released["report"]["status"] == "final"
    assert len(released["observations"]) == 2
    # What is the hospital's own business is not theirs: the job, its reviewers, the acts.
    assert (released["task"], released["content"], released["operations"]) == (None, None, {})


async def test_of_a_withdrawn_result_a_patient_learns_that_it_is_withdrawn_and_nothing_else(
    case: Case,
) -> None:
    assert (await review(case.world, case.case)).status_code == 200
    assert (await sign(case.world, case.case)).status_code == 200
    assert (await amend(case.world, case.case, "entered-in-error")).status_code == 200
    (shown,) = await case.results("patient")
    assert shown["report"]["status"] == "entered-in-error"
    assert "valueQuantity" not in str(shown)


async def test_a_rejected_result_is_gone_for_the_patient_and_says_why_to_staff(case: Case) -> None:
    assert (await review(case.world, case.case, "reject", reason="artefact")).status_code == 200
    assert await case.results("patient") == []
    (shown,) = await case.results("rib")
    assert shown["report"]["status"] == "cancelled"
    assert shown["task"]["statusReason"]["text"] == "artefact"


async def test_a_study_that_is_not_yours_looks_like_one_that_is_not_there(
    case: Case, images: Images, people: dict[str, str]
) -> None:
    foreign = await images.study(people["foreign"])
    answers = [await case.ask("patient", uid) for uid in (foreign, "1.2.3.4", "1" * 65, "x", "..%2fstudies")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({code_of(answer) for answer in answers}) == 1


async def test_a_part_about_another_patient_is_said_and_not_shown(case: Case, people: dict[str, str]) -> None:
    foreign = await case.workers.create(observation(people["foreign"], "imaging", "preliminary"))
    report = await case.workers.read("DiagnosticReport", case.case["report"].split("/")[1])
    report["result"].append({"reference": f"Observation/{foreign['id']}"})
    await case.workers.update(report)
    (shown,) = await case.results("doctor")
    assert (shown["report"], shown["observations"], shown["problem"]) == (None, [], "ERR_103")
    assert shown["operations"] == {}


async def test_a_report_about_another_patient_than_the_study_is_not_shown(
    case: Case, people: dict[str, str]
) -> None:
    report = await case.workers.read("DiagnosticReport", case.case["report"].split("/")[1])
    await case.workers.update(report | {"subject": {"reference": people["foreign"]}, "result": []})
    (shown,) = await case.results("doctor")
    assert (shown["report"], shown["problem"], shown["operations"]) == (None, "ERR_103", {})


async def test_what_was_withdrawn_with_the_studys_former_patient_is_not_shown(case: Case) -> None:
    stored = await case.workers.read("Task", case.case["task"].split("/")[1])
    await case.workers.update({**stored, "status": "entered-in-error"})
    assert await case.results("doctor") == []


async def test_who_does_not_see_every_value_can_approve_and_sign_nothing(case: Case) -> None:
    hidden = await case.workers.read("Observation", case.case["observation"].split("/")[1])
    await case.workers.update(hidden | {"category": [{"text": "of no known kind"}]})
    (shown,) = await case.results("doctor")
    assert (len(shown["observations"]), shown["content"], shown["operations"]) == (1, None, {})


async def test_a_running_job_is_shown_without_a_report(case: Case) -> None:
    stored = await case.workers.read("Task", case.case["task"].split("/")[1])
    await case.workers.update({**stored, "status": "in-progress", "output": [], "businessStatus": {}})
    (shown,) = await case.results("doctor")
    assert (shown["task"]["status"], shown["report"], shown["problem"]) == ("in-progress", None, None)


async def test_seeing_a_result_is_on_record_and_so_is_a_refusal(case: Case, people: dict[str, str]) -> None:
    await case.results("doctor")
    last = case.world.trail()[-1]["event"]
    assert (last["action"], last["outcome"]) == ("R", "0")
    for reference in (people["own"], case.case["report"], case.case["task"], case.case["observation"]):
        assert reference in str(last["entity"])
    await case.ask("nurse")
    assert case.world.trail()[-1]["event"]["outcome"] == "8"


async def test_the_cookie_reviews_what_was_shown_and_only_from_our_own_page(case: Case) -> None:
    (shown,) = await case.results("doctor")
    address, body, version = reviewing(shown)
    async with session(case.world, "doctor") as (browser, good):
        good["If-Match"] = version
        for bad in (
            {"Origin": "http://elsewhere"},
            {"Origin": ""},
            {"X-CSRF-Token": "x"},
            {"X-CSRF-Token": ""},
        ):
            assert (await browser.post(address, json=body, headers=good | bad)).status_code == 403, bad
        blind = reviewing(shown, content="")[1]
        refused = await browser.post(address, json=blind, headers=good)
        assert (refused.status_code, code_of(refused)) == (422, "ERR_103")
        assert (await case.results("doctor"))[0]["task"]["meta"] == shown["task"]["meta"]
        approved = await browser.post(address, json=body, headers=good)
        assert approved.status_code == 200, approved.text
    (after,) = await case.results("doctor")
    assert after["task"]["businessStatus"]["coding"][0]["code"] == "approved"


async def test_a_value_that_changed_after_it_was_shown_is_neither_approved_nor_signed(case: Case) -> None:
    (shown,) = await case.results("doctor")
    address, body, version = reviewing(shown)
    value = (await case.world.ask("rib", "GET", case.case["observation"])).json()
    changed = value | {"valueQuantity": {"value": 99, "unit": "mL"}}
    assert (await case.world.ask("rib", "PUT", case.case["observation"], json=changed)).status_code == 200
    async with session(case.world, "doctor") as (browser, headers):
        stale = await browser.post(address, json=body, headers=headers | {"If-Match": version})
    assert (stale.status_code, code_of(stale)) == (412, "ERR_301")
    assert (await review(case.world, case.case)).status_code == 200
    (now,) = await case.results("rib")
    sign_body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "content", "valueString": shown["content"]}],
    }
    match = {"If-Match": f'W/"{now["report"]["meta"]["versionId"]}"'}
    async with session(case.world, "rib") as (browser, headers):
        address = f"/fhir/{case.case['report']}/$sign"
        stale = await browser.post(address, json=sign_body, headers=headers | match)
        assert (stale.status_code, code_of(stale)) == (412, "ERR_301")
        blind = await browser.post(address, json={"resourceType": "Parameters"}, headers=headers | match)
        assert (blind.status_code, code_of(blind)) == (422, "ERR_103")
        sign_body["parameter"][0]["valueString"] = now["content"]  # type: ignore[index]
        forged = await browser.post(address, json=sign_body, headers=headers | match | {"X-CSRF-Token": "x"})
        assert forged.status_code == 403
        signed = await browser.post(address, json=sign_body, headers=headers | match)
        assert signed.status_code == 200, signed.text
        assert signed.json()["status"] == "final"
        amend = {"name": "status", "valueCode": "entered-in-error"}
        body = {"resourceType": "Parameters", "parameter": [amend, {"name": "reason", "valueString": "x"}]}
        current = {"If-Match": f'W/"{signed.json()["meta"]["versionId"]}"'}
        refused = await browser.post(address, json=body, headers=headers | current)
        assert refused.status_code == 400  # what is signed is changed by an app of its own, not beside images


async def test_the_cookie_reads_no_plain_fhir(case: Case) -> None:
    async with session(case.world, "doctor") as (browser, headers):
        for part in ("report", "observation", "task"):
            answer = await browser.get(f"/fhir/{case.case[part]}")
            assert (answer.status_code, code_of(answer)) == (403, "ERR_006")
        answer = await browser.put(
            f"/fhir/{case.case['report']}", json={"resourceType": "DiagnosticReport"}, headers=headers
        )
        assert (answer.status_code, code_of(answer)) == (403, "ERR_006")


async def test_who_may_not_see_the_task_is_not_told_that_there_is_one(
    case: Case, people: dict[str, str]
) -> None:
    stored = await case.workers.read("Task", case.case["task"].split("/")[1])
    assert stored["code"]["coding"][0] == {"system": names.TASK, "code": names.TASK_CODE}
    none = await case.ask("patient")
    await case.workers.update({**stored, "status": "failed", "output": []})
    assert (await case.ask("patient")).json() == none.json()
