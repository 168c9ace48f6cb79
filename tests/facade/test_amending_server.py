"""What changes a signed report: only `$sign`, with a reason, signed anew, the old version kept. Real HAPI."""

import base64
from typing import Any

import pytest

from facade import names, signature
from facade.hapi import HAPIClient
from tests.facade.signing import amend, draft, signed
from tests.facade.world import World, code_of, observation

pytestmark = pytest.mark.server
People = dict[str, str]


async def read(world: World, reference: str, who: str = "rib") -> dict[str, Any]:
    """What somebody reads."""
    answer = await world.ask(who, "GET", reference)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def provenance(
    world: World, workers: HAPIClient, case: dict[str, str], activity: str
) -> dict[str, Any]:
    """The Provenance of one step, its signature checked against what HAPI holds."""
    trail = await read(world, f"Provenance?target={case['report']}")
    code = {"system": names.ACTIVITY, "code": activity}
    (found,) = [
        entry["resource"] for entry in trail["entry"] if entry["resource"]["activity"]["coding"] == [code]
    ]
    rows = []
    for target in found["target"]:
        type_, id_, _, version = target["reference"].split("/")
        rows.append(signature.entry(await workers.vread(type_, id_, version), version))
    jws = base64.b64decode(found["signature"][0]["data"]).decode()
    assert world.services.report_key.verify_detached(signature.manifest(rows, ["2.25.42"]), jws)
    return dict(found)


async def test_a_corrected_value_is_signed_with_its_reason_and_the_earlier_version_stays(
    world: World, workers: HAPIClient, people: People
) -> None:
    case = await signed(world, workers, people)
    before, old = await read(world, case["report"]), await read(world, case["observation"])
    new = old | {"valueQuantity": {"value": 14.5, "unit": "mL"}}
    answer = await amend(world, case, "corrected", before | {"conclusion": "14.5 mL"}, new)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["status"], report["conclusion"]) == ("corrected", "14.5 mL")
    assert report["issued"] > before["issued"]
    shown = await read(world, case["observation"], "patient")
    assert (shown["status"], shown["valueQuantity"]["value"]) == ("corrected", 14.5)
    assert (await read(world, case["report"], "patient"))["status"] == "corrected"
    version = before["meta"]["versionId"]
    assert "conclusion" not in await read(world, f"{case['report']}/_history/{version}", "patient")
    assert (await read(world, f"{case['report']}/_history/{version}"))["status"] == "final"
    said = await provenance(world, workers, case, "corrected")
    assert said["reason"] == [{"text": "seen again"}]
    assert said["agent"][0]["who"] == {"reference": people["rib"]}
    assert len(said["target"]) == 3  # the Observation that did not change is signed for as well


async def test_an_amendment_takes_up_a_new_result_and_withdraws_what_it_drops(
    world: World, workers: HAPIClient, people: People
) -> None:
    case = await signed(world, workers, people)
    report = await read(world, case["report"])
    added = await world.ask(
        "rib", "POST", "Observation", json=observation(people["own"], "imaging", "preliminary")
    )
    new = {"reference": f"Observation/{added.json()['id']}"}
    kept = [one for one in report["result"] if one["reference"] != case["observation"]]
    answer = await amend(world, case, "amended", report | {"result": [*kept, new]})
    assert answer.status_code == 200, answer.text
    assert (await read(world, new["reference"], "patient"))["status"] == "final"
    assert "valueQuantity" not in await read(world, case["observation"], "patient")
    assert (await read(world, case["observation"]))["status"] == "entered-in-error"
    # It stays withdrawn: no plain write says otherwise.
    back = (await read(world, case["observation"])) | {"status": "final"}
    assert code_of(await world.ask("rib", "PUT", case["observation"], json=back)) == "ERR_404"


async def test_appending_adds_and_changes_nothing_that_was_said(
    world: World, workers: HAPIClient, people: People
) -> None:
    case = await signed(world, workers, people)
    report = await read(world, case["report"])
    assert (await amend(world, case, "corrected", report | {"conclusion": "One."})).status_code == 200
    report = await read(world, case["report"])
    refused = await amend(world, case, "appended", report | {"conclusion": "Two.", "result": []})
    assert refused.status_code == 422
    assert [issue["expression"] for issue in refused.json()["issue"]] == [
        ["DiagnosticReport.conclusion"],
        ["DiagnosticReport.result"],
    ]
    assert (await amend(world, case, "appended", await read(world, case["observation"]))).status_code == 422
    answer = await amend(world, case, "appended", report | {"conclusion": "One. Two."})
    assert (answer.status_code, answer.json()["status"]) == (200, "appended")


async def test_a_withdrawn_report_is_a_tombstone_to_the_patient_with_all_its_results(
    world: World, workers: HAPIClient, people: People
) -> None:
    case = await signed(world, workers, people)
    answer = await amend(world, case, "entered-in-error")
    assert answer.status_code == 200, answer.text
    for part in (case["report"], case["observation"]):
        assert (await read(world, part))["status"] == "entered-in-error"
        assert set(await read(world, part, "patient")) <= {
            "resourceType", "id", "meta", "subject", "status", "code"
        }  # fmt: skip
        assert (await world.ask("patient", "GET", f"{part}/_history/2")).status_code == 404
    found = await read(world, f"DiagnosticReport?_id={case['report'].split('/')[1]}", "patient")
    assert found.get("entry", []) == []
    await provenance(world, workers, case, "withdrawn")
    assert code_of(await amend(world, case, "amended")) == "ERR_404"


@pytest.mark.parametrize(
    ("status", "change", "code"),
    [
        ("final", {}, "ERR_103"),
        ("cancelled", {}, "ERR_103"),
        ("amended", {}, "ERR_103"),  # nothing is changed
        ("amended", {"conclusion": "x", "subject": {"reference": "foreign"}}, "ERR_103"),
        ("amended", {"conclusion": "x", "identifier": []}, "ERR_103"),
        ("amended", {"conclusion": "x", "code": {"text": "another"}}, "ERR_103"),
        ("amended", {"result": [{"reference": "Observation/foreign"}]}, "ERR_108"),
        ("amended", {"conclusion": 5}, "ERR_103"),
        ("entered-in-error", {"conclusion": "x"}, "ERR_103"),
    ],
)
async def test_an_amendment_changes_content_and_nothing_else(
    world: World,
    workers: HAPIClient,
    people: People,
    shared: dict[str, str],
    status: str,
    change: Any,
    code: str,
) -> None:
    report = await read(world, shared["report"])
    if "subject" in change:
        change = change | {"subject": {"reference": people["foreign"]}}
    refused = await amend(world, shared, status, report | change)
    assert (refused.status_code, code_of(refused)) == (422, code)
    assert await read(world, shared["report"]) == report


@pytest.fixture(scope="module")
async def shared(world: World, workers: HAPIClient, people: People) -> dict[str, str]:
    """One signed result that no test changes."""
    return await signed(world, workers, people)


async def test_who_when_and_why_are_asked_for(
    world: World, workers: HAPIClient, people: People, shared: dict[str, str]
) -> None:
    report = (await read(world, shared["report"])) | {"conclusion": "x"}
    for who in ("doctor", "admin", "nurse", "lab", "patient", "external"):
        assert (await amend(world, shared, "amended", report, who=who)).status_code == 403, who
    assert code_of(await amend(world, shared, "amended", report, reason=None)) == "ERR_103"
    assert code_of(await amend(world, shared, "amended", report, reason=" ")) == "ERR_101"
    assert code_of(await amend(world, shared, "amended", report, version='W/"1"')) == "ERR_301"
    unsigned = await draft(world, workers, people)
    assert code_of(await amend(world, unsigned, "entered-in-error")) == "ERR_404"


async def test_a_lost_answer_is_found_again_and_another_amendment_is_not(
    world: World, workers: HAPIClient, people: People
) -> None:
    case = await signed(world, workers, people)
    before = await world.ask("rib", "GET", case["report"])
    new, version = before.json() | {"conclusion": "x"}, before.headers["etag"]
    first = await amend(world, case, "amended", new, version=version)
    again = await amend(world, case, "amended", new, version=version)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    for other in (
        await amend(world, case, "corrected", new, version=version),
        await amend(world, case, "amended", new | {"conclusion": "y"}, version=version),
        await amend(world, case, "amended", new, version=version, reason="another"),
    ):
        assert code_of(other) == "ERR_301"


@pytest.mark.parametrize("change", [{"status": "entered-in-error"}, {"note": [{"text": "edited"}]}])
async def test_no_plain_write_touches_a_signed_result(
    world: World, workers: HAPIClient, people: People, shared: dict[str, str], change: dict[str, Any]
) -> None:
    old = await read(world, shared["observation"])
    assert code_of(await world.ask("rib", "PUT", shared["observation"], json=old | change)) == "ERR_404"
    name, value = next(iter(change.items()))
    patched = await world.ask(
        "rib",
        "PATCH",
        shared["observation"],
        json=[{"op": "add", "path": f"/{name}", "value": value}],
        headers={
            "Content-Type": "application/json-patch+json",
            "If-Match": f'W/"{old["meta"]["versionId"]}"',
        },
    )
    assert code_of(patched) == "ERR_404"
    entry = {"resource": old | change, "request": {"method": "PUT", "url": shared["observation"]}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert code_of(await world.ask("rib", "POST", "", json=bundle)) == "ERR_404"
    assert await read(world, shared["observation"]) == old
