"""The table of subject elements against R4's compartment, and its generator."""

from smart_auth import compartment, compartment_generate, roles
from smart_auth.compartment_r4 import MEMBERSHIP

# In no patient compartment of R4; `compartment.py` says why they have a subject all the same.
ADDED = {"Task", "Device"}


def test_every_subject_is_one_of_r4s_ways_into_the_compartment() -> None:
    for type_, subject in compartment.SUBJECTS.items():
        if type_ in ADDED:
            assert type_ not in MEMBERSHIP
        elif type_ != "Patient":
            assert {subject.parameter, subject.element} & set(MEMBERSHIP[type_]), type_


def test_every_type_with_rights_has_a_subject_or_a_reason() -> None:
    by_other_means = {"Group", "Provenance"}
    assert set(compartment.SUBJECTS) | compartment.WITHOUT_PATIENT | by_other_means == roles.TYPES
    assert not set(compartment.SUBJECTS) & compartment.WITHOUT_PATIENT
    assert not compartment.WITHOUT_PATIENT & set(MEMBERSHIP)


def test_the_generator_writes_the_table_that_is_kept() -> None:
    definition = {
        "resourceType": "CompartmentDefinition",
        "code": "Patient",
        "resource": [{"code": "Binary"}, *({"code": t, "param": list(p)} for t, p in MEMBERSHIP.items())],
    }
    written: dict[str, dict[str, tuple[str, ...]]] = {}
    exec(compartment_generate.render(definition), written)  # noqa: S102 - our own output
    assert written["MEMBERSHIP"] == MEMBERSHIP
