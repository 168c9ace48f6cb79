"""The identity rules by the way that images take: from a modality, past HAPI's own search, to one patient."""

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import Dataset, dcmread

from tests.flows.pipeline import MRN, Clinic, Study, file_of
from tests.servers.stack import wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(300, func_only=True)]


class House(NamedTuple):
    """Our modality, and another hospital with a modality and a numbering of its own."""

    ours: str
    theirs: str
    system: str
    issuer: str


@pytest.fixture(scope="module")
def house(clinic: Clinic, single_series: list[Dataset], tmp_path_factory: pytest.TempPathFactory) -> House:
    tag = uuid.uuid4().hex[:8].upper()
    found = House(f"MR{tag}", f"CT{tag}", f"urn:other:{tag}", f"OTHER{tag}")
    other = clinic.create(
        {
            "resourceType": "Organization",
            "active": True,
            "name": "Another Hospital",
            "identifier": [
                {"system": "urn:neuronova:patient-identifier-system", "value": found.system},
                {"system": "urn:neuronova:issuer-of-patient-id", "value": found.issuer},
            ],
        }
    )
    clinic.modality(found.ours)
    clinic.modality(found.theirs, f"Organization/{other['id']}")
    probe = tmp_path_factory.mktemp("probe") / "probe.dcm"
    probe.write_bytes(clinic.study(single_series[:1]).files[0])
    for title in (found.ours, found.theirs):
        wait_for(lambda title=title: clinic.c_store(title, [probe]) == 0, "the modality to be accepted")
    return found


Change = Callable[[Dataset], None]


def _as_it_is(dataset: Dataset) -> None:
    """Nothing is changed."""


def _with_zeros(dataset: Dataset) -> None:
    dataset.PatientID = f"00{dataset.PatientID}"


def _of_unknown_issuer(dataset: Dataset) -> None:
    dataset.IssuerOfPatientID = "NOBODY"


def _born_on_another_day(dataset: Dataset) -> None:
    dataset.PatientBirthDate = "19800102"


def _without_number(dataset: Dataset) -> None:
    dataset.PatientID = ""


@pytest.mark.parametrize(
    ("sender", "change", "code"),
    [
        ("theirs", _as_it_is, "unknown-patient"),  # our number in their numbering is nobody's
        ("ours", _with_zeros, "unknown-patient"),
        ("ours", _of_unknown_issuer, "unknown-issuer"),
        ("ours", _born_on_another_day, "birth-date"),
        ("ours", _without_number, "no-patient-id"),
    ],
)
def test_what_is_not_certain_is_quarantined(
    clinic: Clinic,
    house: House,
    single_series: list[Dataset],
    tmp_path: Path,
    sender: str,
    change: Change,
    code: str,
) -> None:
    study = clinic.study(single_series[:1])
    _send(clinic, getattr(house, sender), study, change, tmp_path)
    assert _reason(clinic, study) == code
    assert clinic.index.study(study.uid) is None


def test_two_open_orders_with_one_accession_number_are_no_order(
    clinic: Clinic, house: House, single_series: list[Dataset], tmp_path: Path
) -> None:
    study = clinic.study(single_series[:1])
    order = clinic.read(study.reference)
    clinic.create({name: value for name, value in order.items() if name not in ("id", "meta")})
    _send(clinic, house.ours, study, _as_it_is, tmp_path)
    assert _reason(clinic, study) == "several-orders"


def test_of_two_patients_with_one_number_each_issuer_means_its_own(
    clinic: Clinic, house: House, single_series: list[Dataset], tmp_path: Path
) -> None:
    ours, theirs = clinic.study(single_series[:1]), clinic.study(single_series[:1])
    patient = clinic.read(f"Patient/{ours.patient_id}")
    number = patient["identifier"][0]["value"]
    assert patient["identifier"][0]["system"] == MRN
    twin = clinic.create(
        {name: value for name, value in patient.items() if name not in ("id", "meta", "identifier")}
        | {"identifier": [{"system": house.system, "value": number}]}
    )

    def of_the_other_house(dataset: Dataset) -> None:
        dataset.PatientID, dataset.AccessionNumber = number, ""
        dataset.PatientName = f"Demo^Patient{number}"
        dataset.IssuerOfPatientID = house.issuer

    _send(clinic, house.ours, ours, _as_it_is, tmp_path)
    _send(clinic, house.ours, theirs, of_the_other_house, tmp_path)
    for study, patient_id in ((ours, ours.patient_id), (theirs, twin["id"])):
        row = wait_for(lambda study=study: clinic.index.study(study.uid), "the study to be taken in", 60)
        assert row.patient_ref == f"Patient/{patient_id}"


def _send(clinic: Clinic, title: str, study: Study, change: Change, folder: Path) -> None:
    dataset = dcmread(io.BytesIO(study.files[0]))
    change(dataset)
    path = folder / f"{study.uid}.dcm"
    path.write_bytes(file_of(dataset))
    assert clinic.c_store(title, [path]) == 0


def _reason(clinic: Clinic, study: Study) -> str:
    (coding,) = clinic.wait_quarantined(study.uid)["statusReason"]["coding"]
    return str(coding["code"])
