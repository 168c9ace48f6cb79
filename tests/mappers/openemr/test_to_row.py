"""What each resource becomes in OpenEMR's columns, and what is refused."""

import datetime
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappers.openemr import diagnostic_report, encounter, observation, patient, practitioner, service_request
from mappers.openemr.errors import (
    MappingError,
    MissingValueError,
    UnknownCodeError,
    UnmappableError,
)
from mappers.openemr.names import name_columns
from mappers.openemr.values import local, row_uuid
from tests.mappers.openemr import resources as make

SEOUL = datetime.timezone(datetime.timedelta(hours=9))
NEW_YORK = datetime.timezone(datetime.timedelta(hours=-5))


def patient_row(**elements: Any) -> dict[str, Any]:
    return dict(patient.to_row(make.patient(**elements), {}, SEOUL))


def order_row(**elements: Any) -> dict[str, Any]:
    return dict(service_request.to_row(make.order(make.patient(), **elements), {}, SEOUL))


def result_row(**elements: Any) -> dict[str, Any]:
    resource = make.observation(make.patient(), **elements)
    return dict(observation.to_row(resource, SEOUL, "2026-11-21T02:00:00Z"))


@pytest.mark.parametrize(
    ("name", "last", "first"),
    [
        ({"text": "시험환자"}, "시", "험환자"),
        ({"text": "남궁시험"}, "남궁", "시험"),
        ({"text": "시험 환자"}, "시험", "환자"),
        ({"text": "Demo Patient One"}, "Demo Patient One", ""),
        ({"family": "Demo", "given": ["Patient", "One"]}, "Demo", "Patient"),
    ],
)
def test_a_name_is_parted_only_where_that_is_certain(name: make.Resource, last: str, first: str) -> None:
    row = name_columns([name])
    assert (row["lname"], row["fname"]) == (last, first)


def test_the_hangul_form_goes_before_the_latin_one_and_an_old_name_is_not_used() -> None:
    old = {"family": "Former", "use": "old"}
    names = make.patient()["name"]
    assert name_columns([old, *names])["lname"] == "시험"
    with pytest.raises(MissingValueError):
        name_columns([old])


def test_text_is_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "시험")
    assert name_columns([{"family": decomposed}])["lname"] == "시험"


@pytest.mark.parametrize(
    ("gender", "sex"), [("male", "Male"), ("female", "Female"), ("unknown", "UNK"), ("other", "UNK")]
)
def test_gender_becomes_an_option_of_openemrs_list(gender: str, sex: str) -> None:
    assert patient_row(gender=gender)["sex"] == sex


@pytest.mark.parametrize(
    "elements",
    [
        {"gender": "Weiblich"},
        {"maritalStatus": {"coding": [{"system": "urn:demo", "code": "X"}]}},
        {"communication": [{"language": {"coding": [{"code": "tlh"}]}}]},
    ],
)
def test_an_unknown_code_of_a_patient_is_refused(elements: make.Resource) -> None:
    with pytest.raises(UnknownCodeError):
        patient_row(**elements)


@pytest.mark.parametrize(
    "elements", [{"birthDate": "1970"}, {"birthDate": "1970-01"}, {"deceasedBoolean": True}]
)
def test_what_openemr_cannot_hold_is_refused(elements: make.Resource) -> None:
    with pytest.raises(UnmappableError):
        patient_row(**elements)


def test_a_patient_needs_one_record_number() -> None:
    with pytest.raises(MissingValueError):
        patient_row(identifier=[])
    two = [{"system": "urn:neuronova:mrn", "value": value} for value in ("1", "2")]
    with pytest.raises(UnmappableError):
        patient_row(identifier=two)


def test_language_is_taken_without_its_region() -> None:
    assert patient_row(communication=[{"language": {"coding": [{"code": "ko-KR"}]}}])["language"] == "korean"


def test_a_third_address_line_is_refused() -> None:
    with pytest.raises(UnmappableError):
        patient_row(address=[{"line": ["1", "2", "3"]}])


def test_a_practitioner_has_the_licence_where_openemr_looks_for_one() -> None:
    row = practitioner.to_row(make.practitioner())
    assert (row["npi"], row["title"], row["active"]) == ("12345", "Dr", 1)
    assert practitioner.to_row(make.practitioner(active=False))["active"] == 0


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_local_time_is_the_same_instant(seconds: int) -> None:
    instant = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    for zone in (SEOUL, NEW_YORK):
        assert local(instant.isoformat(), zone, "x").replace(tzinfo=zone) == instant


@pytest.mark.parametrize("value", ["2026", "2026-11", "2026-11-21T10:00:00"])
def test_a_time_that_is_not_certain_is_refused(value: str) -> None:
    with pytest.raises(UnmappableError):
        local(value, SEOUL, "x")


@pytest.mark.parametrize(
    ("status", "written", "activity"),
    [
        ("active", "pending", 1),
        ("on-hold", "pending", 1),
        ("completed", "complete", 1),
        ("revoked", "canceled", 1),
        ("entered-in-error", "canceled", 0),
    ],
)
def test_status_of_an_order(status: str, written: str, activity: int) -> None:
    row = order_row(status=status)
    assert (row["order_status"], row["activity"]) == (written, activity)


@pytest.mark.parametrize(
    "elements",
    [
        {"status": "paused"},
        {"intent": "wish"},
        {"priority": "soon"},
        {"category": []},
        {"category": [{"coding": [{"system": "http://snomed.info/sct", "code": "1"}]}]},
    ],
)
def test_an_unknown_code_of_an_order_is_refused(elements: make.Resource) -> None:
    with pytest.raises(UnknownCodeError):
        order_row(**elements)


def test_an_order_needs_its_time_and_its_patient() -> None:
    with pytest.raises(MissingValueError):
        order_row(authoredOn=None)
    with pytest.raises(MissingValueError):
        service_request.needs(make.order(make.patient()) | {"subject": {"reference": "Group/1"}})


def test_reasons_without_a_code_system_of_openemrs_are_told_in_words() -> None:
    reasons = [
        {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "C71.9"}]},
        {"coding": [{"system": "urn:oid:1.2.3", "code": "C71"}], "text": "뇌종양 의심"},
    ]
    row = order_row(reasonCode=reasons, note=[])
    assert (row["order_diagnosis"], row["clinical_hx"]) == ("ICD10:C71.9", "뇌종양 의심")


def test_an_encounter_without_a_start_or_with_an_unknown_class_is_refused() -> None:
    with pytest.raises(MissingValueError):
        encounter.to_row(make.encounter(make.patient(), period={}), {}, SEOUL)
    with pytest.raises(UnknownCodeError):
        encounter.to_row(make.encounter(make.patient(), **{"class": {"code": "ZZ"}}), {}, SEOUL)


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        ({"valueQuantity": {"value": 1.25, "unit": "mL"}}, "N", "1.25"),
        ({"valueQuantity": {"value": 0, "unit": "mL"}}, "N", "0.0"),
        ({"valueQuantity": {"value": 5, "comparator": "<"}}, "N", "<5"),
        ({"valueInteger": 0}, "N", "0.0"),
        ({"valueString": "none"}, "S", "none"),
        ({"valueBoolean": True}, "S", "yes"),
        ({"valueCodeableConcept": {"text": "left"}}, "S", "left"),
    ],
)
def test_a_value_in_openemrs_form(value: make.Resource, kind: str, told: str) -> None:
    resource = make.observation(make.patient())
    del resource["valueQuantity"]
    row = observation.to_row(resource | value, SEOUL, "2026-11-21T02:00:00Z")
    assert (row["result_data_type"], row["result"]) == (kind, told)


def test_a_value_of_another_form_is_refused() -> None:
    resource = make.observation(make.patient())
    del resource["valueQuantity"]
    with pytest.raises(UnmappableError):
        observation.to_row(resource | {"valueSampledData": {}}, SEOUL, "2026-11-21T02:00:00Z")


def test_comments_begin_with_a_line_break_or_openemr_takes_them_for_the_result() -> None:
    row = result_row(
        bodySite={"text": "brain"}, component=[{"code": {"text": "confidence"}, "valueString": "0.9"}]
    )
    assert row["comments"] == "\nbody site: brain\nconfidence: 0.9"
    assert result_row()["comments"] is None


@pytest.mark.parametrize(
    ("status", "written"),
    [("final", "final"), ("amended", "correct"), ("appended", "correct"), ("entered-in-error", "error")],
)
def test_status_of_a_report(status: str, written: str) -> None:
    signed = make.report(make.order(make.patient()), [], status=status)
    assert diagnostic_report.to_row(signed, {}, SEOUL)["report_status"] == written


@pytest.mark.parametrize("status", ["registered", "partial", "preliminary", "cancelled", "entered-in-error"])
def test_only_a_signed_report_is_due(status: str) -> None:
    report = make.report(make.order(make.patient()), [])
    assert diagnostic_report.due(report)
    assert not diagnostic_report.due(report | {"status": status})


def test_a_report_of_two_orders_is_refused() -> None:
    order = make.order(make.patient())
    with pytest.raises(MappingError):
        diagnostic_report.needs(make.report(order, [], basedOn=[make.link(order), make.link(order)]))


def test_a_row_has_the_resources_own_uuid_and_always_the_same_one() -> None:
    resource = make.patient()
    assert str(row_uuid("Patient", resource["id"])) == resource["id"]
    assert row_uuid("Patient", "p1") == row_uuid("Patient", "p1") != row_uuid("Encounter", "p1")
    assert row_uuid("ServiceRequest", resource["id"], "visit") != row_uuid("ServiceRequest", resource["id"])
