"""Required codes: the whole value set of the standard, and nothing beside it."""

import json
from typing import Any

import pytest

from deploy.setup.clients import CLIENTS
from facade.errors import InvalidResourceError
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
