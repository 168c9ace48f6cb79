"""The policy against a table of its own: role x type x interaction x compartment, and the rules beside it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_auth import policy, roles, scopes
from smart_auth.interaction import Interaction, Kind, Principal, Role
from smart_auth.policy import confirm, decide, project

NOW = 1_800_000_000
ROLES: tuple[Role, ...] = ("admin", "doctor", "rib", "lab", "nurse", "patient", "external")

# Written down from the product's design, section 5, apart from `roles.py`. Words after the letters: whose.
STAFF_READ = ("rs", "crus", "rs", "rs", "rs", "rs own", "rs shared")
DIRECTORY = ("cruds", "rs", "rs", "rs", "rs", "", "")
TABLE: dict[str, tuple[str, ...]] = {
    "Patient": ("cruds", "crus", "rs", "rs", "rs", "rs own", "rs shared"),
    "Encounter": ("cruds", "crus", "rs", "rs", "rs", "rs own", "rs shared"),
    "Practitioner": DIRECTORY,
    "PractitionerRole": DIRECTORY,
    "Organization": DIRECTORY,
    "Location": DIRECTORY,
    "ServiceRequest": ("cruds", "crus", "rus", "rs", "rs", "rs own", "crs shared"),
    "ImagingStudy": ("rs", "rs", "rs", "", "", "rs own", "rs shared"),
    "Task": ("rs", "crs", "crs", "", "", "", ""),
    "DiagnosticReport": ("rs", "crus", "crus", "rs", "rs", "rs own", "rs shared"),
    "Observation imaging": ("rs", "rs", "crus", "rs", "rs", "rs own", "rs shared"),
    "Observation laboratory": ("rs", "rs", "rs", "crus", "rs", "rs own", "rs shared"),
    "Observation vital-signs": ("rs", "crus", "rs", "", "crus", "rs own", ""),
    "Observation": ("rs", "rs", "rs", "rs", "rs", "", ""),
    "Observation exam": ("", "", "", "", "", "", ""),
    "Medication": ("rs", "crus", "rs", "rs", "rs", "", ""),
    "MedicationRequest": STAFF_READ,
    "MedicationAdministration": STAFF_READ,
    "MedicationDispense": STAFF_READ,
    "MedicationStatement": STAFF_READ,
    "Condition": STAFF_READ,
    "AllergyIntolerance": STAFF_READ,
    "Procedure": STAFF_READ,
    "DocumentReference": STAFF_READ,
    "Endpoint": ("rs", "rs", "rs", "rs", "rs", "", ""),
    "Device": ("cruds", "rs", "rs", "rs", "rs", "", ""),
    "Provenance": ("rs", "rs", "rs", "", "", "", ""),
    "Group": ("cruds", "", "", "", "", "", ""),
    "AuditEvent": ("rs", "", "", "", "", "rs own", ""),
    # Refused to everybody.
    "Subscription": ("",) * 7,
    "SearchParameter": ("",) * 7,
    "StructureDefinition": ("",) * 7,
    "Binary": ("",) * 7,
    "List": ("",) * 7,
    "Composition": ("",) * 7,
    "Person": ("",) * 7,
    "Bundle": ("",) * 7,
    "Immunization": ("",) * 7,
}
KINDS: dict[Kind, str] = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "history-type": "s",
    "search": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
OWN, OTHER = "own", "other"


def caller(role: Role, scope: str = "user/*.cruds", **changes: Any) -> Principal:
    """A valid caller of a role whose compartment is the patient `own`."""
    principal = Principal(
        user_id="u1",
        fhir_user="Patient/own" if role == "patient" else "Practitioner/p1",
        role=role,
        scopes=scopes.parse(scope),
        client_id="app",
        jti="j1",
        patient=OWN if role == "patient" else None,
        organization="partner" if role == "external" else None,
        auth_time=NOW - 10,
        expires=NOW + 100,
        shared=frozenset({OWN}) if role == "external" else frozenset(),
    )
    return replace(principal, **changes)


def observation(*categories: str, patient: str = OWN, status: str = "final") -> dict[str, Any]:
    """An Observation with these categories."""
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": "o1",
        "status": status,
        "subject": {"reference": f"Patient/{patient}"},
    }
    if categories:
        found["category"] = [{"coding": [{"system": CATEGORY, "code": code}]} for code in categories]
    return found


def resource(row: str, patient: str = OWN) -> dict[str, Any]:
    """A resource of a row, in a state that everybody may see, in a patient's record."""
    type_, _, category = row.partition(" ")
    if type_ == "Observation":
        return observation(*([category] if category else []), patient=patient)
    found: dict[str, Any] = {"resourceType": type_, "id": "x1"}
    reference = {"reference": f"Patient/{patient}"}
    if type_ == "Patient":
        found["id"] = patient
    elif type_ == "AllergyIntolerance":
        found["patient"] = reference
    elif type_ == "Task":
        found["for"] = reference
    elif type_ == "AuditEvent":
        found["entity"] = [{"what": reference}]
    else:
        found["subject"] = reference
    found["status"] = {"ImagingStudy": "available", "DiagnosticReport": "final"}.get(type_, "active")
    return found


def ask(kind: Kind, type_: str, id_: str = "x1", **more: Any) -> Interaction:
    """An interaction, with an id where there has to be one (and a target where that has to be named)."""
    if kind == "search" and type_ == "Provenance":
        more.setdefault("parameters", (("target", "DiagnosticReport/d1"),))
    return Interaction(kind, type_, None if kind in ("search", "create", "history-type") else id_, **more)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("row", TABLE)
def test_every_row_of_the_table_holds_for_every_interaction_and_compartment(row: str, role: Role) -> None:
    letters, _, whose = TABLE[row][ROLES.index(role)].partition(" ")
    type_ = row.partition(" ")[0]
    for kind, letter in KINDS.items():
        decision = decide(caller(role), ask(kind, type_, OWN if type_ == "Patient" else "x1"), now=NOW)
        wanted = letter in letters
        sees_own = decision.allowed and confirm(decision, resource(row))
        assert sees_own is wanted, (row, role, kind)
        sees_other = decision.allowed and confirm(decision, resource(row, OTHER))
        assert sees_other is (wanted and not whose), (row, role, kind)
        if wanted and whose:
            assert decision.patients == frozenset({OWN})
        if not decision.allowed:
            assert decision.status == 403
            assert decision.code in ("ERR_004", "ERR_008")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("row", TABLE)
def test_without_a_scope_of_that_letter_nothing_is_allowed(row: str, role: Role) -> None:
    type_ = row.partition(" ")[0]
    for kind, letter in KINDS.items():
        others = "".join(other for other in "cruds" if other != letter)
        for scope in (
            "",
            "openid fhirUser",
            f"user/{type_}.{others}",
            "user/Basic.cruds",
            f"system/{type_}.cruds",
        ):
            decision = decide(caller(role, scope), ask(kind, type_), now=NOW)
            assert decision.code == "ERR_003", (row, role, kind, scope)
            assert not decision.allowed


def test_the_readable_table_has_a_row_for_every_type_of_the_test_and_no_other() -> None:
    listed = {row.partition(" ")[0] for row, cells in TABLE.items() if any(cells)}
    assert listed | {"MedicationKnowledge"} == roles.TYPES


@pytest.mark.parametrize("role", ROLES)
def test_only_administrators_manage_users_and_clients(role: Role) -> None:
    assert bool(roles.rule(role, roles.ADMINISTRATION).letters) is (role == "admin")


# The caller


def test_no_caller_and_an_expired_one_are_401() -> None:
    assert decide(None, ask("read", "Patient"), now=NOW).status == 401
    late = decide(caller("admin", expires=NOW), ask("read", "Patient"), now=NOW)
    assert (late.status, late.code) == (401, "ERR_002")


def test_the_capability_statement_is_open() -> None:
    assert decide(None, Interaction("capabilities"), now=NOW).allowed


@pytest.mark.parametrize(
    "interaction",
    [
        Interaction("read", "Patient"),
        Interaction("read", "Patient", "../x"),
        Interaction("read", "Patient", ".."),
        Interaction("read", "Patient", "a" * 65),
        Interaction("read", "Patient", "a/b"),
        Interaction("read", None, "x"),
        Interaction("search", "Patient", "x"),
        Interaction("search", None),
        Interaction("create", "Patient", "chosen-id"),
        Interaction("operation", "Patient", "x", operation="$export"),
        Interaction("operation", "Task", "x", operation="$sign"),
        Interaction("operation", "Task", operation="$review"),
        Interaction("operation", None, None, operation="$export"),
        Interaction("dicomweb-read", "Patient", "x"),
        Interaction("dicom-upload", "Patient"),
        Interaction("websocket", "Patient", "x"),
        Interaction("websocket", "Task"),
        Interaction("explode", "Patient", "x"),  # type: ignore[arg-type]
        Interaction("search", "Patient", parameters=(("_filter", "name eq x"),)),
        Interaction("search", "Patient", parameters=(("_text:exact", "x"),)),
        Interaction("search", "Patient", parameters=(("_getpages", "x"),)),
        Interaction("search", "Patient", parameters=(("_list", "x"),)),
        Interaction("delete", "Patient", "x", parameters=(("_cascade", "delete"),)),
        Interaction("update", "Patient", "x", parameters=(("identifier", "x"),)),
    ],
)
def test_what_is_not_understood_is_refused(interaction: Interaction) -> None:
    decision = decide(caller("admin"), interaction, now=NOW)
    assert (decision.allowed, decision.code, decision.status) == (False, "ERR_008", 403)


def test_a_conditional_write_needs_the_right_to_search() -> None:
    asked = Interaction("create", "Patient", parameters=(("identifier", "a|b"),))
    assert decide(caller("doctor"), asked, now=NOW).allowed
    assert decide(caller("doctor", "user/Patient.cr"), asked, now=NOW).code == "ERR_003"
    assert decide(caller("doctor", "user/Patient.c"), ask("create", "Patient"), now=NOW).allowed


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


def test_nobody_writes_the_device_of_an_algorithm() -> None:
    device = {
        "resourceType": "Device",
        "identifier": [{"system": "urn:neuronova:ai-algorithm", "value": "x"}],
    }
    for kind in ("create", "update", "delete"):
        decision = decide(caller("admin"), ask(kind, "Device"), now=NOW)
        assert confirm(decision, {"resourceType": "Device"})
        assert not confirm(decision, device)
    assert confirm(decide(caller("admin"), ask("read", "Device"), now=NOW), device)


# Images, operations, notifications, sessions


@pytest.mark.parametrize("role", ROLES)
def test_uploading_and_looking_at_images(role: Role) -> None:
    upload = decide(caller(role), Interaction("dicom-upload", "ImagingStudy"), now=NOW)
    assert upload.allowed is (role in ("admin", "doctor", "rib", "external"))
    study = {"resourceType": "ImagingStudy", "subject": {"reference": "Patient/own"}}
    other = {"resourceType": "ImagingStudy", "subject": {"reference": "Patient/other"}}
    assert confirm(upload, study) is upload.allowed
    assert confirm(upload, other) is (role in ("admin", "doctor", "rib"))
    for id_ in ("x1", None):
        look = decide(caller(role), Interaction("dicomweb-read", "ImagingStudy", id_), now=NOW)
        assert look.allowed is (role not in ("lab", "nurse"))
    assert not decide(caller(role), ask("create", "ImagingStudy"), now=NOW).allowed
    for scope, kind in (("user/ImagingStudy.c", "dicomweb-read"), ("user/ImagingStudy.rs", "dicom-upload")):
        asked = Interaction(kind, "ImagingStudy", "x1" if kind == "dicomweb-read" else None)  # type: ignore[arg-type]
        assert decide(caller(role, scope), asked, now=NOW).code == "ERR_003"


@pytest.mark.parametrize("role", ROLES)
def test_doctors_review_and_radiologists_sign(role: Role) -> None:
    review = Interaction("operation", "Task", "x1", operation="$review")
    sign = Interaction("operation", "DiagnosticReport", "x1", operation="$sign")
    assert decide(caller(role), review, now=NOW).allowed is (role == "doctor")
    assert decide(caller(role), sign, now=NOW).allowed is (role == "rib")
    assert not decide(caller(role, "user/Task.crs user/DiagnosticReport.crs"), review, now=NOW).allowed
    assert not decide(caller(role, "user/DiagnosticReport.crs"), sign, now=NOW).allowed
    if role == "doctor":
        assert confirm(decide(caller(role), review, now=NOW), resource("Task"))
    if role == "rib":
        assert confirm(decide(caller(role), sign, now=NOW), resource("DiagnosticReport"))


def test_signing_needs_a_login_of_the_last_five_minutes() -> None:
    sign = Interaction("operation", "DiagnosticReport", "x1", operation="$sign")
    for auth_time, code in ((NOW - 300, None), (NOW - 301, "ERR_007"), (NOW + 1, "ERR_007"), (0, "ERR_007")):
        assert decide(caller("rib", auth_time=auth_time), sign, now=NOW).code == code


def test_a_back_end_neither_reviews_nor_signs() -> None:
    back_end = {"user_id": None, "fhir_user": None, "auth_time": 0}
    for role, type_, name in (("doctor", "Task", "$review"), ("rib", "DiagnosticReport", "$sign")):
        principal = caller(role, "system/*.cruds", **back_end)  # type: ignore[arg-type]
        asked = Interaction("operation", type_, "x1", operation=name)
        assert decide(principal, asked, now=NOW).code == "ERR_009"


def test_system_scopes_are_for_back_ends_and_the_others_for_people() -> None:
    back_end = {"user_id": None, "fhir_user": None}
    assert decide(caller("doctor", "system/*.cruds"), ask("read", "Patient"), now=NOW).code == "ERR_003"
    for scope in ("user/*.cruds", "patient/*.cruds"):
        principal = caller("doctor", scope, patient=OWN, **back_end)
        assert decide(principal, ask("read", "Patient"), now=NOW).code == "ERR_003"
    assert decide(caller("external", "system/*.rs", **back_end), ask("read", "Patient", OWN), now=NOW).allowed


def test_the_viewers_session_is_good_for_images_review_and_notifications_only() -> None:
    doctor = caller("doctor", session=True)
    good = [
        Interaction("dicomweb-read", "ImagingStudy", "x1"),
        Interaction("dicomweb-read", "ImagingStudy"),
        Interaction("dicom-upload", "ImagingStudy"),
        Interaction("operation", "Task", "x1", operation="$review"),
        Interaction("websocket"),
        Interaction("websocket", "Task", "x1"),
    ]
    for asked in good:
        assert decide(doctor, asked, now=NOW).allowed, asked
    for kind in KINDS:
        assert decide(doctor, ask(kind, "Patient"), now=NOW).code == "ERR_006"
    sign = Interaction("operation", "DiagnosticReport", "x1", operation="$sign")
    assert decide(caller("rib", session=True), sign, now=NOW).code == "ERR_006"


@pytest.mark.parametrize("role", ROLES)
def test_notifications_are_for_those_who_may_read_what_they_name(role: Role) -> None:
    assert decide(caller(role), Interaction("websocket"), now=NOW).allowed
    for type_ in ("Task", "DiagnosticReport", "ImagingStudy"):
        told = decide(caller(role), Interaction("websocket", type_, "x1"), now=NOW)
        read = decide(caller(role), ask("read", type_), now=NOW)
        assert told.allowed is read.allowed
        for patient in (OWN, OTHER):
            assert confirm(told, resource(type_, patient)) is confirm(read, resource(type_, patient))
    assert not decide(caller(role, "openid"), Interaction("websocket"), now=NOW).allowed


# Granular scopes


def test_a_granular_scope_narrows_every_interaction() -> None:
    scope = f"user/Observation.cruds?category={CATEGORY}|laboratory"
    for kind in ("read", "search", "vread", "history-instance"):
        decision = decide(caller("doctor", scope), ask(kind, "Observation"), now=NOW)
        assert confirm(decision, observation("laboratory"))
        assert not confirm(decision, observation("vital-signs"))
        assert not confirm(decision, observation())
    search = decide(caller("doctor", scope), ask("search", "Observation"), now=NOW)
    assert search.narrow == (("category", f"{CATEGORY}|laboratory"),)
    write = decide(caller("doctor", scope), ask("create", "Observation"), now=NOW)
    assert not confirm(write, observation("vital-signs"))


def test_two_granular_scopes_reach_what_either_reaches() -> None:
    scope = "user/Condition.rs?clinical-status=active user/Condition.rs?category=problem-list-item"
    decision = decide(caller("doctor", scope), ask("search", "Condition"), now=NOW)
    active = resource("Condition") | {"clinicalStatus": {"coding": [{"code": "active"}]}}
    listed = resource("Condition") | {"category": [{"coding": [{"code": "problem-list-item"}]}]}
    assert confirm(decision, active)
    assert confirm(decision, listed)
    assert not confirm(decision, resource("Condition"))
    assert decision.narrow == ()
    assert not decision.exact


# What the facade may skip


def test_confirm_is_skipped_only_where_nothing_could_fail() -> None:
    assert not decide(caller("doctor"), ask("read", "Patient"), now=NOW).confirm
    assert not decide(caller("patient"), ask("read", "Patient", OWN), now=NOW).confirm
    for role, asked in (
        ("patient", ask("read", "Patient", OTHER)),
        ("patient", ask("search", "Condition")),
        ("patient", ask("read", "DiagnosticReport")),
        ("patient", ask("read", "Practitioner")),
        ("admin", ask("read", "Observation")),
        ("admin", ask("update", "Patient")),
        ("external", ask("read", "Group")),
    ):
        assert decide(caller(role), asked, now=NOW).confirm, (role, asked)  # type: ignore[arg-type]
    granular = caller("doctor", "user/Condition.rs?clinical-status=active")
    assert decide(granular, ask("read", "Condition"), now=NOW).confirm


# Laws

LETTERS = st.sets(st.sampled_from("cruds"), min_size=1).map(lambda s: "".join(x for x in "cruds" if x in s))
SCOPE = st.builds(
    lambda context, type_, letters, query: f"{context}/{type_}.{letters}{query}",
    st.sampled_from(["user", "patient", "system"]),
    st.sampled_from(["*", "Patient", "Observation", "Condition", "Task", "DiagnosticReport", "ImagingStudy"]),
    LETTERS,
    st.sampled_from(["", "?category=laboratory", "?status=final", "?status=final,amended&category=a"]),
)


@settings(max_examples=400, deadline=None)
@given(
    role=st.sampled_from(ROLES),
    more=st.lists(SCOPE, max_size=5),
    fewer=st.data(),
    kind=st.sampled_from(list(KINDS)),
    row=st.sampled_from([row for row, cells in TABLE.items() if any(cells)]),
    patient=st.sampled_from([OWN, OTHER]),
    launched=st.sampled_from([None, OWN, OTHER]),
)
def test_fewer_scopes_never_allow_more(
    role: Role,
    more: list[str],
    fewer: st.DataObject,
    kind: Kind,
    row: str,
    patient: str,
    launched: str | None,
) -> None:
    some = fewer.draw(st.lists(st.sampled_from(more), unique=True)) if more else []
    changes = {} if role == "patient" else {"patient": launched}
    asked = ask(kind, row.partition(" ")[0])
    with_fewer = decide(caller(role, " ".join(some), **changes), asked, now=NOW)
    with_more = decide(caller(role, " ".join(more), **changes), asked, now=NOW)
    assert with_more.allowed or not with_fewer.allowed
    found = resource(row, patient)
    assert confirm(with_more, found) or not confirm(with_fewer, found)
