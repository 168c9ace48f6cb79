"""Steps of the other roads in: real DICOM files by C-STORE, and a PatientID that nobody knows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from demo import records
from demo.main_job import STUDY_AVAILABLE_S, find_study, find_task
from demo.people import AE_TITLE
from demo.run import Run, StepFailedError, require, wait_for

CALLED_AE_TITLE = "NEURONOVA"


def _copy(run: Run, name: str, patient_id: str) -> tuple[pydicom.Dataset, Path]:
    """A file that pydicom ships, under UIDs of this run (so that a repeated demo is a new study)."""
    path = get_testdata_file(name)
    require(path is not None, f"pydicom does not ship {name}")
    dataset = pydicom.dcmread(str(path))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (
        generate_uid(prefix=None) for _ in range(3)
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = patient_id
    dataset.AccessionNumber = ""
    folder = run.var / "demo" / f"run-{run.facts['serial']:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(file)
    return dataset, file


def _send(run: Run, *files: Path) -> None:
    """C-STORE by dcmtk's storescu as the registered modality."""
    port = run.live["dicom_port"]
    command = [
        "storescu",
        "-aet",
        AE_TITLE,
        "-aec",
        CALLED_AE_TITLE,
        "127.0.0.1",
        str(port),
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise StepFailedError(f"storescu: {(done.stderr or done.stdout)[-300:]}")


def _available(run: Run, study_uid: str) -> dict[str, Any]:
    return wait_for("study available", lambda: find_study(run, study_uid, "available"), STUDY_AVAILABLE_S)


def _without_ai(run: Run, study: str) -> dict[str, Any]:
    return wait_for("the reason why no AI ran", lambda: find_task(run, study, "rejected"), 60)


def send(run: Run) -> str:
    """A modality sends pydicom's MR and CT, each of a patient of its own, and a file of nobody."""
    admin, run.live["sent"] = run.as_("admin"), []
    run.live["of nobody"], file = _copy(run, "CT_small.dcm", f"NOBODY-{run.facts['serial']:03d}")
    files = [file]
    for name in ("MR_small.dcm", "CT_small.dcm"):
        mrn = f"DEMO-{run.facts['serial']:03d}-{name[:2]}"
        dataset, file = _copy(run, name, mrn)
        family, _, given = str(dataset.PatientName).partition("^")
        patient = admin.create(records.patient(mrn, family, given or "Demo"))
        run.live["sent"].append((name[:2], str(dataset.StudyInstanceUID), patient["id"]))
        files.append(file)
    _send(run, *files)
    return f"{len(files)} studies accepted from {AE_TITLE}, one of them of an unknown patient"


def real_files(run: Run) -> str:
    """What came by C-STORE is available; no bundle accepts it, and that is on record."""
    outcome = []
    for modality, study_uid, patient_id in run.live["sent"]:
        study = _available(run, study_uid)
        require(study["subject"]["reference"] == f"Patient/{patient_id}", "wrong subject")
        task = _without_ai(run, f"ImagingStudy/{study['id']}")
        outcome.append(f"{modality} available, no AI: {task['statusReason']['text']}")
    return "; ".join(outcome)


def unknown_patient(run: Run) -> str:
    """A PatientID that nobody knows ends in quarantine: an administrator's Task, and 404 for everyone."""
    dataset = run.live["of nobody"]
    uid = str(dataset.StudyInstanceUID)

    def quarantined() -> dict[str, Any] | None:
        found = run.as_("admin").read("Task?code=urn:neuronova:task|quarantine&_sort=-_lastUpdated&_count=50")
        for entry in found.get("entry", []):
            if uid in str(entry["resource"]):
                return dict(entry["resource"])
        return None

    task = wait_for("quarantine Task", quarantined, 60)
    require(str(dataset.PatientName).split("^")[0] not in str(task), "the Task carries the patient's name")
    require(find_study(run, uid, None) is None, "an ImagingStudy was made")
    answer = run.as_("doctor").request(
        "GET", f"/dicom-web/studies/{uid}/metadata", headers={"Accept": "application/dicom+json"}
    )
    require(answer.status_code == 404, f"DICOMweb answered {answer.status_code}")
    return f"Task/{task['id']}: {task['statusReason']['text']}; DICOMweb 404"
