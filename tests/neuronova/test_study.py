"""A study goes into quarantine and is released by an operator, on the real servers and the real ingest."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from facade.hapi import HAPIClient
from imaging.frames import EXPLICIT_LE, HTJ2K_LOSSLESS_RPCL
from tests.neuronova.command import neuronova
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def arriving(servers: Stack) -> Iterator[Stack]:
    """What a study needs to be taken in, and no worker that converts it."""
    stack = servers.need("redis", "hapi", "orthanc", "ingest", "audit-shipper")
    is_running = stack.supervisor.states()["worker-imaging"].has_process
    if is_running:
        stack.stop("worker-imaging")
    yield stack
    if is_running:
        stack.start("worker-imaging")


def listed(stack: Stack, study_uid: str) -> dict[str, Any] | None:
    done = neuronova(stack.var, "study", "list", "--json")
    assert done.exit_code == 0, done.stderr
    found = [row for row in json.loads(done.stdout) if row["study"] == study_uid]
    return found[0] if found else None


def send(stack: Stack) -> str:
    """An MR image of nobody that the hospital knows; returns its StudyInstanceUID."""
    dataset = pydicom.dcmread(str(get_testdata_file("MR_small.dcm")))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientID = f"X{uuid.uuid4().hex[:8]}"
    file = io.BytesIO()
    dataset.save_as(file)
    answer = httpx.post(
        f"{stack.orthanc_url}/instances",
        content=file.getvalue(),
        auth=stack.orthanc_login,
        headers={"Content-Type": "application/dicom"},
        timeout=60,
    )
    answer.raise_for_status()
    return str(dataset.StudyInstanceUID)


def _imaging_study(stack: Stack, study_uid: str) -> dict[str, Any] | None:
    answer = httpx.get(
        f"{stack.hapi_url}/ImagingStudy",
        params={"identifier": f"urn:dicom:uid|urn:oid:{study_uid}", "_offset": "0"},
        headers={"X-NeuroNova-Secret": stack.secrets["hapi-facade"]},
        timeout=60,
    )
    entries = answer.raise_for_status().json().get("entry", [])
    found: dict[str, Any] | None = entries[0]["resource"] if entries else None
    return found


async def test_a_study_of_an_unknown_patient_is_released_with_a_reason(arriving: Stack) -> None:
    study_uid = send(arriving)
    quarantined = wait_for(lambda: listed(arriving, study_uid), "the study to be set aside", timeout_s=90)
    assert quarantined["state"] == "quarantine"
    async with HAPIClient(arriving.hapi_url, arriving.secrets["hapi-facade"], timeout_s=60) as facade:
        patient = await facade.create(
            {"resourceType": "Patient", "active": True, "name": [{"family": "Demo", "given": ["Two"]}]}
        )
        inactive = await facade.create({"resourceType": "Patient", "active": False})
        assigned = (study_uid, f"Patient/{patient['id']}", "--reason", "the ward called")
        for arguments, said in (
            (("1.2.3.4", f"Patient/{patient['id']}", "--reason", "x"), "no study"),
            ((study_uid, "Patient/nobody", "--reason", "x"), "no such Patient"),
            ((study_uid, f"Patient/{inactive['id']}", "--reason", "x"), "not active"),
            ((study_uid, f"Patient/{patient['id']}", "--reason", " "), "reason"),
        ):
            refused = neuronova(arriving.var, "study", "assign", *arguments)
            assert refused.exit_code == 1
            assert said in refused.stderr
        done = neuronova(arriving.var, "study", "assign", *assigned)
        assert done.exit_code == 0, done.stderr
        taken = listed(arriving, study_uid)
        assert taken is not None
        assert (taken["patient"], taken["instances"]) == (f"Patient/{patient['id']}", 1)
        registered = wait_for(lambda: _imaging_study(arriving, study_uid), "ingest to register it", 90)
        assert registered["subject"]["reference"] == f"Patient/{patient['id']}"
        again = neuronova(arriving.var, "study", "assign", *assigned)
        assert again.exit_code == 1
        assert "already" in again.stderr
    check_there_and_back(arriving, study_uid)


def check_there_and_back(stack: Stack, study_uid: str) -> None:
    """Converted, compared, restored and converted again; no worker runs here."""

    def stored() -> str:
        verified = neuronova(stack.var, "study", "verify", study_uid, "--json")
        assert verified.exit_code == 0, verified.stdout
        assert verified.stderr == "1 instances are as they were received, 0 are not\n"
        (row,) = json.loads(verified.stdout)
        assert row["result"] == "as received"
        return str(row["stored"])

    assert stored() == EXPLICIT_LE
    for reason, study, said in ((" ", study_uid, "reason"), ("a test", "1.2.3.4", "no such study")):
        refused = neuronova(stack.var, "study", "restore", study, "--reason", reason)
        assert (refused.exit_code, said in refused.stderr) == (1, True)
    for command, syntax in (
        ("transcode", HTJ2K_LOSSLESS_RPCL),
        ("restore", EXPLICIT_LE),
        ("transcode", HTJ2K_LOSSLESS_RPCL),
    ):
        done = neuronova(stack.var, "study", command, study_uid, "--reason", "a test")
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith(("1 converted", "1 with their original bytes, 0 as Explicit"))
        assert stored() == syntax
