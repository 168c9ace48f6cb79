"""Images, review, signature, notifications, back ends and the viewer's session."""

from dataclasses import replace

import pytest

from smart_auth.interaction import Interaction, Role
from smart_auth.policy import RESULT, confirm, decide
from tests.smart_auth.callers import KINDS, NOW, OTHER, OWN, ROLES, ask, caller, resource


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


def test_the_viewers_session_is_good_for_images_results_and_notifications_only() -> None:
    doctor = caller("doctor", session=True)
    good = [
        Interaction("dicomweb-read", "ImagingStudy", "x1"),
        Interaction("dicomweb-read", "ImagingStudy"),
        Interaction("dicom-upload", "ImagingStudy"),
        Interaction("operation", "Task", "x1", operation="$review"),
        *(Interaction("result-read", type_, "x1") for type_ in RESULT),
        Interaction("websocket"),
        Interaction("websocket", "Task", "x1"),
    ]
    for asked in good:
        assert decide(doctor, asked, now=NOW).allowed, asked
    for kind in KINDS:
        assert decide(doctor, ask(kind, "Patient"), now=NOW).code == "ERR_006"
    sign = Interaction("operation", "DiagnosticReport", "x1", operation="$sign")
    assert decide(caller("rib", session=True), sign, now=NOW).allowed
    meta = Interaction("operation", "DiagnosticReport", "x1", operation="$meta")
    assert decide(caller("rib", session=True), meta, now=NOW).code == "ERR_006"
    assert decide(doctor, Interaction("result-read", "Patient", "x1"), now=NOW).code == "ERR_008"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("type_", sorted(RESULT))
def test_a_part_of_a_result_is_for_those_who_may_read_it_anyway(role: Role, type_: str) -> None:
    beside = decide(caller(role), Interaction("result-read", type_, "x1"), now=NOW)
    read = decide(caller(role), ask("read", type_), now=NOW)
    assert replace(beside, kind="read") == read
    if beside.allowed:
        for patient in (OWN, OTHER):
            assert confirm(beside, resource(type_, patient)) is confirm(read, resource(type_, patient))


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
