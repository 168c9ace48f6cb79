"""An operator corrects whose images these are, with everything that was made of them already."""

import io
import json
from contextlib import suppress

import pytest
from pydicom import Dataset, dcmread

from facade.audit.spool import decode
from imaging.corrections import Corrections
from imaging.errors import CorrectionBusyError
from tests.flows.command import assign, command, killed_until_done, merge, refused
from tests.flows.files import file_of
from tests.flows.pipeline import Clinic, Study
from tests.flows.queues import Queues
from tests.servers.stack import wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(300, func_only=True)]


def test_a_study_with_results_goes_to_another_patient_wherever_the_command_is_killed(
    clinic: Clinic, queues: Queues, brain: list[Dataset]
) -> None:
    study = clinic.study(brain)
    other, _, _ = clinic.order()
    clinic.send(study.files)
    first = clinic.wait_task(study, "completed")
    (old_seg,) = clinic.segmentations(study)
    before = clinic.imaging_studies(study)
    refused(clinic, "already", *assign(study, study.patient_id))
    refused(clinic, "no such Patient", *assign(study, "nobody"))
    refused(clinic, "no study", "study", "assign", "1.2.3.4", f"Patient/{other}", "--reason", "x")
    assert clinic.imaging_studies(study) == before
    launch = json.dumps({"patient": study.patient_id})
    queues.redis.set("smart_auth:launch:a-test", launch, ex=600)

    assert killed_until_done(clinic, *assign(study, other)) > 1
    assert queues.redis.get("smart_auth:launch:a-test") is None
    refused(clinic, "already", *assign(study, other))

    old_reports = clinic.reports(study)
    assert [report["status"] for report in old_reports] == ["entered-in-error"]
    observations = clinic.search("Observation", subject=f"Patient/{study.patient_id}")
    assert [one["status"] for one in observations] == ["entered-in-error"] * 3
    assert clinic.read(f"Task/{first['id']}")["status"] == "entered-in-error"
    assert {row.series_uid: row.state for row in clinic.index.series(study.uid) if row.own}[
        old_seg.series_uid
    ] == "withdrawn"

    second = clinic.wait_task(study, "completed")
    assert second["for"] == {"reference": f"Patient/{other}"}
    moved = Study(study.uid, study.files, study.order_id, other)
    number = clinic.read(f"Patient/{other}")["identifier"][0]["value"]
    (new_seg,) = [row for row in clinic.segmentations(study) if row.sop_uid != old_seg.sop_uid]
    header = dcmread(io.BytesIO(clinic.stored(new_seg.orthanc_id) or b""), stop_before_pixels=True)
    assert header.PatientID == number, "what the product draws names the patient of the record"
    (resource,) = clinic.imaging_studies(moved)
    assert resource["subject"] == {"reference": f"Patient/{other}"}
    assert resource["status"] == "available"
    assert "basedOn" not in resource, "the order is another patient's"
    assert [report["status"] for report in clinic.reports(moved)] == ["preliminary"]
    assert len(clinic.search("Observation", subject=f"Patient/{other}")) == 3
    shown = [row.series_uid for row in clinic.index.series(study.uid) if row.own and row.state == "shown"]
    assert len(shown) == 1
    corrections = [
        one
        for one in clinic.search("Provenance", target=f"ImagingStudy/{resource['id']}")
        if one["activity"]["coding"][0]["code"] == "study-assigned"
    ]
    assert len(corrections) == 1
    told = {target["reference"].partition("/_history")[0] for target in corrections[0]["target"]}
    assert f"DiagnosticReport/{old_reports[0]['id']}" in told
    assert corrections[0]["reason"] == [{"text": "the ward called"}]
    for patient_id in (study.patient_id, other):
        wait_for(
            lambda patient_id=patient_id: (
                {"intent", "outcome"} <= recorded(clinic, "study-assign", patient_id)
            ),
            "the trail of the correction",
        )


def test_two_records_become_one_with_studies_and_orders_wherever_the_command_is_killed(
    clinic: Clinic, queues: Queues, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series[:1])
    kept, _, number = clinic.order()
    old = study.patient_id
    clinic.send(study.files)
    first = clinic.wait_task(study, "rejected")
    wait_for(lambda: clinic.orders_in_openemr(study) == 1, "the order to be in OpenEMR")
    refused(clinic, "one and the same", *merge(old, old))
    refused(clinic, "no such Patient", *merge(old, "nobody"))
    refused(clinic, "no such Patient", *merge("nobody", kept))
    launches = [f"smart_auth:launch:{patient}" for patient in (old, kept)]
    for name, patient in zip(launches, (old, kept), strict=True):
        queues.redis.set(name, json.dumps({"patient": patient}), ex=600)

    assert killed_until_done(clinic, *merge(old, kept)) > 1
    assert queues.redis.exists(*launches) == 0
    refused(clinic, "already", *merge(old, kept))
    refused(clinic, "merged", *merge(kept, old))

    given_up, stays = clinic.read(f"Patient/{old}"), clinic.read(f"Patient/{kept}")
    assert given_up["active"] is False
    assert given_up["link"] == [{"other": {"reference": f"Patient/{kept}"}, "type": "replaced-by"}]
    assert stays["active"] is True
    assert stays["link"] == [{"other": {"reference": f"Patient/{old}"}, "type": "replaces"}]
    assert clinic.read(study.reference)["status"] == "entered-in-error"
    (order,) = [
        one for one in clinic.search("ServiceRequest", subject=f"Patient/{kept}") if "replaces" in one
    ]
    assert order["status"] == "active"
    assert order["replaces"] == [{"reference": study.reference}]

    moved = Study(study.uid, study.files, order["id"], kept)
    task = clinic.wait_task(moved, "rejected")
    assert task["for"] == {"reference": f"Patient/{kept}"}
    clinic.assert_images_whole(moved)
    assert clinic.read(f"Task/{first['id']}")["status"] == "entered-in-error"
    wait_for(lambda: clinic.orders_of(number) == 2, "the order under the record that stays")
    old_number = given_up["identifier"][0]["value"]
    wait_for(
        lambda: clinic.orders_of(old_number, active_only=True) == 0,
        "the order of the old record to be closed",
    )

    late = dcmread(io.BytesIO(study.files[0]))
    late.StudyInstanceUID, late.SeriesInstanceUID = f"{study.uid}.1", f"{study.uid}.2"
    late.SOPInstanceUID = late.file_meta.MediaStorageSOPInstanceUID = f"{study.uid}.3"
    clinic.send([file_of(late)])
    quarantined = clinic.wait_quarantined(late.StudyInstanceUID)
    assert quarantined["statusReason"]["coding"][0]["code"] == "merged-patient"


def test_nobody_registers_or_publishes_a_study_that_is_being_corrected(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    fresh, known, other = (clinic.study(single_series[:1]) for _ in range(3))
    clinic.send(known.files)
    task = clinic.wait_task(known, "rejected")
    before = clinic.imaging_studies(known)
    journal = Corrections(clinic.index, clinic.stack.var / "dicom")
    begun = journal.begin(
        "assign",
        "Patient/a",
        "Patient/b",
        reason="r",
        operator="o",
        at=1.0,
        study_uids=[fresh.uid, known.uid],
    )
    seen = len(clinic.stack.log("worker-inference"))
    del task["statusReason"]
    clinic.update(task | {"status": "requested"})
    wait_for(lambda: "run_inference" in put_off(clinic, seen), "the task to be put off")
    assert clinic.read(f"Task/{task['id']}")["status"] == "requested"
    clinic.index.set_study(known.uid, state="registered")
    clinic.send(fresh.files)
    wait_for(lambda: clinic.outcomes(fresh) == ["done"], "the study to be taken in", 60)
    # What came later is through: ingest has looked at the others too.
    clinic.send(other.files)
    clinic.wait_available(other)
    assert clinic.imaging_studies(fresh) == []
    assert clinic.imaging_studies(known) == before
    row = clinic.index.study(known.uid)
    assert row is not None
    assert row.state == "registered"
    notes = {
        one["study"]: one["note"] for one in json.loads(command(clinic, "study", "list", "--json").stdout)
    }
    assert "run the same command again" in notes[known.uid]
    assert notes[other.uid] == ""
    journal.finish(begun)
    for study in (fresh, known):
        clinic.wait_available(study)
        wait_for(lambda study=study: is_published(clinic, study), "the study to be published", 60)
    assert clinic.wait_task(known, "rejected")["id"] == task["id"]


def put_off(clinic: Clinic, seen: int) -> set[str]:
    """Jobs of the inference worker that met a correction and run again later; `seen`: log of before."""
    lines = map(json.loads, clinic.stack.log("worker-inference")[seen:].splitlines())
    return {line["job"] for line in lines if line.get("error_code") == CorrectionBusyError.code}


def is_published(clinic: Clinic, study: Study) -> bool:
    row = clinic.index.study(study.uid)
    return row is not None and row.state == "available"


def test_a_signed_report_stands_in_the_way_until_it_is_withdrawn(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series[:1])
    other, _, _ = clinic.order()
    clinic.send(study.files)
    clinic.wait_task(study, "rejected")
    (before,) = clinic.imaging_studies(study)
    report = clinic.create(
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "MR brain"},
            "subject": {"reference": f"Patient/{study.patient_id}"},
            "imagingStudy": [{"reference": f"ImagingStudy/{before['id']}"}],
        }
    )
    for arguments in (assign(study, other), merge(study.patient_id, other)):
        refused(clinic, f"DiagnosticReport/{report['id']}", *arguments)
    assert clinic.imaging_studies(study) == [before]
    assert clinic.read(f"Patient/{study.patient_id}")["active"] is True
    row = clinic.index.study(study.uid)
    assert row is not None
    assert (row.patient_ref, row.state) == (f"Patient/{study.patient_id}", "available")
    asked = clinic.search("Task", focus=f"DiagnosticReport/{report['id']}")
    assert {task["status"] for task in asked} == {"requested"}

    clinic.update(report | {"status": "entered-in-error"})
    done = command(clinic, *assign(study, other))
    assert done.returncode == 0, done.stderr
    wait_for(lambda: clinic.is_available(study), "the study to be published again")
    (after,) = clinic.imaging_studies(study)
    assert after["subject"] == {"reference": f"Patient/{other}"}
    asked = clinic.search("Task", focus=f"DiagnosticReport/{report['id']}")
    assert {task["status"] for task in asked} == {"completed"}


def recorded(clinic: Clinic, kind: str, patient_id: str) -> set[str]:
    """Phases of a command that are in the trail for a patient, shipped or not."""
    lines: list[bytes] = []
    for path in (clinic.stack.var / "spool").glob("*.spool"):
        with suppress(FileNotFoundError):  # it was shipped meanwhile, and is found in the store
            lines += path.read_bytes().splitlines()
    spooled = [record["event"] for record in map(decode, lines) if record is not None]
    shipped = clinic.search("AuditEvent", patient=f"Patient/{patient_id}", _count="200")
    text = [json.dumps(event) for event in [*spooled, *shipped]]
    mine = [one for one in text if kind in one and f"Patient/{patient_id}" in one]
    return {phase for phase in ("intent", "outcome") for one in mine if phase in one}
