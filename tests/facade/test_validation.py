"""Required codes: the whole value set of the standard, and nothing beside it."""

import json
from typing import Any

import pytest

from deploy.setup.clients import CLIENTS
from facade import rules
from facade.errors import InvalidResourceError, WrongStateError
from facade.validation import validate
from tests.facade.world import observation

SYSTEMS = CLIENTS / "hl7.fhir.r4.examples" / "package"
ENCOUNTER = {
    "resourceType": "Encounter",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
}
REPORT = {"resourceType": "DiagnosticReport", "code": {"text": "MR brain"}}
TASK = {"resourceType": "Task", "intent": "order"}
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
