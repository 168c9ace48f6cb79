"""Includes, order, histories and operations, for who sees all and who sees part, on the real HAPI."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from facade.hapi import HAPIClient
from tests.facade.world import World, code_of, ids, observation, order, patient

pytestmark = pytest.mark.server

FAMILY = "urn:demo:family"


async def _store(world: World, who: str, body: dict[str, Any]) -> str:
    made = await world.ask(who, "POST", body["resourceType"], json=body)
    assert made.status_code == 201, made.text
    return f"{body['resourceType']}/{made.json()['id']}"


async def test_an_include_does_not_go_through_what_is_hidden(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    """mine > draft (hidden) > order: the order is mine too, but what leads to it is not to be seen."""
    behind = await _store(world, "doctor", order(people["own"], people["doctor"]))
    based = [{"reference": behind}]
    draft = await workers.create(observation(people["own"], "imaging", "preliminary", basedOn=based))
    link = [{"reference": f"Observation/{draft['id']}"}]
    first = await _store(
        world, "doctor", observation(people["own"], derivedFrom=link, code={"text": "first"})
    )
    id_ = first.split("/")[1]
    asked = f"Observation?_id={id_}&_include=Observation:derived-from&_include:iterate=Observation:based-on"
    assert ids(await world.ask("patient", "GET", asked), "include") == set()
    assert ids(await world.ask("doctor", "GET", asked), "include") == {f"Observation/{draft['id']}", behind}
    back = f"ServiceRequest?_id={behind.split('/')[1]}&_revinclude=Observation:based-on"
    further = f"{back}&_revinclude:iterate=Observation:derived-from"
    assert ids(await world.ask("patient", "GET", further), "include") == set()
    assert ids(await world.ask("doctor", "GET", further), "include") == {f"Observation/{draft['id']}", first}


async def test_wildcards_add_what_may_be_seen(world: World, people: dict[str, str]) -> None:
    value = uuid4().hex
    marked = {"identifier": [{"system": FAMILY, "value": value}]}
    asked_for = await _store(world, "doctor", order(people["own"], people["doctor"], **marked))
    shown = await _store(
        world, "doctor", observation(people["own"], basedOn=[{"reference": asked_for}],
                                     focus=[{"reference": people["foreign"]}], **marked)
    )  # fmt: skip
    path = f"ServiceRequest?identifier={FAMILY}|{value}"
    mine = await world.ask("patient", "GET", f"{path}&_include=*&_revinclude=*")
    assert ids(mine) == {asked_for}
    assert ids(mine, "include") == {people["own"], people["doctor"], shown}
    onward = await world.ask("patient", "GET", f"{path}&_revinclude=*&_include:iterate=*")
    assert people["foreign"] not in ids(onward, "include")
    all_of_it = await world.ask("doctor", "GET", f"{path}&_revinclude=*&_include:iterate=*")
    assert {shown, people["foreign"], people["own"]} <= ids(all_of_it, "include")
    doctor = next(
        e["resource"] for e in mine.json()["entry"] if e["resource"]["resourceType"] == "Practitioner"
    )
    assert set(doctor) <= {"resourceType", "id", "meta", "name", "identifier", "active"}, "a name and no more"
    refused = await world.ask("patient", "GET", "ServiceRequest?_revinclude=Task:focus")
    assert refused.status_code == 403, "named and not allowed, unlike a wildcard"


async def test_medication_is_a_choice_and_is_followed(world: World, people: dict[str, str]) -> None:
    drug = await _store(world, "doctor", {"resourceType": "Medication", "code": {"text": "demo"}})
    wanted = await _store(world, "doctor", {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "subject": {"reference": people["own"]}, "medicationReference": {"reference": drug},
    })  # fmt: skip
    asked = f"MedicationRequest?_id={wanted.split('/')[1]}&_include=MedicationRequest:medication"
    assert ids(await world.ask("patient", "GET", asked), "include") == {drug}


async def test_order_through_a_reference_needs_sight_of_all_it_reaches(
    world: World, people: dict[str, str]
) -> None:
    value, found = uuid4().hex, []
    for family in ("Bbb", "Aaa"):
        who = await _store(world, "admin", patient(f"{family}^Sort"))
        marked = {"identifier": [{"system": FAMILY, "value": value}]}
        found.append(await _store(world, "doctor", order(who, people["doctor"], **marked)))
    path = f"ServiceRequest?identifier={FAMILY}|{value}&_sort="
    for sort, expected in (("subject:Patient.family", [1, 0]), ("-subject:Patient.family", [0, 1])):
        answer = await world.ask("doctor", "GET", path + sort)
        assert answer.status_code == 200, answer.text
        shown = [f"ServiceRequest/{entry['resource']['id']}" for entry in answer.json()["entry"]]
        assert shown == [found[n] for n in expected]
    for who in ("patient", "external"):
        refused = await world.ask(who, "GET", path + "subject:Patient.family")
        assert (refused.status_code, code_of(refused)) == (403, "ERR_008"), who


async def test_history_of_a_type_holds_what_is_visible_now(world: World, people: dict[str, str]) -> None:
    mine = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    path = f"ServiceRequest/{mine.json()['id']}"
    assert (
        await world.ask("doctor", "PUT", path, json=mine.json() | {"priority": "stat"})
    ).status_code == 200
    theirs = await _store(world, "doctor", order(people["foreign"], people["doctor"]))
    left = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    gone = f"ServiceRequest/{left.json()['id']}"
    moved = left.json() | {"subject": {"reference": people["foreign"]}}
    assert (await world.ask("doctor", "PUT", gone, json=moved)).status_code == 200
    shown: list[tuple[str, str]] = []
    page: str | None = "ServiceRequest/_history?_count=3"
    while page:
        answer = await world.ask("patient", "GET", page)
        assert answer.status_code == 200, answer.text
        entries = answer.json().get("entry", [])
        shown += [(e["fullUrl"].split("/fhir/")[1], e["resource"]["meta"]["versionId"]) for e in entries]
        links = {link["relation"]: link["url"] for link in answer.json()["link"]}
        page = links["next"].removeprefix("http://localhost:8080/fhir/") if "next" in links else None
    assert (path, "1") in shown
    assert (path, "2") in shown
    assert not {name for name, _ in shown} & {theirs, gone}
    for old in (f"{gone}/_history/1", f"{gone}/_history", gone, f"{gone}/$meta"):
        assert (await world.ask("patient", "GET", old)).status_code == 404, old
    everybody = await world.ask("doctor", "GET", "ServiceRequest/_history?_count=200")
    assert {theirs, gone, path} <= {e["fullUrl"].split("/fhir/")[1] for e in everybody.json()["entry"]}


async def test_versions_that_were_drafts_leave_no_hole(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    draft = await workers.create(observation(people["own"], "imaging", "preliminary"))
    final = await workers.update({**draft, "status": "final"})
    path = f"Observation/{final['id']}"
    answer = await world.ask("patient", "GET", f"{path}/_history?_count=1")
    assert [e["resource"]["meta"]["versionId"] for e in answer.json()["entry"]] == ["2"]
    assert [link["relation"] for link in answer.json()["link"]] == ["self"], "no page behind the last visible"
    assert (await world.ask("patient", "GET", f"{path}/_history/1")).status_code == 404
    withdrawn = await workers.update({**final, "status": "entered-in-error"})
    assert withdrawn["meta"]["versionId"] == "3"
    for hidden in (f"{path}/_history/2", f"{path}/_history"):
        assert (await world.ask("patient", "GET", hidden)).status_code == 404, hidden


async def _pages(world: World, who: str, path: str) -> tuple[set[str], list[httpx.Response]]:
    found: set[str] = set()
    answers = []
    page: str | None = path
    while page:
        answer = await world.ask(who, "GET", page)
        assert not ids(answer) & found, "a page repeats"
        found |= ids(answer)
        answers.append(answer)
        links = {link["relation"]: link["url"] for link in answer.json()["link"]}
        page = links["next"].removeprefix("http://localhost:8080/fhir/") if "next" in links else None
    return found, answers


async def test_everything_is_the_own_record_page_by_page(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    ordered = await _store(world, "doctor", order(people["own"], people["doctor"]))
    draft = await workers.create(observation(people["own"], "imaging", "preliminary"))
    other = await _store(world, "doctor", order(people["foreign"], people["doctor"]))
    found, answers = await _pages(world, "patient", f"{people['own']}/$everything?_count=4")
    assert len(answers) > 1
    assert {people["own"], ordered} <= found
    assert not {other, people["foreign"], f"Observation/{draft['id']}"} & found
    beside = {name for answer in answers for name in ids(answer, "include")}
    assert people["doctor"] in beside
    assert not any(name.startswith(("AuditEvent", "Group", "Task")) for name in found | beside)
    whole, _ = await _pages(world, "rib", f"{people['own']}/$everything?_count=100")
    assert f"Observation/{draft['id']}" in whole
    assert (await world.ask("patient", "GET", f"{people['foreign']}/$everything")).status_code == 404
    only, _ = await _pages(world, "patient", f"{people['own']}/$everything?_type=ServiceRequest")
    assert {name.split("/")[0] for name in only} == {"ServiceRequest"}
    later = await world.ask("patient", "GET", f"{people['own']}/$everything?_since=2090-01-01T00:00:00Z")
    assert ids(later) == {people["own"]}
    for path, code in (
        (f"{people['own']}/$everything?colour=red", "ERR_102"),
        (f"{people['own']}/$everything?_since=yesterday", "ERR_101"),
        (f"{people['own']}/$everything?_type=Subscription", "ERR_102"),
    ):
        assert code_of(await world.ask("patient", "GET", path)) == code
    lab = await world.ask("lab", "GET", f"{people['own']}/$everything?_count=100")
    assert not any(name.startswith("ImagingStudy") for name in ids(lab)), "each type needs its own right"


async def test_everything_of_an_encounter(world: World, people: dict[str, str]) -> None:
    visit = await _store(world, "doctor", {
        "resourceType": "Encounter", "status": "in-progress", "subject": {"reference": people["own"]},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    })  # fmt: skip
    inside = await _store(world, "doctor", observation(people["own"], encounter={"reference": visit}))
    answer = await world.ask("patient", "GET", f"{visit}/$everything")
    assert ids(answer) == {visit, inside}
    assert ids(answer, "include") == {people["own"]}


async def test_meta_and_validate(world: World, people: dict[str, str]) -> None:
    meta = await world.ask("patient", "GET", f"{people['own']}/$meta")
    assert meta.json()["parameter"][0]["valueMeta"]["versionId"] == "1"
    assert (await world.ask("patient", "GET", f"{people['foreign']}/$meta")).status_code == 404
    good = order(people["own"], people["doctor"])
    before = (await world.ask("doctor", "GET", "ServiceRequest?_summary=count")).json()["total"]
    for body, severity in (
        (good, "information"),
        (
            {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": good}]},
            "information",
        ),
        (order("Patient/nobody", people["doctor"]), "error"),
        (order(people["own"], people["doctor"], colour="red"), "error"),
        (patient(), "error"),
    ):
        answer = await world.ask("doctor", "POST", "ServiceRequest/$validate", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["issue"][0]["severity"] == severity
    assert (await world.ask("doctor", "GET", "ServiceRequest?_summary=count")).json()["total"] == before
    assert (await world.ask("nurse", "POST", "ServiceRequest/$validate", json=good)).status_code == 403
    assert (await world.ask("patient", "POST", "ServiceRequest/$validate", json=good)).status_code == 403


async def test_cut_answers_are_cut_after_the_projection(world: World, people: dict[str, str]) -> None:
    await _store(world, "doctor", order(people["own"], people["doctor"]))
    path = f"ServiceRequest?subject={people['own']}&_count=1"
    cut = (await world.ask("patient", "GET", f"{path}&_elements=requester")).json()["entry"][0]["resource"]
    assert set(cut) == {"resourceType", "id", "meta", "requester", "status", "intent", "subject"}
    assert cut["meta"]["tag"][-1]["code"] == "SUBSETTED"
    name = (await world.ask("patient", "GET", f"{people['doctor']}?_elements=telecom,name")).json()
    assert "telecom" not in name
    counted = await world.ask("patient", "GET", f"{path}&_total=accurate")
    assert (
        counted.json()["total"]
        == (await world.ask("patient", "GET", f"{path}&_summary=count")).json()["total"]
    )
    assert "total" not in (await world.ask("patient", "GET", f"{path}&_total=none")).json()
