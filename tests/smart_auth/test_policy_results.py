"""Results: categories of Observations, what is signed, what was withdrawn."""

from typing import Any

import pytest

from smart_auth.interaction import Interaction, Role
from smart_auth.policy import confirm, decide, project
from tests.smart_auth.callers import CATEGORY, NOW, ask, caller, observation, resource

# Observation categories


def test_an_observation_needs_the_right_for_every_category() -> None:
    lab = decide(caller("lab"), ask("read", "Observation"), now=NOW)
    assert confirm(lab, observation("laboratory"))
    assert not confirm(lab, observation("laboratory", "vital-signs"))
    external = decide(caller("external"), ask("read", "Observation"), now=NOW)
    assert not confirm(external, observation("laboratory", "vital-signs"))
    nurse = decide(caller("nurse"), ask("create", "Observation"), now=NOW)
    assert confirm(nurse, observation("vital-signs"))
    assert not confirm(nurse, observation("vital-signs", "imaging"))


@pytest.mark.parametrize(
    "category",
    [
        [{"text": "vital-signs"}],
        [{"coding": [{"system": "urn:other", "code": "vital-signs"}]}],
        [{"coding": [{"code": "vital-signs"}]}],
        [{"coding": [{"system": CATEGORY}]}],
        [{"coding": "vital-signs"}],
        "vital-signs",
        [None],
    ],
)
def test_a_category_that_cannot_be_read_gives_no_right(category: Any) -> None:
    decision = decide(caller("admin"), ask("read", "Observation"), now=NOW)
    assert not confirm(decision, observation() | {"category": category})


# Released results


@pytest.mark.parametrize("role", ["patient", "external"])
@pytest.mark.parametrize(
    ("status", "report", "found"),
    [
        ("registered", False, False),
        ("partial", False, False),
        ("preliminary", False, False),
        ("cancelled", False, False),
        ("unknown", False, False),
        ("final", True, True),
        ("amended", True, True),
        ("corrected", True, True),
        ("appended", True, False),
    ],
)
def test_patients_and_partners_see_signed_results_only(
    role: Role, status: str, report: bool, found: bool
) -> None:
    for kind in ("read", "search", "vread", "history-instance"):
        reports = decide(caller(role), ask(kind, "DiagnosticReport"), now=NOW)
        observations = decide(caller(role), ask(kind, "Observation"), now=NOW)
        assert reports.released_only
        assert confirm(reports, resource("DiagnosticReport") | {"status": status}) is report
        assert confirm(observations, observation("imaging", status=status)) is found
    laboratory = decide(caller(role), ask("read", "Observation"), now=NOW)
    assert confirm(laboratory, observation("laboratory", status=status))


def test_a_withdrawn_result_is_a_tombstone_for_a_read_and_nothing_else() -> None:
    withdrawn = resource("DiagnosticReport") | {"status": "entered-in-error", "conclusion": "secret"}
    decision = decide(caller("patient"), ask("read", "DiagnosticReport"), now=NOW)
    assert confirm(decision, withdrawn)
    shown = project(decision, withdrawn)
    assert "conclusion" not in shown
    assert shown["status"] == "entered-in-error"
    for kind in ("search", "vread", "history-instance"):
        assert not confirm(decide(caller("patient"), ask(kind, "DiagnosticReport"), now=NOW), withdrawn)
    told = decide(caller("patient"), Interaction("websocket", "DiagnosticReport", "x1"), now=NOW)
    assert not confirm(told, withdrawn)
    doctor = decide(caller("doctor"), ask("read", "DiagnosticReport"), now=NOW)
    assert project(doctor, withdrawn)["conclusion"] == "secret"


@pytest.mark.parametrize("type_", ["DiagnosticReport", "Observation imaging"])
def test_a_draft_of_the_ai_that_was_withdrawn_is_not_told(type_: str) -> None:
    draft = resource(type_) | {
        "status": "entered-in-error",
        "identifier": [{"system": "urn:neuronova:ai-result", "value": "key"}],
    }
    draft.pop("issued", None)
    decision = decide(caller("patient"), ask("read", draft["resourceType"]), now=NOW)
    assert not confirm(decision, draft)
    assert confirm(decision, draft | {"issued": "2026-01-02T03:04:05Z"})


def test_studies_are_seen_by_patients_and_partners_when_they_are_available() -> None:
    registered = resource("ImagingStudy") | {"status": "registered"}
    for role, seen in (
        ("patient", False),
        ("external", False),
        ("doctor", True),
        ("rib", True),
        ("admin", True),
    ):
        for asked in (ask("read", "ImagingStudy"), Interaction("dicomweb-read", "ImagingStudy", "x1")):
            decision = decide(caller(role), asked, now=NOW)  # type: ignore[arg-type]
            assert confirm(decision, registered) is seen
            assert decision.released_only is not seen
    assert ("status", "available") in decide(caller("patient"), ask("search", "ImagingStudy"), now=NOW).narrow
