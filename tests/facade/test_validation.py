"""Required codes: the whole value set of the standard, and nothing beside it."""

import json
from typing import Any

import pytest

from deploy.setup.clients import CLIENTS
from facade import names, rules
from facade.errors import InvalidResourceError, ServerElementError, WrongStateError
from facade.validation import validate
from tests.facade.world import observation

SYSTEMS = CLIENTS / "hl7.fhir.r4.examples" / "package"
ENCOUNTER = {
    "resourceType": "Encounter",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
}
REPORT = {"resourceType": "DiagnosticReport", "code": {"text": "MR brain"}}
TASK = {"resourceType": "Task", "intent": "order"}
DEVICE = {"resourceType": "Device"}
CASES = {
    "observation-status": observation("Patient/1"),
    "diagnostic-report-status": REPORT,
    "encounter-status": ENCOUNTER,
    "task-status": TASK,
}


def codes(concepts: list[dict[str, Any]]) -> set[str]:
    """Every code of a code system, with those below."""
    found = {concept["code"] for concept in concepts}
    return found.union(*(codes(concept.get("concept", [])) for concept in concepts))


@pytest.mark.parametrize("system", CASES)
def test_every_status_of_the_standard_is_valid_and_no_other(system: str) -> None:
    stated = json.loads((SYSTEMS / f"CodeSystem-{system}.json").read_text())
    for code in codes(stated["concept"]):
        validate(CASES[system] | {"status": code})
    for code in ("+", "Final", "done"):
        with pytest.raises(InvalidResourceError):
            validate(CASES[system] | {"status": code})


def test_what_of_imaging_was_never_released_cannot_be_withdrawn() -> None:
    draft, withdrawn = (observation("Patient/1", "imaging", s) for s in ("preliminary", "entered-in-error"))
    for old in (None, draft):
        with pytest.raises(WrongStateError):
            rules.check(withdrawn, old)
    rules.check(withdrawn, observation("Patient/1", "imaging", "final"))
    rules.check(observation("Patient/1", "laboratory", "entered-in-error"), None)


def test_a_result_of_the_ai_is_released_changed_and_withdrawn_by_signing_alone() -> None:
    key = [{"system": names.AI_RESULT, "value": "k#core"}]
    drafted, final, cancelled, withdrawn = (
        observation("Patient/1", "imaging", status, identifier=key)
        for status in ("preliminary", "final", "cancelled", "entered-in-error")
    )
    rules.check(drafted | {"note": [{"text": "seen"}]}, drafted)
    for old in (final, cancelled, withdrawn):
        for new in (old | {"note": [{"text": "edited"}]}, drafted, withdrawn):
            with pytest.raises(WrongStateError):
                rules.check(new, old)
    with pytest.raises(ServerElementError):
        rules.check(final, drafted)


@pytest.mark.parametrize(
    ("resource", "places"),
    [
        (
            {"resourceType": "Observation", "code": 5, "valueQuantity": {"value": "x"}, "foo": 1},
            {"Observation.status", "Observation.code", "Observation.value.value", "Observation.foo"},
        ),
        (
            observation("Patient/1", status="done") | {"valueString": "a", "valueBoolean": True, "note": "x"},
            {"Observation.status", "Observation.value", "Observation.note"},
        ),
        (
            TASK | {"input": [{"type": {"text": "x"}}, {"valueString": "x"}], "code": "x"},
            {"Task.status", "Task.code", "Task.input[0].value", "Task.input[1].type"},
        ),
        (
            {"resourceType": "Patient", "gender": "x", "contained": [DEVICE | {"status": "x"}]},
            {"Patient.gender", "Patient.contained[0].status"},
        ),
        ({"resourceType": "Patient", "name": [{"given": "x"}], "birthDate": "yesterday"},
         {"Patient.name[0].given", "Patient.birthDate"}),
        ({"resourceType": "Patient", "contained": [{"resourceType": "Nothing"}]}, {"Patient.contained[0]"}),
        ({"resourceType": "Patient", "contained": [{"resourceType": 5}]}, {"Patient.contained[0]"}),
        ({"resourceType": "Patient", "maritalStatus": {"resourceType": "Group"}}, {"Patient.maritalStatus"}),
    ],
)  # fmt: skip
def test_every_violation_is_told_at_once_with_its_place(resource: dict[str, Any], places: set[str]) -> None:
    with pytest.raises(InvalidResourceError) as caught:
        validate(resource)
    assert {place for place, _ in caught.value.issues} == places
