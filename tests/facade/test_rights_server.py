"""Who gets what, on the real HAPI: anonymous, wrong role, wrong patient, right caller."""

from uuid import uuid4

import pytest

from facade.hapi import HAPIClient
from tests.facade.world import World, code_of, ids, observation, order, patient

pytestmark = pytest.mark.server


async def test_nobody_gets_401_and_it_is_recorded(world: World, people: dict[str, str]) -> None:
    answer = await world.ask(None, "GET", people["own"])
    assert answer.status_code == 401
    assert code_of(answer) == "ERR_001"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    event = world.trail()[-1]["event"]
    assert (event["outcome"], event["outcomeDesc"]) == ("8", "ERR_001")


async def test_doctor_reads_a_patient_and_the_record_names_the_patient(
    world: World, people: dict[str, str]
) -> None:
    answer = await world.ask("doctor", "GET", people["own"])
    assert answer.status_code == 200
    assert f"Patient/{answer.json()['id']}" == people["own"]
    assert answer.headers["etag"] == 'W/"1"'
    event = world.trail()[-1]["event"]
    assert event["outcome"] == "0"
    assert {"reference": people["own"]} in [entity["what"] for entity in event["entity"]]


async def test_a_patient_sees_the_own_record_only_and_foreign_equals_missing(
    world: World, people: dict[str, str]
) -> None:
    assert (await world.ask("patient", "GET", people["own"])).status_code == 200
    foreign = await world.ask("patient", "GET", people["foreign"])
    missing = await world.ask("patient", "GET", "Patient/00000000-0000-4000-8000-000000000000")
    assert foreign.status_code == missing.status_code == 404
    bodies = [answer.json() for answer in (foreign, missing)]
    for body in bodies:
        del body["issue"][0]["diagnostics"]  # the request id
    assert bodies[0] == bodies[1]


async def test_a_deleted_resource_answers_like_a_missing_one(world: World) -> None:
    made = await world.ask("admin", "POST", "Patient", json=patient())
    reference = f"Patient/{made.json()['id']}"
    gone = await world.ask("admin", "DELETE", reference, headers={"If-Match": made.headers["etag"]})
    assert gone.status_code == 204
    answer = await world.ask("admin", "GET", reference)
    assert (answer.status_code, code_of(answer)) == (404, "ERR_201")


async def test_a_role_that_may_not_write_is_refused_before_the_body_is_looked_at(
    world: World, people: dict[str, str]
) -> None:
    for who in ("nurse", "lab", "patient"):
        answer = await world.ask(who, "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
        assert answer.status_code == 403, who


async def test_a_search_of_a_patient_is_narrowed_and_the_link_does_not_show_it(
    world: World, people: dict[str, str]
) -> None:
    for subject in ("own", "foreign"):
        made = await world.ask("doctor", "POST", "Observation", json=observation(people[subject]))
        assert made.status_code == 201, made.text
    answer = await world.ask("patient", "GET", "Observation?code=8867-4")
    subjects = {entry["resource"]["subject"]["reference"] for entry in answer.json()["entry"]}
    assert subjects == {people["own"]}
    link = answer.json()["link"][0]["url"]
    assert link == "http://localhost:8080/fhir/Observation?code=8867-4"
    foreign = await world.ask("doctor", "GET", f"Observation?code=8867-4&patient={people['foreign']}")
    assert {entry["resource"]["subject"]["reference"] for entry in foreign.json()["entry"]} == {
        people["foreign"]
    }


async def test_an_id_does_not_get_around_the_narrowing(world: World, people: dict[str, str]) -> None:
    foreign = people["foreign"].split("/")[1]
    for path in (
        f"Patient?_id={foreign}",
        f"Patient?_id={foreign}&_revinclude=Observation:subject",
        f"Observation?subject={people['foreign']}",
        f"Observation?subject:Patient._id={foreign}",
    ):
        answer = await world.ask("patient", "GET", path)
        assert ids(answer) == ids(answer, "include") == set(), path
    both = f"Observation?subject={people['own']},{people['foreign']}&_summary=count"
    own = f"Observation?subject={people['own']}&_summary=count"
    totals = [(await world.ask("patient", "GET", path)).json()["total"] for path in (both, own)]
    assert totals[0] == totals[1]


async def test_an_unreleased_result_does_not_exist_for_the_patient(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    draft = await workers.create(observation(people["own"], "imaging", "preliminary"))
    signed = await workers.create(observation(people["own"], "imaging", "final"))
    found = ids(await world.ask("patient", "GET", "Observation?category=imaging&_count=1"))
    assert found == {f"Observation/{signed['id']}"} or f"Observation/{draft['id']}" not in found
    assert (await world.ask("patient", "GET", f"Observation/{draft['id']}")).status_code == 404
    counted = await world.ask("patient", "GET", "Observation?category=imaging&_summary=count")
    assert counted.json()["total"] == len(
        ids(await world.ask("patient", "GET", "Observation?category=imaging"))
    )
    assert (await world.ask("rib", "GET", f"Observation/{draft['id']}")).status_code == 200


async def test_a_chain_into_what_is_hidden_tells_nothing(world: World, people: dict[str, str]) -> None:
    name = f"Hidden{uuid4().hex}"
    secret = await world.ask("admin", "POST", "Patient", json=patient(f"{name}^Person"))
    hidden = f"Patient/{secret.json()['id']}"
    await world.ask(
        "doctor", "POST", "Observation", json=observation(people["own"], focus=[{"reference": hidden}])
    )
    asked = f"Observation?focus:Patient.name={name}"
    assert ids(await world.ask("patient", "GET", asked)) == set()
    assert len(ids(await world.ask("doctor", "GET", asked))) == 1
    own = ids(await world.ask("patient", "GET", "Observation?subject:Patient.birthdate=1970-01-01"))
    assert own


async def test_has_is_resolved_in_steps(world: World, people: dict[str, str]) -> None:
    mine = "Patient?_has:Observation:subject:code=8867-4"
    assert ids(await world.ask("patient", "GET", mine)) == {people["own"]}
    assert {people["own"], people["foreign"]} <= ids(await world.ask("doctor", "GET", mine))


async def test_an_include_is_confirmed_entry_by_entry(world: World, people: dict[str, str]) -> None:
    asked = "Observation?code=8867-4&_include=Observation:focus&_include=Observation:subject"
    included = ids(await world.ask("patient", "GET", asked), "include")
    assert included == {people["own"]}
    of_another = await world.ask("doctor", "GET", f"{asked}&patient={people['foreign']}")
    assert ids(of_another, "include") == {people["foreign"]}


async def test_shared_patients_are_those_of_active_groups_today(world: World, people: dict[str, str]) -> None:
    assert (await world.ask("external", "GET", people["own"])).status_code == 404
    group = {
        "resourceType": "Group",
        "active": True,
        "type": "person",
        "actual": True,
        "managingEntity": {"reference": people["organization"]},
        "member": [
            {"entity": {"reference": people["own"]}},
            {"entity": {"reference": people["foreign"]}, "period": {"end": "2020-01-01"}},
        ],
    }
    made = await world.ask("admin", "POST", "Group", json=group)
    assert made.status_code == 201, made.text
    assert (await world.ask("external", "GET", people["own"])).status_code == 200
    assert (await world.ask("external", "GET", people["foreign"])).status_code == 404
    found = ids(await world.ask("external", "GET", "Patient"))
    assert people["own"] in found
    assert people["foreign"] not in found
    for subject, status in ((people["own"], 201), (people["foreign"], 422), ("Patient/nobody", 422)):
        answer = await world.ask(
            "external", "POST", "ServiceRequest", json=order(subject, people["organization"])
        )
        assert answer.status_code == status, answer.text
    stopped = {**made.json(), "active": False}
    assert (await world.ask("admin", "PUT", f"Group/{stopped['id']}", json=stopped)).status_code == 200
    assert (await world.ask("external", "GET", people["own"])).status_code == 404


async def test_a_role_chain_into_a_type_it_may_not_search_is_refused(world: World) -> None:
    answer = await world.ask("lab", "GET", "Patient?_has:ImagingStudy:subject:status=available")
    # The wildcard scope was written out for the role when it was granted, so the scope says no first.
    assert (answer.status_code, code_of(answer)) == (403, "ERR_003")
