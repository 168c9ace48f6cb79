"""Images that cannot be matched, or that no bundle accepts: the reason is on record, nothing is half done."""

import dataclasses
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from deploy.settings import ROOT
from subscriptions.bundles import load
from subscriptions.clients import open_base
from subscriptions.pacs import open_pacs
from subscriptions.propose import propose_inference
from tests.flows.files import file_of
from tests.flows.pipeline import Clinic, Study
from tests.flows.settings import clinic_settings, imaging_settings
from tests.servers.stack import wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(300, func_only=True)]


def _changed(study: Study, change: Callable[[Dataset], None]) -> list[bytes]:
    files = []
    for data in study.files:
        dataset = dcmread(io.BytesIO(data))
        change(dataset)
        files.append(file_of(dataset))
    return files


def _unknown(dataset: Dataset) -> None:
    dataset.PatientID = "NOBODY"


def _born_later(dataset: Dataset) -> None:
    dataset.PatientBirthDate = "19990909"


def _other_name(dataset: Dataset) -> None:
    dataset.PatientName = "시험^환자=^^=Someone^Else"


@pytest.mark.parametrize(
    ("change", "code"),
    [(_unknown, "unknown-patient"), (_born_later, "birth-date"), (_other_name, "name")],
)
def test_a_study_of_an_unknown_or_contradicting_patient_is_quarantined(
    clinic: Clinic, single_series: list[Dataset], change: Callable[[Dataset], None], code: str
) -> None:
    study = clinic.study(single_series[:3])
    files = _changed(study, change)
    clinic.send(files)
    task = clinic.wait_quarantined(study.uid)
    assert task["status"] == "requested"
    assert [coding["code"] for coding in task["statusReason"]["coding"]] == [code]
    assert "시험" not in str(task)
    assert "Demo" not in str(task)
    listed = [part["valueString"].split() for part in task["input"] if part["type"]["text"] == "instance"]
    assert len(listed) == len(files)
    assert all(digest.startswith("px-") for _, digest, _ in listed)
    assert clinic.imaging_studies(study) == []
    assert clinic.index.study(study.uid) is None


def test_an_accession_of_another_patient_means_quarantine(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series[:2])
    _, _, others = clinic.order()

    def with_others_accession(dataset: Dataset) -> None:
        dataset.AccessionNumber = others

    clinic.send(_changed(study, with_others_accession))
    task = clinic.wait_quarantined(study.uid)
    assert task["statusReason"]["coding"][0]["code"] == "other-patients-order"
    assert clinic.imaging_studies(study) == []


def test_a_study_known_under_another_patient_is_quarantined(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series[:2])
    clinic.send(study.files)
    clinic.wait_available(study)
    _, _, number = clinic.order()

    def of_another(dataset: Dataset) -> None:
        dataset.PatientID = dataset.AccessionNumber = number
        dataset.PatientName = f"Demo^Patient{number}"

    clinic.send(_changed(study, of_another))
    task = clinic.wait_quarantined(study.uid)
    assert task["statusReason"]["coding"][0]["code"] == "uid-conflict"
    (resource,) = clinic.imaging_studies(study)
    assert resource["subject"] == {"reference": f"Patient/{study.patient_id}"}
    assert resource["numberOfInstances"] == 2


def test_a_study_whose_patient_is_deleted_meanwhile_holds_up_no_other(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    refused, other = clinic.study(single_series[:1]), clinic.study(single_series[:1])
    clinic.send(refused.files)
    wait_for(lambda: clinic.index.study(refused.uid), "the study to be taken in")
    clinic.delete(refused.reference)
    clinic.delete(f"Patient/{refused.patient_id}")
    wait_for(lambda: "a study cannot be registered" in clinic.stack.log("ingest"), "it to be refused")
    clinic.send(other.files)
    clinic.wait_available(other)
    clinic.assert_images_whole(other)
    assert clinic.imaging_studies(refused) == []


def test_three_of_four_series_are_available_and_rejected_with_the_reason(
    clinic: Clinic, brain: list[Dataset]
) -> None:
    by_series = _series(brain)
    study = clinic.study([dataset for uid in list(by_series)[:3] for dataset in by_series[uid][:3]])
    clinic.send(study.files)
    task = clinic.wait_task(study, "rejected")
    assert task["statusReason"]["coding"][0]["code"] == "series-selection"
    assert task["statusReason"]["text"].startswith("missing ")
    assert clinic.reports(study) == []
    clinic.assert_images_whole(study)


def test_two_series_of_the_same_kind_are_rejected_and_a_late_one_is_proposed_again(
    clinic: Clinic, brain: list[Dataset]
) -> None:
    by_series = _series(brain)
    some = [dataset for datasets in by_series.values() for dataset in datasets[:3]]
    last = list(by_series)[-1]
    study = clinic.study([*some, *(_twin(dataset) for dataset in by_series[last][:3])])
    # Without the last kind at first, then both of it: a late series re-opens the study.
    early = [data for data in study.files if dcmread(io.BytesIO(data)).SeriesNumber < 4]
    clinic.send(early)
    first = clinic.wait_task(study, "rejected")
    assert first["statusReason"]["text"].startswith("missing ")
    clinic.send([data for data in study.files if data not in early])
    wait_for(lambda: len(clinic.tasks(study)) == 2, "the grown study to be proposed again", 60)
    second = next(task for task in clinic.tasks(study) if task["id"] != first["id"])
    assert second["status"] == "rejected"
    assert second["statusReason"]["text"].startswith("two series match ")
    clinic.assert_images_whole(study)


def _twin(dataset: Dataset) -> Dataset:
    """The same slice in a further series."""
    twin = dcmread(io.BytesIO(file_of(dataset)))
    twin.SeriesInstanceUID += ".1"
    twin.SOPInstanceUID += ".1"
    twin.SeriesNumber = 9
    return twin


def _series(datasets: Sequence[Dataset]) -> dict[str, list[Dataset]]:
    found: dict[str, list[Dataset]] = {}
    for dataset in datasets:
        found.setdefault(str(dataset.SeriesInstanceUID), []).append(dataset)
    return found


async def test_a_bundle_with_a_wrong_contract_rejects_the_study_with_the_reason(
    clinic: Clinic, single_series: list[Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = clinic.study(single_series[:2])
    clinic.send(study.files)
    clinic.wait_task(study, "rejected")
    bundle = tmp_path / "brain_tumour_demo"
    shutil.copytree(ROOT / "inference" / "bundles" / "brain_tumour_demo", bundle)
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    metadata["neuronova"]["weights_sha256"] = "0" * 64
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # put back afterwards: loading sets it for good
    bundles = load(tmp_path, ("brain_tumour_demo",), "float32", threads=1)
    assert bundles.loaded == {}

    variables = clinic.stack.variables("worker-inference")
    async with (
        open_base(clinic_settings(variables), "worker-inference", lambda: None) as base,
        open_pacs(imaging_settings(variables)) as pacs,
    ):
        clients = dataclasses.replace(base, pacs=pacs, bundles=bundles)
        (resource,) = clinic.imaging_studies(study)
        for _ in range(2):
            await propose_inference(resource["id"], clients)
    (task,) = [t for t in clinic.tasks(study) if t["statusReason"]["coding"][0]["code"] == "bundle-contract"]
    assert task["status"] == "rejected"
    assert "SHA-256" in task["statusReason"]["text"]
