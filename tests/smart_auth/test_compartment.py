"""The table of subject elements against R4's compartment, and its generator."""

from pathlib import Path

from deploy.settings import ROOT
from smart_auth import compartment, compartment_generate, compartment_r4, roles
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


def test_the_table_is_what_the_standard_says() -> None:
    """HL7's own definition, out of the locked library that the set-up fetches."""
    jar = next((ROOT / "deploy" / "hapi" / "target" / "lib").glob("hapi-fhir-validation-resources-r4-*.jar"))
    written = compartment_generate.render(compartment_generate.read(jar))
    assert written == Path(compartment_r4.__file__).read_text(encoding="utf-8")
