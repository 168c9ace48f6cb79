"""What the flows of the pipeline share: a clinic in HAPI, small studies, and the question whether a study is
whole.
"""

import asyncio
import io
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pymysql
from pydicom import Dataset, dcmread
from sqlalchemy.engine import make_url

from deploy.credentials import key_path
from facade.audit.verify import VerifyReport, verify
from facade.hapi import HAPIClient
from imaging.index import Index, InstanceRow, UploadRow
from imaging.inspection import Inspection
from imaging.read import inspect
from tests.flows.files import file_of
from tests.servers.stack import Stack, wait_for
from tests.servers.standing import standing_still

PROGRAMS = (
    "redis",
    "hapi",
    "orthanc",
    "mariadb",
    "receiver",
    "ingest",
    "worker-imaging",
    "worker-inference",
    "worker-openemr",
    "worker-notify",
    "scheduler",
)
MRN, ACCESSION = "urn:neuronova:mrn", "urn:neuronova:accession"
HOSPITAL = f"urn:neuronova:patient-identifier-system|{MRN}"
"""Identifier of the Organization whose patients have our own numbers."""
Resource = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A study as it is sent, and the order that it belongs to."""

    uid: str
    files: tuple[bytes, ...]
    order_id: str
    patient_id: str

    @property
    def reference(self) -> str:
        return f"ServiceRequest/{self.order_id}"


class Clinic:
    """The pipeline's processes, seen from outside: what is sent in, and what comes out."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.index = Index(stack.var / "dicom")
        self._hapi = httpx.Client(
            base_url=stack.hapi_url,
            headers={
                "X-NeuroNova-Secret": stack.secrets["hapi-facade"],
                "Content-Type": "application/fhir+json",
            },
            timeout=30,
        )
        self._orthanc = httpx.Client(base_url=stack.orthanc_url, auth=stack.orthanc_login, timeout=30)

    def close(self) -> None:
        self._hapi.close()
        self._orthanc.close()
        self.index.close()

    # HAPI

    def create(self, resource: Resource) -> Resource:
        answer = self._hapi.post(f"/{resource['resourceType']}", json=resource)
        answer.raise_for_status()
        return dict(answer.json())

    def read(self, reference: str) -> Resource:
        return dict(self._hapi.get(f"/{reference}").raise_for_status().json())

    def update(self, resource: Resource) -> Resource:
        answer = self._hapi.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
        return dict(answer.raise_for_status().json())

    def delete(self, reference: str) -> None:
        self._hapi.delete(f"/{reference}").raise_for_status()

    def search(self, type_: str, **params: str) -> list[Resource]:
        answer = self._hapi.get(
            f"/{type_}", params={"_offset": "0", "_count": "50", "_sort": "_id", **params}
        )
        answer.raise_for_status()
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def imaging_studies(self, study: Study) -> list[Resource]:
        return self.search("ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{study.uid}")

    def tasks(self, study: Study) -> list[Resource]:
        found = self.imaging_studies(study)
        return self.search("Task", focus=f"ImagingStudy/{found[0]['id']}") if found else []

    def reports(self, study: Study) -> list[Resource]:
        return self.search("DiagnosticReport", subject=f"Patient/{study.patient_id}")

    # A study

    def order(self) -> tuple[str, str, str]:
        """A new patient with a new order: ids of both, and the number that is MRN and accession."""
        number = uuid.uuid4().hex[:12].upper()
        patient = self.create(
            {
                "resourceType": "Patient",
                "active": True,
                "identifier": [{"system": MRN, "value": number}],
                "name": [{"family": "Demo", "given": [f"Patient{number}"]}],
                "birthDate": "1980-01-01",
                "gender": "female",
            }
        )
        order = self.create(
            {
                "resourceType": "ServiceRequest",
                "status": "active",
                "intent": "order",
                "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}],
                "code": {"text": "MR brain"},
                "subject": {"reference": f"Patient/{patient['id']}"},
                "authoredOn": "2026-01-05T09:00:00Z",
                "identifier": [
                    {
                        "type": {
                            "coding": [
                                {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}
                            ]
                        },
                        "system": ACCESSION,
                        "value": number,
                    }
                ],
            }
        )
        return str(patient["id"]), str(order["id"]), number

    def study(self, template: Sequence[Dataset]) -> Study:
        """A copy of the template with UIDs of its own, for a new patient with a new order."""
        patient_id, order_id, number = self.order()
        uid = f"2.25.{uuid.uuid4().int}"
        files = []
        for source in template:
            copy = dcmread(io.BytesIO(file_of(source)))
            copy.StudyInstanceUID = uid
            for element in ("SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
                setattr(copy, element, _derived(uid, str(copy.get(element, ""))))
            copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
            copy.PatientID, copy.AccessionNumber = number, number
            copy.PatientName, copy.PatientBirthDate, copy.PatientSex = (
                f"Demo^Patient{number}",
                "19800101",
                "F",
            )
            files.append(file_of(copy))
        return Study(uid, tuple(files), order_id, patient_id)

    def send(self, files: Sequence[bytes]) -> None:
        """Bring files in as the facade does after an upload by staff."""
        inspected = [inspect(data) for data in files]
        self.index.record_uploads([_upload(found) for found in inspected])
        for data in files:
            self._orthanc.post("/instances", content=data).raise_for_status()

    def modality(self, title: str, owner: str | None = None) -> Resource:
        """A Device that may send from this machine, of our own hospital or of another Organization."""
        owner = owner or f"Organization/{self.search('Organization', identifier=HOSPITAL)[0]['id']}"
        return self.create(
            {
                "resourceType": "Device",
                "status": "active",
                "identifier": [{"system": "urn:neuronova:ae-title", "value": title}],
                "owner": {"reference": owner},
                "url": "dicom://127.0.0.1:11112",
            }
        )

    def c_store(self, title: str, files: list[Path]) -> int:
        """Send by C-STORE; 0 if all was accepted."""
        port = str(self.stack.settings.dicom_port)
        command = ["storescu", "-aet", title, "-aec", "NEURONOVA", "127.0.0.1", port, *map(str, files)]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

    # In Orthanc, as its administrator

    def in_orthanc(self, orthanc_id: str, level: str) -> str:
        """Orthanc's path of the study or series of an instance."""
        found = self._orthanc.get(f"/instances/{orthanc_id}/{level}").raise_for_status().json()
        return f"/{ {'patient': 'patients', 'study': 'studies', 'series': 'series'}[level] }/{found['ID']}"

    def delete_in_orthanc(self, path: str) -> None:
        self._orthanc.delete(path).raise_for_status()

    def put_in_orthanc(self, data: bytes) -> None:
        self._orthanc.post("/instances", content=data).raise_for_status()

    # What came out

    def outcomes(self, study: Study) -> list[str]:
        return [row.outcome for row in self.index.instances(study.uid) if not row.own]

    def is_available(self, study: Study) -> bool:
        found = self.imaging_studies(study)
        return bool(found) and found[0]["status"] == "available"

    def wait_available(self, study: Study, timeout_s: float = 90) -> None:
        wait_for(lambda: self.is_available(study), "the study to be available", timeout_s)

    def wait_task(self, study: Study, *statuses: str, timeout_s: float = 120) -> Resource:
        def reached() -> Resource | None:
            return next((task for task in self.tasks(study) if task["status"] in statuses), None)

        found = wait_for(reached, f"a task to be {' or '.join(statuses)}", timeout_s)
        assert found is not None
        return found

    def wait_quarantined(self, about: str) -> Resource:
        """The administrator's Task of what was set aside."""
        identifier = f"urn:neuronova:quarantine|{about}"
        (task,) = wait_for(lambda: self.search("Task", identifier=identifier), "the administrator's task", 60)
        return task

    def stored(self, orthanc_id: str) -> bytes | None:
        answer = self._orthanc.get(f"/instances/{orthanc_id}/file")
        return answer.content if answer.status_code == 200 else None

    def assert_images_whole(self, study: Study) -> None:
        """One ImagingStudy that lists every instance, each in Orthanc with the pixels that were sent."""
        # On a busy machine a study grows once more after it was available.
        wait_for(
            lambda: (
                self.is_available(study)
                and self.imaging_studies(study)[0]["numberOfInstances"] == len(study.files)
            ),
            "the whole study to be available",
            60,
        )
        (resource,) = self.imaging_studies(study)
        assert resource["basedOn"] == [{"reference": study.reference}]
        rows = {row.sop_uid: row for row in self.index.instances(study.uid) if not row.own}
        assert len(rows) == len(study.files)
        for data in study.files:
            sent = inspect(data)
            row = rows[sent.sop_uid]
            assert row.outcome == "done", row.reason
            stored = self.stored(row.orthanc_id)
            assert stored is not None, "an instance is gone"
            found = inspect(stored)
            assert (found.digest, found.transfer_syntax) == (sent.digest, "1.2.840.10008.1.2.4.202")
        replace_dir = self.stack.var / "replace"
        wait_for(lambda: not list(replace_dir.glob("*.dcm")), "no copy to be left in the replace directory")

    def assert_result_whole(self, study: Study) -> None:
        """One finished Task, one report with its three Observations, one SEG in Orthanc."""
        (task,) = self.tasks(study)
        assert task["status"] == "completed"
        (report,) = self.reports(study)
        assert report["status"] == "preliminary"
        observations = self.search("Observation", subject=f"Patient/{study.patient_id}")
        assert len(observations) == len(report["result"]) == 3
        (seg,) = self.segmentations(study)
        assert self.stored(seg.orthanc_id) is not None
        listed = [
            output["valueIdentifier"]["value"] for output in task["output"] if "valueIdentifier" in output
        ]
        assert listed == [f"urn:oid:{seg.series_uid}", f"urn:oid:{seg.sop_uid}"]
        provenance = self.search("Provenance", target=f"DiagnosticReport/{report['id']}")
        assert len(provenance) == 1

    def assert_trail_whole(self, study: Study) -> None:
        """What was done to the study is in the trail, intent and outcome, and the trail is unbroken."""
        self.stack.need("audit-shipper")

        def is_shipped() -> bool:
            events = self.search("AuditEvent", patient=f"Patient/{study.patient_id}", _count="200")
            text = [json.dumps(event) for event in events]
            return all(
                any(step in one and phase in one for one in text)
                for step in ("transcode", "ai-run", "openemr-write")
                for phase in ("intent", "outcome")
            )

        wait_for(is_shipped, "the trail of the study to be shipped", 120)
        report = asyncio.run(self._verify())
        assert report.is_whole, report.first_break

    async def _verify(self) -> VerifyReport:
        url, secret = self.stack.hapi_url, self.stack.secrets["hapi-shipper"]
        async with HAPIClient(url, secret, timeout_s=60) as hapi:
            return await verify(hapi, self.stack.var / "audit", key_path(self.stack.var / "secrets", "audit"))

    def segmentations(self, study: Study) -> list[InstanceRow]:
        return [row for row in self.index.instances(study.uid) if row.own]

    def orders_in_openemr(self, study: Study) -> int:
        """Orders of this study's patient in OpenEMR."""
        return self.orders_of(self._number(study))

    def orders_of(self, number: str, *, active_only: bool = False) -> int:
        """The same for a patient by number."""
        url = make_url(self.stack.openemr_url)
        login: dict[str, Any] = url.translate_connect_args(username="user")
        with pymysql.connect(**login, ssl_disabled=True) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM procedure_order o JOIN patient_data p ON p.pid = o.patient_id"
                " WHERE p.pubpid = %s AND o.activity >= %s",
                (number, int(active_only)),
            )
            row = cursor.fetchone()
        return int(row[0]) if row else 0

    def _number(self, study: Study) -> str:
        return str(dcmread(io.BytesIO(study.files[0]), stop_before_pixels=True).PatientID)

    # Violence

    def children(self, program: str) -> list[int]:
        """Processes that a program has forked."""
        pid = self.stack.pid(program)
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        return [int(child) for child in text.split()]

    def kill_at(self, program: str, moment: Callable[[], object], timeout_s: float = 90) -> None:
        """kill -9 of a program and whatever it forked, at a moment that is looked for all the time."""
        end = time.monotonic() + timeout_s
        while not moment():
            assert time.monotonic() < end, f"the moment to kill {program} did not come"
            time.sleep(0.01)  # the program needs the processor that asking takes
        self.stack.kill(program)

    def stop_at(
        self,
        program: str,
        sign: Callable[[], object],
        moment: Callable[[], object],
        timeout_s: float = 90,
    ) -> bool:
        """kill -9 at a moment that is made sure of while the program's children stand still.

        `sign` is cheap and asked without a pause while they run: only then they are stopped.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if not sign():
                continue
            for pid in self.children(program):
                with standing_still(pid) as stands:
                    if stands and moment():
                        self.stack.kill(program)
                        return True
        return False


def _upload(found: Inspection) -> UploadRow:
    return UploadRow(
        orthanc_id=found.orthanc_id,
        sop_uid=found.sop_uid,
        digest=found.digest,
        file_md5=found.file_md5,
        uploader="Practitioner/demo",
        organization=None,
        staff=True,
        address="127.0.0.1",
        request_id=uuid.uuid4().hex,
        inspection=found.to_json(),
        at=time.time(),
    )


def _derived(study_uid: str, uid: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, study_uid + uid).int}"
