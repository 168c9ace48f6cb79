from dataclasses import replace

import pytest

from imaging import identity, names
from imaging.identity import BasedOn, IdentityTags, Matched, Quarantine, Source

OUTSIDE = "urn:oid:1.2.3.4"
OWN_HOSPITAL = {
    "resourceType": "Organization",
    "id": "own",
    "identifier": [
        {"system": names.PATIENT_IDENTIFIER_SYSTEM, "value": names.MRN},
        {"system": names.ISSUER_OF_PATIENT_ID, "value": "NEURONOVA"},
    ],
}
OTHER_HOSPITAL = {
    "resourceType": "Organization",
    "id": "other",
    "identifier": [
        {"system": names.PATIENT_IDENTIFIER_SYSTEM, "value": OUTSIDE},
        {"system": names.ISSUER_OF_PATIENT_ID, "value": "OTHER"},
    ],
}
HOSPITALS = [OWN_HOSPITAL, OTHER_HOSPITAL]
OWN_SCANNER = Source("c-store", "SCANNER", "Organization/own")
OTHER_SCANNER = Source("c-store", "THEIRS", "Organization/other")
STAFF = Source("stow", "Practitioner/1", None, staff=True)
UNKNOWN = Source("c-store", "NOBODY", None)

TAGS = IdentityTags("0001", "", "Demo^Patient One", "19700101", "F", "")
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "identifier": [{"system": names.MRN, "value": "0001"}],
    "name": [{"family": "Demo", "given": ["Patient", "One"]}],
    "birthDate": "1970-01-01",
    "gender": "female",
}


@pytest.mark.parametrize(
    ("issuer", "source", "expected"),
    [
        ("", OWN_SCANNER, names.MRN),
        ("", STAFF, names.MRN),
        ("", OTHER_SCANNER, OUTSIDE),
        ("", UNKNOWN, None),
        ("NEURONOVA", OWN_SCANNER, names.MRN),
        ("NEURONOVA ", STAFF, names.MRN),
        ("OTHER", OWN_SCANNER, OUTSIDE),
        ("OTHER", STAFF, OUTSIDE),
        ("OTHER", OTHER_SCANNER, OUTSIDE),
        # never our MRN system for an outside source, whatever its files claim
        ("NEURONOVA", OTHER_SCANNER, None),
        ("NEURONOVA", UNKNOWN, None),
        ("NOBODY", OWN_SCANNER, None),
        ("neuronova", OWN_SCANNER, None),
    ],
)
def test_a_patient_id_is_read_in_its_issuers_numbering(issuer, source, expected):
    assert identity.identifier_system(issuer, source, HOSPITALS) == expected


def test_two_hospitals_with_one_issuer_are_no_issuer():
    twin = OTHER_HOSPITAL | {"identifier": [dict(i) for i in OTHER_HOSPITAL["identifier"]]}
    twin["identifier"][0]["value"] = "urn:oid:9"
    assert identity.identifier_system("OTHER", OWN_SCANNER, [*HOSPITALS, twin]) is None


def test_an_exact_match_is_taken():
    assert identity.match(TAGS, names.MRN, [PATIENT]) == Matched("Patient/p1")


@pytest.mark.parametrize("patient_id", ["0001 ", "0001\0", " 0001"])
def test_padding_is_trimmed(patient_id):
    assert identity.match(replace(TAGS, patient_id=patient_id), names.MRN, [PATIENT]) == Matched("Patient/p1")


@pytest.mark.parametrize(
    ("change", "patients", "code"),
    [
        ({"patient_id": ""}, [PATIENT], "no-patient-id"),
        ({"patient_id": "1"}, [PATIENT], "unknown-patient"),  # leading zeros count
        ({"patient_id": "00001"}, [PATIENT], "unknown-patient"),
        ({"patient_id": "0001a"}, [PATIENT], "unknown-patient"),
        ({}, [], "unknown-patient"),
        ({}, [PATIENT, PATIENT | {"id": "p2"}], "several-patients"),
        ({}, [PATIENT | {"active": False}], "inactive-patient"),
        ({}, [PATIENT | {"link": [{"type": "replaced-by"}]}], "merged-patient"),
        ({"birth_date": "19700102"}, [PATIENT], "birth-date"),
        ({"birth_date": "1970"}, [PATIENT], "birth-date"),
        ({"sex": "M"}, [PATIENT], "sex"),
        ({"sex": "O"}, [PATIENT], "sex"),
        ({"name": "Demo^Patient Two"}, [PATIENT], "name"),
        ({"name": "시험^환자", "birth_date": ""}, [PATIENT], "name-not-comparable"),
    ],
)
def test_anything_doubtful_is_quarantined(change, patients, code):
    result = identity.match(replace(TAGS, **change), names.MRN, patients)
    assert isinstance(result, Quarantine)
    assert result.code == code
    assert "Demo" not in result.text


@pytest.mark.parametrize(
    ("change", "patient"),
    [
        ({"birth_date": ""}, {}),
        ({"sex": ""}, {}),
        ({"name": ""}, {}),
        ({"birth_date": "1970.01.01"}, {}),
        ({}, {"birthDate": "1970"}),
        ({}, {"gender": "unknown"}),
        ({"name": "시험^환자"}, {}),  # another script, but the birth date agrees
    ],
)
def test_what_one_side_does_not_say_contradicts_nothing(change, patient):
    assert identity.match(replace(TAGS, **change), names.MRN, [PATIENT | patient]) == Matched("Patient/p1")


def test_the_same_number_in_another_numbering_is_another_patient():
    assert identity.match(TAGS, OUTSIDE, [PATIENT]).code == "unknown-patient"


def test_a_number_that_was_given_up_matches_nobody():
    old = PATIENT | {"identifier": [{"system": names.MRN, "value": "0001", "use": "old"}]}
    assert identity.match(TAGS, names.MRN, [old]).code == "unknown-patient"


def test_an_unknown_numbering_is_quarantined():
    assert identity.match(TAGS, None, [PATIENT]).code == "unknown-issuer"


ORDER = {
    "resourceType": "ServiceRequest",
    "id": "s1",
    "status": "active",
    "identifier": [{"system": names.ACCESSION, "value": "A1"}],
    "subject": {"reference": "Patient/p1"},
}


@pytest.mark.parametrize(
    ("accession", "orders", "expected"),
    [
        ("A1", [ORDER], BasedOn("ServiceRequest/s1")),
        ("A1 ", [ORDER], BasedOn("ServiceRequest/s1")),
        ("", [ORDER], BasedOn(None)),
        ("A2", [ORDER], BasedOn(None)),
        ("A1", [ORDER | {"status": "completed"}], BasedOn(None)),
        ("A1", [ORDER, ORDER | {"id": "s2", "status": "revoked"}], BasedOn("ServiceRequest/s1")),
    ],
)
def test_an_order_is_linked_only_by_its_exact_number(accession, orders, expected):
    assert identity.order(accession, "Patient/p1", orders) == expected


@pytest.mark.parametrize(
    ("orders", "code"),
    [
        ([ORDER | {"subject": {"reference": "Patient/p2"}}], "other-patients-order"),
        ([ORDER, ORDER | {"id": "s2"}], "several-orders"),
        ([ORDER, ORDER | {"id": "s2", "subject": {"reference": "Patient/p2"}}], "several-orders"),
    ],
)
def test_a_contradicting_order_is_quarantined(orders, code):
    assert identity.order("A1", "Patient/p1", orders).code == code


def test_an_accession_may_be_told_by_its_type():
    typed = {"type": {"coding": [{"system": names.IDENTIFIER_TYPE, "code": "ACSN"}]}, "value": "A1"}
    assert identity.order("A1", "Patient/p1", [ORDER | {"identifier": [typed]}]) == BasedOn(
        "ServiceRequest/s1"
    )
