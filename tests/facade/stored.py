"""Studies in rows and HAPI as ingest leaves them, without pixels behind them, for tests of what is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import uuid4

import httpx
import pytest

from facade.hapi import HAPIClient
from facade.routes import images as images_module
from imaging import names
from imaging.index import Index, InstanceRow, SeriesRow, StudyRow
from imaging.metadata import write_metadata
from imaging.orthanc_id import orthanc_id
from imaging.read import inspect
from imaging.study import imaging_study
from tests.facade.world import World
from tests.imaging.builders import mr_file

HT = "1.2.840.10008.1.2.4.202"


@dataclass
class Images:
    """What the tests put into rows and HAPI."""

    world: World
    workers: HAPIClient
    index: Index
    endpoint: str

    async def study(
        self,
        patient_ref: str,
        state: str = "available",
        outcome: Literal["pending", "done"] = "done",
        **tags: Any,
    ) -> str:
        """A study of one MR series with two slices, and one SEG series of the product."""
        study = f"1.2.{uuid4().int}"[:60]
        data_dir = self.world.services.settings.data_dir
        row = StudyRow(study, patient_ref, state="available", accession="A1", started="2026-01-02")
        for number in (1, 2):
            found = inspect(mr_file(study_uid=study, series_uid=f"{study}.1", number=number, **tags))
            write_metadata(data_dir, study, f"{study}.1", found.sop_uid, found.metadata)
            self.index.add(
                row,
                SeriesRow(f"{study}.1", study, modality="MR", number=1),
                InstanceRow(
                    sop_uid=found.sop_uid,
                    series_uid=f"{study}.1",
                    study_uid=study,
                    patient_ref=patient_ref,
                    orthanc_id=found.orthanc_id,
                    sop_class=found.sop_class,
                    transfer_syntax=HT,
                    digest=found.digest,
                    frames=1,
                    rows=16,
                    columns=12,
                    instance_number=number,
                    outcome=outcome,
                ),
            )
        self.index.set_study(study, state="available" if state == "available" else "registered")
        await self.workers.create(
            imaging_study(
                replace(row, state="available" if state == "available" else "registered", accession=""),
                self.index.series(study),
                self.index.instances(study),
                self.endpoint,
            )
        )
        return study

    async def result(self, study: str, patient_ref: str, status: str | None) -> str:
        """The product's SEG of a study, with a report in this status (None: without a report)."""
        key, series = uuid4().hex, f"{study}.9"
        self._add(patient_ref, SeriesRow(series, study, modality="SEG", own=True, result_key=key))
        if status is not None:
            await self.workers.create(
                {
                    "resourceType": "DiagnosticReport",
                    "identifier": [{"system": names.AI_RESULT, "value": key}],
                    "status": status,
                    "code": {"text": "AI result"},
                    "subject": {"reference": patient_ref},
                }
            )
        return series

    def reading(self, study: str, patient_ref: str, modality: str) -> str:
        """What a reader made of the images and stored: the series."""
        series = f"{study}.8"
        self._add(patient_ref, SeriesRow(series, study, modality=modality))
        return series

    def _add(self, patient_ref: str, series: SeriesRow) -> None:
        uid = series.series_uid
        write_metadata(self.world.services.settings.data_dir, series.study_uid, uid, f"{uid}.1", {})
        self.index.add(
            StudyRow(series.study_uid, patient_ref),
            series,
            InstanceRow(
                f"{uid}.1",
                uid,
                series.study_uid,
                patient_ref,
                orthanc_id("p", series.study_uid, uid, "1"),
                names.SEG_SOP_CLASS,
                "1.2.840.10008.1.2.1",
                "bit-1",
                frames=3,
                outcome="not-applicable",
                own=series.own,
            ),
        )

    async def get(self, who: str | None, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        """One request under /dicom-web."""
        sent = {**(self.world.tokens[who] if who else {}), **headers}
        async with self.world.browser() as browser:
            return await browser.request(method, f"/dicom-web/{path}", headers=sent)


def instance_path(study: str, number: int = 1) -> str:
    return f"studies/{study}/series/{study}.1/instances/{study}.1.{number}"


@asynccontextmanager
async def opened(world: World, workers: HAPIClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Images]:
    """The rows of this facade, and the endpoint that its studies name."""
    monkeypatch.setattr(images_module, "KEEP_S", 0.0)  # each test sees what it has just written
    endpoint = await workers.create(
        {
            "resourceType": "Endpoint",
            "status": "active",
            "connectionType": {"code": "dicom-wado-rs"},
            "payloadType": [{"text": "DICOM"}],
            "address": "http://localhost/dicom-web",
        }
    )
    index = Index(world.services.settings.data_dir)
    try:
        yield Images(world, workers, index, f"Endpoint/{endpoint['id']}")
    finally:
        index.close()
