"""QIDO-RS of studies among 10,000, beside Orthanc's own with the same studies in it.

The studies are put where ingest leaves them (HAPI, rows, metadata) and into Orthanc, one small image each,
with everything stopped that would work on them. The first 100 studies belong to 100 patients, each of which
is an audit event of every answer. This part comes last: what it leaves is thrown away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from bench.direct import direct
from bench.fhir import shipping_paused
from bench.frames import uploaded_frame
from bench.installation import Installation
from bench.load import Target, interleaved, load
from bench.rows import Row, stated
from bench.stow import AFTERWARDS, stopped
from demo.records import MRN
from demo.run import require
from deploy.environment import hapi_url
from imaging.index import InstanceRow, SeriesRow, StudyRow
from imaging.metadata import write_metadata
from imaging.read import inspect
from imaging.study import imaging_study

STUDIES, PATIENTS, BUNDLE = 10_000, 1_000, 200
ROUNDS, SECONDS = 3, 3
FIRST_DAY = date(2020, 1, 1)
ROOT = "2.25.9000"
ALSO_STOPPED = ("scheduler", "worker-notify", "worker-openemr")


@dataclass(frozen=True)
class _Made:
    data: bytes
    study: StudyRow
    series: SeriesRow
    instance: InstanceRow
    metadata: dict[str, Any]


def rows(product: Installation) -> Iterator[Row]:
    """The list as the viewer asks for it, one patient, one week."""
    uploaded_frame(product)  # makes the index and the Endpoint
    with stopped(product, *AFTERWARDS, *ALSO_STOPPED):
        _fill(product)
        token = product.run.sign_in_again("doctor").token["access_token"]
        week = f"{FIRST_DAY + timedelta(500):%Y%m%d}-{FIRST_DAY + timedelta(506):%Y%m%d}"
        asked = (
            ("100 of them", "limit=100", 100),
            ("one patient's 10", "PatientID=BENCH-0500", 10),
            ("one week's 70", f"StudyDate={week}&limit=100", 70),
        )
        with direct(product) as direct_url, shipping_paused(product):
            for title, query, count in asked:
                where = f"/dicom-web/studies?{query}"
                targets = {
                    "direct": Target(f"{direct_url}{where}", accept="application/dicom+json"),
                    "facade": Target(
                        f"{product.settings.base_url}{where}", token, accept="application/dicom+json"
                    ),
                }
                for target in targets.values():
                    _check(target, count)
                    load(target, 1, SECONDS)
                found = interleaved(targets, 1, SECONDS, ROUNDS)
                name = f"QIDO-RS, {STUDIES:,} studies, {title}: p50; reference: Orthanc's own"
                yield stated(name, found["facade"].p50_ms, "ms", found["direct"].p50_ms)


def _check(target: Target, count: int) -> None:
    """An answer with another number of studies is not what is measured."""
    bearer = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    answer = httpx.get(target.url, headers={"Accept": target.accept, **bearer}, timeout=30)
    found = len(answer.json()) if answer.status_code == 200 else answer.status_code
    require(found == count, f"{found} where {count} studies were expected: {target.url}")


def _fill(product: Installation) -> None:
    """Studies in Orthanc, HAPI, rows and metadata, as they are after ingest."""
    secrets = product.secrets
    with (
        _client(hapi_url(product.settings), {"X-NeuroNova-Secret": secrets["hapi-facade"]}) as facade,
        _client(hapi_url(product.settings), {"X-NeuroNova-Secret": secrets["hapi-workers"]}) as workers,
        httpx.Client(
            base_url=f"http://127.0.0.1:{product.settings.orthanc_port}",
            auth=("imaging", secrets["orthanc-imaging"]),
            timeout=60,
        ) as orthanc,
        ThreadPoolExecutor(2) as threads,
    ):
        patients: list[str] = []
        for start in range(0, PATIENTS, BUNDLE):
            patients += _stored(facade, [_patient(number) for number in range(start, start + BUNDLE)])
        endpoint = workers.get("/Endpoint", params={"_count": "1"}).json()["entry"][0]["resource"]["id"]
        for start in range(0, STUDIES, BUNDLE):
            made = [_study(number, patients[number % PATIENTS]) for number in range(start, start + BUNDLE)]
            sent = threads.submit(_stored, workers, [_resource(one, f"Endpoint/{endpoint}") for one in made])
            _rows(product, made)
            for one in made:
                orthanc.post("/instances", content=one.data).raise_for_status()
            sent.result()


def _client(url: str, headers: dict[str, str]) -> httpx.Client:
    return httpx.Client(
        base_url=url, headers=headers | {"Content-Type": "application/fhir+json"}, timeout=120
    )


def _stored(hapi: httpx.Client, resources: Sequence[dict[str, Any]]) -> list[str]:
    """Create in one transaction; the references of what was made."""
    entries = [
        {"resource": one, "request": {"method": "POST", "url": one["resourceType"]}} for one in resources
    ]
    answer = hapi.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    require(answer.status_code == 200, f"HAPI answered {answer.status_code}: {answer.text[:200]}")
    return ["/".join(one["response"]["location"].split("/")[:2]) for one in answer.json()["entry"]]


def _patient(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "active": True,
        "identifier": [{"system": MRN, "value": f"BENCH-{number:04d}"}],
        "name": [{"family": "Bench", "given": [f"Patient{number:04d}"]}],
        "birthDate": "1970-01-01",
        "gender": "female",
    }


def _study(number: int, patient: str) -> _Made:
    day = FIRST_DAY + timedelta(number % 1000)
    uid = f"{ROOT}.{number}"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.1.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, f"{uid}.1"
    dataset.PatientID = f"BENCH-{number % PATIENTS:04d}"
    dataset.PatientName = f"Bench^Patient{number % PATIENTS:04d}"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.StudyDate, dataset.StudyTime = f"{day:%Y%m%d}", "090000"
    dataset.StudyDescription, dataset.Modality, dataset.SeriesNumber = "MR brain", "MR", 1
    dataset.AccessionNumber, dataset.StudyID, dataset.InstanceNumber = f"B{number}", str(number), 1
    dataset.Rows = dataset.Columns = 8
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelData = np.full((8, 8), number, "<u2").tobytes()
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    found = inspect(file.getvalue())
    started = f"{day}T09:00:00+09:00"
    return _Made(
        file.getvalue(),
        StudyRow(
            uid, patient, state="available", accession=f"B{number}", started=started, description="MR brain"
        ),
        SeriesRow(f"{uid}.1", uid, modality="MR", number=1),
        InstanceRow(
            *(found.sop_uid, f"{uid}.1", uid, patient, found.orthanc_id, found.sop_class),
            *(str(ExplicitVRLittleEndian), found.digest),
            frames=1,
            rows=8,
            columns=8,
            instance_number=1,
            outcome="done",
        ),
        dict(found.metadata),
    )


def _resource(made: _Made, endpoint: str) -> dict[str, Any]:
    return imaging_study(made.study, [made.series], [made.instance], endpoint)


def _rows(product: Installation, made: Sequence[_Made]) -> None:
    """Many rows in one transaction: the index itself commits each instance, as it arrives."""
    folder = product.settings.var / "dicom"
    database = sqlite3.connect(folder / "index.db", timeout=30)
    try:
        with database:
            for one in made:
                for table, row in (
                    ("studies", one.study),
                    ("series", one.series),
                    ("instances", one.instance),
                ):
                    names = ", ".join(field.name for field in fields(row))
                    marks = ",".join("?" * len(fields(row)))
                    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", astuple(row))  # noqa: S608
                write_metadata(
                    folder, one.study.study_uid, one.series.series_uid, one.instance.sop_uid, one.metadata
                )
    finally:
        database.close()
