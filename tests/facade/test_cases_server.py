"""Cases in which more than one patient is named, and ways out of a compartment, on the real HAPI."""

from typing import Any
from uuid import uuid4

import pytest

from facade.hapi import HAPIClient
from tests.facade.world import World, code_of, ids, observation, order, patient

pytestmark = pytest.mark.server

PATCH = {"Content-Type": "application/json-patch+json"}


async def _store(world: World, who: str, body: dict[str, Any]) -> str:
    made = await world.ask(who, "POST", body["resourceType"], json=body)
    assert made.status_code == 201, made.text
    return f"{body['resourceType']}/{made.json()['id']}"


async def test_mother_and_newborn_are_two_records(world: World, people: dict[str, str]) -> None:
    link = [{"other": {"reference": people["own"]}, "type": "seealso"}]
    child = await _store(world, "admin", patient("Newborn^Demo", link=link))
    weight = await _store(world, "nurse", observation(child, performer=[{"reference": people["own"]}]))
    birth = await _store(world, "nurse", observation(people["own"], focus=[{"reference": child}]))
    assert (await world.ask("patient", "GET", birth)).status_code == 200
    for hidden in (child, weight, f"{child}/$everything", f"{child}/_history/1", f"{weight}/_history"):
        assert (await world.ask("patient", "GET", hidden)).status_code == 404, hidden
    id_ = child.split("/")[1]
    for path in (
        f"Observation?performer={people['own']}",
        f"Observation?focus={child}&_include=Observation:focus",
        f"Patient?link={people['own']}",
        f"Patient?_id={people['own'].split('/')[1]}&_revinclude=Patient:link",
        f"Patient?_has:Observation:subject:performer={people['own']}",
        f"Patient?link:Patient._id={id_}",
        f"Observation?subject:Patient.link={people['own']}",
        f"Patient?_id={id_}&_revinclude=*",
    ):
        answer = await world.ask("patient", "GET", path)
        shown = ids(answer) | ids(answer, "include")
        assert not shown & {child, weight}, path
    linked = await world.ask("patient", "GET", f"{people['own']}/$everything?_count=200")
    assert not {child, weight} & (ids(linked) | ids(linked, "include"))


async def test_a_subject_is_named_by_a_literal_reference(world: World, people: dict[str, str]) -> None:
    for subject in (
        {"identifier": {"system": "urn:neuronova:mrn", "value": "T-1"}},
        {"reference": "#p"},
        {"display": "somebody"},
    ):
        answer = await world.ask(
            "nurse", "POST", "Observation", json=observation(people["own"]) | {"subject": subject}
        )
        assert (answer.status_code, code_of(answer)) == (422, "ERR_103"), subject
        assert answer.json()["issue"][0]["expression"] == ["Observation.subject"]


async def test_what_is_contained_is_about_the_same_patient(world: World, people: dict[str, str]) -> None:
    def holding(*contained: dict[str, Any]) -> dict[str, Any]:
        return order(
            people["own"],
            people["doctor"],
            contained=list(contained),
            supportingInfo=[{"reference": f"#{item['id']}"} for item in contained],
        )

    finding = {"resourceType": "Condition", "id": "c", "subject": {"reference": people["foreign"]}}
    answer = await world.ask("doctor", "POST", "ServiceRequest", json=holding(finding))
    assert (answer.status_code, code_of(answer)) == (422, "ERR_401"), answer.text
    inner = {"resourceType": "Patient", "id": "p", "name": [{"family": "Other"}]}
    answer = await world.ask("doctor", "POST", "ServiceRequest", json=holding(inner))
    assert (answer.status_code, code_of(answer)) == (422, "ERR_103")
    mine = finding | {"subject": {"reference": people["own"]}}
    assert (await world.ask("doctor", "POST", "ServiceRequest", json=holding(mine))).status_code == 201


async def test_a_narrow_scope_does_not_move_data_between_patients(
    world: World, people: dict[str, str]
) -> None:
    mine = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    path = f"ServiceRequest/{mine.json()['id']}"
    for who, body in (
        ("patient", mine.json() | {"subject": {"reference": people["foreign"]}}),
        ("external", mine.json() | {"subject": {"reference": people["foreign"]}}),
    ):
        answer = await world.ask(who, "PUT", path, json=body)
        assert answer.status_code == 403, who
    step = [{"op": "replace", "path": "/subject/reference", "value": people["foreign"]}]
    answer = await world.ask("patient", "PATCH", path, json=step, headers={**PATCH, "If-Match": 'W/"1"'})
    assert answer.status_code == 403
    made_up = order(people["own"], people["doctor"], id="chosen")
    answer = await world.ask("doctor", "PUT", "ServiceRequest/chosen", json=made_up)
    assert answer.status_code in (404, 428)


async def test_provenance_follows_its_targets(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    mine = await _store(world, "doctor", order(people["own"], people["doctor"]))
    theirs = await _store(world, "doctor", order(people["foreign"], people["doctor"]))
    found = []
    for targets in ([mine], [theirs], [mine, theirs]):
        stored = await workers.create(
            {
                "resourceType": "Provenance",
                "recorded": "2026-01-01T00:00:00Z",
                "target": [{"reference": target} for target in targets],
                "agent": [{"who": {"reference": people["doctor"]}}],
            }
        )
        found.append(f"Provenance/{stored['id']}")
    for name, status in zip(found, (200, 404, 404), strict=True):
        assert (await world.ask("patient", "GET", name)).status_code == status
    for path in (f"Provenance?target={mine}", f"Provenance?target={mine},{theirs}"):
        assert ids(await world.ask("patient", "GET", path)) == {found[0]}, path
    refused = await world.ask("patient", "GET", f"Provenance?agent={people['doctor']}")
    assert (refused.status_code, code_of(refused)) == (403, "ERR_008")


async def test_documents_groups_and_the_trail(world: World, people: dict[str, str]) -> None:
    def document(subject: str, **more: Any) -> dict[str, Any]:
        return {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": subject},
            "content": [{"attachment": {"contentType": "text/plain"}}],
            **more,
        }

    mine = await _store(world, "doctor", document(people["own"]))
    theirs = await _store(world, "doctor", document(people["foreign"], author=[{"reference": people["own"]}]))
    assert (await world.ask("patient", "GET", mine)).status_code == 200
    assert (await world.ask("patient", "GET", theirs)).status_code == 404
    for path in (f"DocumentReference?author={people['own']}", f"DocumentReference?related={people['own']}"):
        assert theirs not in ids(await world.ask("patient", "GET", path))
    group = await _store(
        world,
        "admin",
        {
            "resourceType": "Group",
            "type": "person",
            "actual": True,
            "active": True,
            "member": [
                {"entity": {"reference": people["own"]}},
                {"entity": {"reference": people["foreign"]}},
            ],
        },
    )
    for path in (group, f"Group?member={people['own']}", f"{people['own']}?_revinclude=Group:member"):
        assert (await world.ask("patient", "GET", path)).status_code in (400, 403), path
    back = f"Patient?_id={people['own'].split('/')[1]}&_revinclude=Group:member"
    assert (await world.ask("patient", "GET", back)).status_code == 403
    assert (
        await world.ask("patient", "POST", "AuditEvent", json={"resourceType": "AuditEvent"})
    ).status_code == 403
    assert (
        await world.ask("admin", "POST", "AuditEvent", json={"resourceType": "AuditEvent"})
    ).status_code == 403


@pytest.mark.parametrize(
    ("group", "member", "is_shared"),
    [
        ({}, {}, True),
        ({"active": False}, {}, False),
        ({"actual": False}, {}, False),
        ({"type": "practitioner"}, {}, False),
        ({}, {"inactive": True}, False),
        ({}, {"period": {"end": "2020-01-01"}}, False),
        ({}, {"period": {"start": "2090-01-01"}}, False),
        ({}, {"period": {"start": "2020-01-01", "end": "2090-01"}}, True),
    ],
)
async def test_what_external_sees_follows_its_groups(
    world: World, people: dict[str, str], group: dict[str, Any], member: dict[str, Any], is_shared: bool
) -> None:
    who = await _store(world, "admin", patient(f"Shared^{uuid4().hex[:6]}"))
    held = await _store(world, "doctor", order(who, people["doctor"]))
    body = {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "active": True,
        "managingEntity": {"reference": people["organization"]},
        "member": [{"entity": {"reference": who}, **member}],
        **group,
    }
    made = await world.ask("admin", "POST", "Group", json=body)
    assert made.status_code == 201, made.text
    status = 200 if is_shared else 404
    for path in (who, held, f"{held}/_history/1", f"{who}/$everything", f"{held}/_history"):
        assert (await world.ask("external", "GET", path)).status_code == status, path
    assert (held in ids(await world.ask("external", "GET", f"ServiceRequest?subject={who}"))) is is_shared
    other = await _store(world, "admin", {"resourceType": "Organization", "name": "Third Hospital"})
    moved = made.json() | {"managingEntity": {"reference": other}}
    assert (await world.ask("admin", "PUT", f"Group/{moved['id']}", json=moved)).status_code == 200
    assert (await world.ask("external", "GET", who)).status_code == 404
