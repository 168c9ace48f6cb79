"""The standard's own examples go in through nginx and come out as they were but for id, meta, narrative."""

import copy
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from demo.app import Session
from facade import exact
from facade.references import walk
from tests.clients import r4_examples
from tests.clients.r4_examples import Resource, references, target, writer
from tests.facade.world import JSON

pytestmark = pytest.mark.server
# What the product refuses on purpose, with the code that it answers. docs/clients.md repeats the reasons.
MIXED = "it speaks of one patient and refers to an encounter, a part or a reason of another"
REFUSED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "a report is signed by $sign alone": (
        "ERR_402",
        ("DiagnosticReport/f201", "DiagnosticReport/gingival-mass"),
    ),
    "whose record it is stands in no literal reference": (
        "ERR_103",
        (
            "Procedure/ob",
            "ServiceRequest/appendectomy-narrative",
            "ServiceRequest/education",
            "ServiceRequest/ob",
        ),
    ),
    "an Observation is not contained": ("ERR_103", ("ServiceRequest/lipid",)),
    MIXED: (
        "ERR_401",
        (
            "MedicationAdministration/medadmin0302",
            "MedicationAdministration/medadmin0303",
            "MedicationAdministration/medadmin0305",
            "MedicationAdministration/medadmin0307",
            "MedicationRequest/medrx002",
            "MedicationRequest/medrx0305",
            "MedicationRequest/medrx0307",
            "MedicationRequest/medrx0308",
            "MedicationRequest/medrx0309",
            "MedicationRequest/medrx0310",
            "MedicationRequest/medrx0311",
            "MedicationRequest/medrx0315",
            "MedicationRequest/medrx0316",
            "MedicationRequest/medrx0318",
            "MedicationRequest/medrx0323",
            "MedicationRequest/medrx0330",
            "MedicationRequest/medrx0333",
            "MedicationStatement/example003",
            "MedicationStatement/example004",
        ),
    ),
    "a relative canonical names a PlanDefinition, which is not kept": ("ERR_103", ("Procedure/f201",)),
}


@pytest.fixture(scope="module")
def given() -> dict[str, Resource]:
    """All examples of types in use."""
    return r4_examples.examples()


@pytest.fixture(scope="module")
def taken(given: dict[str, Resource]) -> dict[str, Resource]:
    """Those that go in: somebody may write them, the product accepts them, their references close."""
    refused = {key for _, keys in REFUSED.values() for key in keys}
    return r4_examples.closed({key: one for key, one in given.items() if writer(one) and key not in refused})


def test_every_example_that_stays_outside_does_so_for_a_listed_reason(
    given: dict[str, Resource], taken: dict[str, Resource]
) -> None:
    refused = {key for _, keys in REFUSED.values() for key in keys}
    reasons = Counter[str]()
    for key in given.keys() - taken.keys():
        if writer(given[key]) is None:
            reasons["no client writes it"] += 1
        elif key in refused:
            reasons["refused on purpose"] += 1
        else:
            reasons["refers to what is not taken"] += 1
    assert (len(given), len(taken)) == (345, 171)
    assert reasons == {"no client writes it": 63, "refused on purpose": 27, "refers to what is not taken": 84}


def test_the_taken_examples_come_out_as_they_went_in(
    signed_in: Mapping[str, Session], taken: dict[str, Resource]
) -> None:
    ids: dict[str, str] = {}

    def rewritten(key: str) -> Resource:
        body = copy.deepcopy(taken[key])
        del body["id"]
        for found in references(body):
            found["reference"] = ids[target(found)]
        return body

    def create(key: str) -> None:
        body = rewritten(key)
        answer = post(signed_in[str(writer(body))], body["resourceType"], body)
        assert answer.status_code == 201, (key, answer.text)
        ids[key] = f"{body['resourceType']}/{answer.json()['id']}"

    def together(keys: list[str]) -> None:
        ids.update({key: f"urn:uuid:00000000-0000-4000-8000-{n:012d}" for n, key in enumerate(keys)})
        entries = [
            {
                "fullUrl": ids[key],
                "resource": rewritten(key),
                "request": {"method": "POST", "url": key.partition("/")[0]},
            }
            for key in keys
        ]
        answer = post(
            signed_in["doctor"], "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        )
        assert answer.status_code == 200, answer.text
        for key, entry in zip(keys, answer.json()["entry"], strict=True):
            location = entry["response"]["location"].partition("/_history/")[0]
            ids[key] = "/".join(location.split("/")[-2:])

    def compare(key: str) -> None:
        answer = signed_in["admin"].fhir("GET", ids[key])
        assert answer.status_code == 200, (key, answer.text)
        assert without(exact.loads(answer.content)) == without(rewritten(key)), key

    with ThreadPoolExecutor(8) as pool:
        for group in r4_examples.groups(taken):
            if any(target(found) in group for key in group for found in references(taken[key])):
                together(group)
            else:
                list(pool.map(create, group))
        list(pool.map(compare, taken))
    assert len(set(ids.values())) == len(taken)


def test_what_is_refused_on_purpose_is_refused_for_that(
    signed_in: Mapping[str, Session], given: dict[str, Resource]
) -> None:
    doctor = signed_in["doctor"]
    own, other = (f"Patient/{doctor.create({'resourceType': 'Patient'})['id']}" for _ in range(2))
    theirs = f"Encounter/{doctor.create(encounter(other))['id']}"
    for reason, (code, keys) in REFUSED.items():
        for key in keys:
            body = copy.deepcopy(given[key])
            for place, found in walk(body, body["resourceType"]):
                # Whatever it names is there, so that the reason is left.
                is_subject = place.endswith((".subject", ".patient"))
                found["reference"] = theirs if reason == MIXED and not is_subject else own
            answer = post(signed_in[str(writer(body))], body["resourceType"], body)
            codes = {issue["details"]["coding"][0]["code"] for issue in answer.json()["issue"]}
            # Everything that is wrong is told: an example may break another rule as well.
            assert answer.status_code == 422, (reason, key, answer.text)
            assert code in codes, (reason, key, answer.text)


def encounter(patient: str) -> Resource:
    """A visit of this patient."""
    system = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": system, "code": "AMB"},
        "subject": {"reference": patient},
    }


def post(session: Session, path: str, body: Resource) -> httpx.Response:
    """A POST of the very digits."""
    return session.request("POST", f"/fhir/{path}", content=exact.dumps(body), headers=JSON)


def without(resource: dict[str, Any]) -> dict[str, Any]:
    """Without what the server says and what is only shown."""
    return {name: value for name, value in resource.items() if name not in ("id", "meta", "text")}
