"""The life of a report on the real HAPI: review, signature, what is refused, what a second try finds."""

import base64
import json

import pytest

from facade import signature
from facade.hapi import HAPIClient
from smart_auth.keys import ReportKey
from tests.facade.signing import draft, review, sign, signed
from tests.facade.world import World, code_of, observation

pytestmark = pytest.mark.server


async def test_approved_and_signed_everything_is_final_and_the_signature_holds(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    case = await draft(world, workers, people)
    assert (await world.ask("patient", "GET", case["report"])).status_code == 404
    approved = await review(world, case)
    assert approved.status_code == 200, approved.text
    assert approved.json()["businessStatus"]["coding"][0]["code"] == "approved"
    signed = await sign(world, case)
    assert signed.status_code == 200, signed.text
    report = signed.json()
    assert (report["status"], report["resultsInterpreter"]) == ("final", [{"reference": people["rib"]}])
    assert (await world.ask("patient", "GET", case["observation"])).json()["status"] == "final"
    assert (await world.ask("doctor", "GET", case["order"])).json()["status"] == "completed"
    trail = (await world.ask("rib", "GET", f"Provenance?target={case['report']}")).json()["entry"]
    provenances = [entry["resource"] for entry in trail if "signature" in entry["resource"]]
    assert len(provenances) == 1
    rows = []
    for target in provenances[0]["target"]:
        type_, id_, _, version = target["reference"].split("/")
        rows.append(signature.entry(await workers.vread(type_, id_, version), version))
    payload = signature.manifest(rows, ["2.25.42"])
    jws = base64.b64decode(provenances[0]["signature"][0]["data"]).decode()
    key: ReportKey = world.services.report_key
    assert key.verify_detached(payload, jws)
    assert not key.verify_detached(payload.replace(b"2.25.42", b"2.25.43"), jws)
    assert len(json.loads(payload)["resources"]) == 3


async def test_a_signature_needs_an_approved_review(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    case = await draft(world, workers, people)
    refused = await sign(world, case)
    assert (refused.status_code, code_of(refused)) == (422, "ERR_403")


async def test_what_changes_after_the_review_is_reviewed_again_before_it_is_signed(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    case = await draft(world, workers, people)
    assert (await review(world, case)).status_code == 200
    taken_back = await review(world, case, "reject")
    assert (taken_back.status_code, code_of(taken_back)) == (422, "ERR_404"), "it awaits no review"
    changed = (await world.ask("rib", "GET", case["observation"])).json() | {"note": [{"text": "changed"}]}
    assert (await world.ask("rib", "PUT", case["observation"], json=changed)).status_code == 200
    refused = await sign(world, case)
    assert (refused.status_code, code_of(refused)) == (422, "ERR_403")
    again = await review(world, case)
    assert again.status_code == 200, again.text
    signed = await sign(world, case)
    assert (signed.status_code, signed.json()["status"]) == (200, "final")


async def test_a_rejection_cancels_report_and_observations_and_nothing_can_be_signed(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    case = await draft(world, workers, people)
    assert (await review(world, case, "reject", reason=" ")).status_code == 400
    rejected = await review(world, case, "reject", reason="artefact")
    assert rejected.status_code == 200, rejected.text
    assert rejected.json()["statusReason"]["text"] == "artefact"
    for part in (case["report"], case["observation"]):
        assert (await world.ask("doctor", "GET", part)).json()["status"] == "cancelled"
    refused = await sign(world, case)
    assert (refused.status_code, code_of(refused)) == (422, "ERR_404")


async def test_each_operation_belongs_to_one_role_and_needs_the_version(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    case = await draft(world, workers, people)
    for who in ("rib", "admin", "nurse", "patient"):
        assert (await review(world, case, who=who)).status_code == 403, who
    assert (await sign(world, case, who="doctor")).status_code == 403
    assert code_of(await review(world, case, version='W/"99"')) == "ERR_301"
    assert code_of(await review(world, case, shown=f"{case['report']}/_history/99")) == "ERR_301"
    parameters = {"resourceType": "Parameters"}
    bare = await world.ask("doctor", "POST", f"{case['task']}/$review", json=parameters)
    assert (bare.status_code, code_of(bare)) == (428, "ERR_302")
    assert code_of(await sign(world, case, version='W/"99"')) == "ERR_301"


async def test_a_retry_after_a_lost_answer_finds_the_work_done(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    case = await draft(world, workers, people)
    first = await review(world, case, version='W/"1"')
    again = await review(world, case, version='W/"1"', shown=f"{case['report']}/_history/1")
    assert first.status_code == again.status_code == 200
    assert again.json()["meta"]["versionId"] == first.json()["meta"]["versionId"]
    signed = await sign(world, case, version='W/"1"')
    once_more = await sign(world, case, version='W/"1"')
    assert signed.status_code == once_more.status_code == 200
    assert once_more.json()["meta"]["versionId"] == signed.json()["meta"]["versionId"]


async def test_a_rejection_leaves_what_another_report_has_released(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    released, other = await signed(world, workers, people), await draft(world, workers, people)
    report = (await world.ask("rib", "GET", other["report"])).json()
    report["result"].append({"reference": released["observation"]})
    assert (await world.ask("rib", "PUT", other["report"], json=report)).status_code == 200
    assert (await review(world, other, "reject", reason="artefact")).status_code == 200
    assert (await world.ask("rib", "GET", other["observation"])).json()["status"] == "cancelled"
    assert (await world.ask("patient", "GET", released["observation"])).json()["status"] == "final"


async def test_a_result_about_another_patient_is_neither_reviewed_nor_signed(
    world: World, workers: HAPIClient, people: dict[str, str]
) -> None:
    case = await draft(world, workers, people)
    foreign = await workers.create(observation(people["foreign"], "imaging", "preliminary"))
    report = await workers.read("DiagnosticReport", case["report"].split("/")[1])
    report["result"].append({"reference": f"Observation/{foreign['id']}"})
    await workers.update(report)
    assert code_of(await review(world, case)) == "ERR_103"
