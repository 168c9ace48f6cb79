"""Whose record a resource is: patients, partners, launches with one patient, the directory around them."""

from typing import Any

import pytest

from smart_auth import policy
from smart_auth.interaction import Interaction, Role
from smart_auth.policy import confirm, decide, project
from tests.smart_auth.callers import NOW, OTHER, OWN, ask, caller, resource

# Compartments


def test_a_launch_with_one_patient_binds_staff_to_that_patient() -> None:
    doctor = caller("doctor", "patient/*.cruds", patient=OWN)
    for row in (
        "Patient",
        "Condition",
        "Observation vital-signs",
        "Task",
        "ImagingStudy",
        "AllergyIntolerance",
    ):
        type_ = row.partition(" ")[0]
        decision = decide(doctor, ask("read", type_, OWN), now=NOW)
        assert confirm(decision, resource(row))
        assert not confirm(decision, resource(row, OTHER))
    assert decide(doctor, ask("search", "Condition"), now=NOW).narrow == (("patient", "Patient/own"),)


def test_a_launch_with_one_patient_reads_the_directory_and_does_not_change_it() -> None:
    admin = caller("admin", "patient/*.cruds", patient=OWN)
    assert decide(admin, ask("read", "Practitioner"), now=NOW).allowed
    assert decide(admin, ask("create", "Practitioner"), now=NOW).code == "ERR_005"
    assert decide(admin, ask("read", "Group"), now=NOW).code == "ERR_005"


def test_patient_scopes_without_a_patient_give_nothing() -> None:
    assert decide(caller("doctor", "patient/*.rs"), ask("read", "Patient"), now=NOW).code == "ERR_005"


def test_a_patient_without_an_id_and_an_external_without_an_organization_get_nothing() -> None:
    for principal in (caller("patient", patient=None), caller("external", organization=None)):
        assert decide(principal, ask("search", "Patient"), now=NOW).code == "ERR_005"


def test_user_and_patient_scopes_together_reach_what_either_reaches() -> None:
    doctor = caller("doctor", "patient/Condition.rs user/Condition.r", patient=OWN)
    assert confirm(decide(doctor, ask("read", "Condition"), now=NOW), resource("Condition", OTHER))
    assert not confirm(decide(doctor, ask("search", "Condition"), now=NOW), resource("Condition", OTHER))


def test_nothing_shared_is_an_empty_search_that_still_asks() -> None:
    decision = decide(caller("external", shared=frozenset()), ask("search", "Condition"), now=NOW)
    assert decision.narrow == (("_id", policy.NOBODY),)
    assert decision.patients == frozenset()
    assert not confirm(decision, resource("Condition"))


def test_a_search_is_narrowed_to_every_shared_patient() -> None:
    decision = decide(caller("external", shared=frozenset({"b", "a"})), ask("search", "Condition"), now=NOW)
    assert decision.narrow == (("patient", "Patient/a,Patient/b"),)


@pytest.mark.parametrize(
    "subject",
    [
        None,
        {},
        {"reference": "Patient/other"},
        {"reference": "#own"},
        {"reference": "urn:uuid:own"},
        {"reference": "Group/own"},
        {"reference": "http://localhost:8080/fhir/Patient/own"},
        {"reference": "Patient?identifier=own"},
        {"reference": "Patient/own/x"},
        {"identifier": {"value": "own"}},
        "Patient/own",
        [{"reference": "Patient/own"}],
    ],
)
def test_an_unclear_subject_belongs_to_nobody(subject: Any) -> None:
    decision = decide(caller("patient"), ask("read", "Condition"), now=NOW)
    found = resource("Condition") | {"subject": subject}
    assert not confirm(decision, found)


def test_taking_part_gives_no_right_to_the_record() -> None:
    decision = decide(caller("patient"), ask("read", "Procedure"), now=NOW)
    found = resource("Procedure", OTHER) | {"performer": [{"actor": {"reference": "Patient/own"}}]}
    assert not confirm(decision, found)
    linked = resource("Patient", OTHER) | {"link": [{"other": {"reference": "Patient/own"}}]}
    assert not confirm(decide(caller("patient"), ask("read", "Patient", OTHER), now=NOW), linked)


def test_a_resource_of_another_type_is_never_confirmed() -> None:
    decision = decide(caller("admin"), ask("read", "Patient"), now=NOW)
    assert not confirm(decision, resource("Condition"))
    assert not confirm(decision, {})


# What is seen because something refers to it


@pytest.mark.parametrize("role", ["patient", "external"])
@pytest.mark.parametrize(
    "type_",
    ["Practitioner", "PractitionerRole", "Organization", "Location", "Endpoint", "Device", "Medication"],
)
def test_the_directory_is_read_only_where_something_visible_refers_to_it(role: Role, type_: str) -> None:
    decision = decide(caller(role), ask("read", type_), now=NOW)
    found = {"resourceType": type_, "id": "x1", "name": [{"text": "n"}], "telecom": [{"value": "1"}]}
    assert decision.allowed
    assert decision.referenced_by
    assert not confirm(decision, found)
    assert confirm(decision, found, linked=True)
    if type_ in ("Practitioner", "PractitionerRole", "Organization", "Location"):
        assert "telecom" not in project(decision, found)
    assert not decide(caller(role), ask("search", type_), now=NOW).allowed


def test_a_partner_sees_its_own_organization_whole() -> None:
    decision = decide(caller("external"), ask("read", "Organization", "partner"), now=NOW)
    found = {"resourceType": "Organization", "id": "partner", "telecom": [{"value": "1"}]}
    assert confirm(decision, found)
    assert project(decision, found) == found
    assert not confirm(decision, found | {"id": "another"})


def test_a_device_of_another_patient_is_not_seen_even_when_referenced() -> None:
    decision = decide(caller("patient"), ask("read", "Device"), now=NOW)
    found = {"resourceType": "Device", "id": "x1", "patient": {"reference": "Patient/other"}}
    assert not confirm(decision, found, linked=True)


def test_a_partner_reads_its_own_group_only() -> None:
    decision = decide(caller("external"), ask("read", "Group"), now=NOW)
    group = {"resourceType": "Group", "id": "x1", "managingEntity": {"reference": "Organization/partner"}}
    assert confirm(decision, group)
    for other in ({"reference": "Organization/other"}, None, {}):
        assert not confirm(decision, group | {"managingEntity": other})
    assert not decide(caller("external"), ask("search", "Group"), now=NOW).allowed


def test_provenance_is_seen_by_what_it_speaks_about() -> None:
    found = {"resourceType": "Provenance", "id": "x1", "target": [{"reference": "DiagnosticReport/d1"}]}
    for role in ("patient", "external"):
        decision = decide(caller(role), ask("read", "Provenance"), now=NOW)  # type: ignore[arg-type]
        assert decision.depends == "target"
        assert not confirm(decision, found)
        assert confirm(decision, found, linked=True)
        search = Interaction("search", "Provenance")
        assert decide(caller(role), search, now=NOW).code == "ERR_008"  # type: ignore[arg-type]
        named = ask("search", "Provenance", parameters=(("target", "DiagnosticReport/d1"),))
        assert decide(caller(role), named, now=NOW).allowed  # type: ignore[arg-type]
    assert confirm(decide(caller("rib"), ask("read", "Provenance"), now=NOW), found)


def test_a_patient_sees_who_looked_and_nothing_of_anybody_else() -> None:
    decision = decide(caller("patient"), ask("read", "AuditEvent"), now=NOW)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": "x1",
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"who": {"reference": "Practitioner/p"}, "network": {"address": "10.0.0.1"}}],
        "entity": [{"what": {"reference": "Patient/own"}, "query": "eA=="}],
        "source": {"observer": {"display": "n"}, "site": "s"},
    }
    assert confirm(decision, event)
    shown = project(decision, event)
    assert "10.0.0.1" not in str(shown)
    assert "query" not in str(shown)
    assert shown["agent"][0]["who"] == {"reference": "Practitioner/p"}
    for more in (
        {"what": {"reference": "Patient/other"}},
        {"what": {"reference": "Patient/other/_history/1"}},
    ):
        assert not confirm(decision, event | {"entity": [*event["entity"], more]})
    assert not confirm(decision, event | {"entity": []})
    agent = [{"who": {"reference": "Patient/other"}}]
    assert not confirm(decision, event | {"agent": agent})
