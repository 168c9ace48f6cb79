"""Studies that change after they were complete: they grow, or an administrator changes them in Orthanc."""

import io
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from imaging.corrections import Corrections
from tests.flows.command import assign, command
from tests.flows.files import file_of
from tests.flows.pipeline import Clinic, Study
from tests.servers.stack import wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(300, func_only=True)]


def test_a_late_instance_brings_a_new_result_and_an_ambiguous_late_series_ends_the_draft(
    clinic: Clinic, brain: list[Dataset]
) -> None:
    study = clinic.study(brain)
    slices = {data: dcmread(io.BytesIO(data), stop_before_pixels=True).InstanceNumber for data in study.files}
    early = [data for data, number in slices.items() if number < max(slices.values())]
    assert 0 < len(study.files) - len(early) < len(early)
    clinic.send(early)
    clinic.wait_task(study, "completed")
    (first,) = clinic.reports(study)

    clinic.send([data for data in study.files if data not in early])
    wait_for(lambda: len(finished(clinic, study)) == 2, "the grown study to be analysed again", 120)
    clinic.assert_images_whole(study)
    statuses = {report["id"]: report["status"] for report in clinic.reports(study)}
    assert statuses.pop(first["id"]) == "cancelled"
    (second,) = statuses
    assert statuses == {second: "preliminary"}

    twins = [twin(data) for data in study.files[-3:]]
    clinic.send(twins)
    task = clinic.wait_task(study, "rejected")
    assert "two series match" in task["statusReason"]["text"]
    assert clinic.read(f"DiagnosticReport/{second}")["status"] == "cancelled"
    observations = clinic.search("Observation", subject=f"Patient/{study.patient_id}")
    assert {one["status"] for one in observations} == {"cancelled"}
    assert business(clinic, study) == ["rejected", "rejected"]


def test_a_study_deleted_in_orthanc_is_withdrawn_and_taken_in_again_when_it_comes_again(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series[:2])
    clinic.send(study.files)
    clinic.wait_task(study, "rejected")
    (resource,) = clinic.imaging_studies(study)
    draft, signed = (report(clinic, study, resource, status) for status in ("preliminary", "final"))
    rows = clinic.index.instances(study.uid)
    clinic.delete_in_orthanc(clinic.in_orthanc(rows[0].orthanc_id, "study"))
    # As if ingest had been killed as soon as it had noticed.
    Corrections(clinic.index, clinic.stack.var / "dicom").begin(
        "deletion", f"Patient/{study.patient_id}", "", reason="r", operator="ingest", at=1.0,
        study_uids=[study.uid],
    )  # fmt: skip
    clinic.stack.kill("ingest")

    wait_for(lambda: clinic.index.study(study.uid) is None, "the deletion to be noticed", 60)
    (resource,) = clinic.imaging_studies(study)
    assert resource["status"] == "entered-in-error"
    assert not list((clinic.stack.var / "dicom" / "metadata" / study.uid).rglob("*.json"))
    assert clinic.read(f"DiagnosticReport/{draft['id']}")["status"] == "entered-in-error"
    assert clinic.read(f"DiagnosticReport/{signed['id']}")["status"] == "final"
    (asked,) = clinic.search("Task", focus=f"DiagnosticReport/{signed['id']}")
    assert asked["status"] == "requested"
    found = clinic.search("Provenance", target=f"ImagingStudy/{resource['id']}")
    assert [one["activity"]["coding"][0]["code"] for one in found] == ["study-deleted"]

    clinic.send(study.files)
    clinic.wait_available(study)
    clinic.assert_images_whole(study)
    wait_for(lambda: len(clinic.tasks(study)) == 2, "it to be proposed again", 60)


def test_a_series_deleted_in_orthanc_leaves_the_study(clinic: Clinic, brain: list[Dataset]) -> None:
    by_series = {dataset.SeriesInstanceUID: dataset for dataset in brain}
    study = clinic.study(list(by_series.values())[:2])
    clinic.send(study.files)
    clinic.wait_available(study)
    gone, left = clinic.index.instances(study.uid)
    clinic.delete_in_orthanc(clinic.in_orthanc(gone.orthanc_id, "series"))
    clinic.stack.kill("ingest")
    wait_for(lambda: series(clinic, study) == [left.series_uid], "the series to leave the study", 60)
    clinic.wait_available(study)
    assert clinic.index.instances(study.uid)[0].sop_uid == left.sop_uid


def test_files_that_an_administrator_put_in_the_place_of_others_are_quarantined_and_assigned(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series[:1])
    other, _, number = clinic.order()
    clinic.send(study.files)
    clinic.wait_available(study)
    (row,) = clinic.index.instances(study.uid)
    clinic.delete_in_orthanc(clinic.in_orthanc(row.orthanc_id, "study"))
    changed = dcmread(io.BytesIO(study.files[0]))
    changed.PatientID = number
    clinic.put_in_orthanc(file_of(changed))
    quarantined = clinic.wait_quarantined(study.uid)
    assert [one["code"] for one in quarantined["statusReason"]["coding"]] == ["unknown-issuer"]
    clinic.stack.kill("ingest")
    wait_for(lambda: clinic.index.study(study.uid) is None, "the deletion to be noticed", 60)
    assert clinic.imaging_studies(study)[0]["status"] == "entered-in-error"
    done = command(clinic, *assign(study, other))
    assert done.returncode == 0, done.stderr
    wait_for(lambda: clinic.is_available(study), "the study to be published again", 60)
    assert clinic.imaging_studies(study)[0]["subject"] == {"reference": f"Patient/{other}"}


def finished(clinic: Clinic, study: Study) -> list[dict[str, Any]]:
    return [task for task in clinic.tasks(study) if task["status"] == "completed"]


def business(clinic: Clinic, study: Study) -> list[str]:
    return [task["businessStatus"]["coding"][0]["code"] for task in finished(clinic, study)]


def series(clinic: Clinic, study: Study) -> list[str]:
    return [one["uid"] for one in clinic.imaging_studies(study)[0]["series"]]


def report(clinic: Clinic, study: Study, resource: dict[str, Any], status: str) -> dict[str, Any]:
    return clinic.create(
        {
            "resourceType": "DiagnosticReport",
            "status": status,
            "code": {"text": "MR brain"},
            "subject": {"reference": f"Patient/{study.patient_id}"},
            "imagingStudy": [{"reference": f"ImagingStudy/{resource['id']}"}],
        }
    )


def twin(data: bytes) -> bytes:
    """The same slice in a further series."""
    dataset = dcmread(io.BytesIO(data))
    dataset.SeriesInstanceUID += ".1"
    dataset.SOPInstanceUID += ".1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesNumber = 9
    return file_of(dataset)
