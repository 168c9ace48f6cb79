"""The identity rules by the way that images take: from a modality, past HAPI's own search, to one patient."""

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import Dataset, dcmread

from imaging.metadata import read_tags
from tests.flows.files import file_of
from tests.flows.pipeline import MRN, Clinic, Study
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


def test_an_imagingstudy_says_what_the_files_say_korean_names_included(
    clinic: Clinic, house: House, single_series: list[Dataset], tmp_path: Path
) -> None:
    study = clinic.study(single_series[:2])
    patient = clinic.read(f"Patient/{study.patient_id}")
    patient["name"].append({"family": "시험", "given": ["환자"]})
    clinic.update(patient)
    paths = []
    for number, data in enumerate(study.files):
        dataset = dcmread(io.BytesIO(data))
        dataset.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
        dataset.PatientName = f"{dataset.PatientName}==시험^환자"
        dataset.ReferringPhysicianName = "Kim^Cheolsu"
        dataset.BodyPartExamined, dataset.Laterality = "BRAIN", "L"
        dataset.StudyDate, dataset.StudyTime = "20260105", "093000"
        dataset.TimezoneOffsetFromUTC = "+0900"
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(file_of(dataset))
    assert clinic.c_store(house.ours, paths) == 0
    clinic.wait_available(study)
    (found,) = clinic.imaging_studies(study)
    assert found["started"] == "2026-01-05T09:30:00+09:00"
    assert found["referrer"] == {"display": "Kim Cheolsu"}
    assert found["basedOn"] == [{"reference": study.reference}]
    accession = next(one for one in found["identifier"] if one["system"] == "urn:neuronova:accession")
    assert accession["value"] == patient["identifier"][0]["value"]
    endpoint = clinic.read(found["endpoint"][0]["reference"])
    assert endpoint["connectionType"]["code"] == "dicom-wado-rs"
    assert (found["numberOfSeries"], found["numberOfInstances"]) == (1, 2)
    (series,) = found["series"]
    assert (series["modality"]["code"], series["numberOfInstances"]) == ("MR", 2)
    assert (series["bodySite"]["code"], series["laterality"]["code"]) == ("12738006", "7771000")
    rows = clinic.index.instances(study.uid)
    assert {one["uid"] for one in series["instance"]} == {row.sop_uid for row in rows}
    assert {one["sopClass"]["code"] for one in series["instance"]} == {f"urn:oid:{rows[0].sop_class}"}
    tags = read_tags(clinic.stack.var / "dicom", study.uid, rows[0].series_uid, rows[0].sop_uid)
    assert tags["00100010"]["Value"][0]["Phonetic"] == "시험^환자"


def _send(clinic: Clinic, title: str, study: Study, change: Change, folder: Path) -> None:
    dataset = dcmread(io.BytesIO(study.files[0]))
    change(dataset)
    path = folder / f"{study.uid}.dcm"
    path.write_bytes(file_of(dataset))
    assert clinic.c_store(title, [path]) == 0


def _reason(clinic: Clinic, study: Study) -> str:
    (coding,) = clinic.wait_quarantined(study.uid)["statusReason"]["coding"]
    return str(coding["code"])
