"""An instance that has come to Orthanc: read it, tell where it came from, take it in or set it aside.

The caller (ingest) asks HAPI for patients and orders between `look` and `take_in`; this module knows no FHIR
server.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from imaging.child import Children
from imaging.fetched import inspect_stored
from imaging.identity import Quarantine
from imaging.index import Index, InstanceRow, QuarantineRow, SeriesRow, StudyRow, UploadRow
from imaging.inspection import Inspection
from imaging.metadata import write_metadata
from imaging.orthanc import Origin, OrthancClient


@dataclass(frozen=True)
class Arrival:
    """One instance as it came. `own`: the product wrote it (a SEG), of the AI result `result_key`."""

    inspection: Inspection
    origin: Origin
    upload: UploadRow | None
    own: bool
    result_key: str | None
    at: float

    @property
    def source(self) -> str:
        """Who sent it, for the row and the trail: the uploader, or AE title and address."""
        if self.own:
            return "own"
        if self.upload is not None:
            return self.upload.uploader
        return f"{self.origin.aet}@{self.origin.address}" if self.origin.aet else self.origin.protocol


async def look(index: Index, orthanc: OrthancClient, children: Children, orthanc_id: str) -> Arrival | None:
    """Read an instance of the change feed; None if there is nothing to do (known, set aside or replaced by
    us).

    Raises OrthancNotFoundError (deleted since), DICOMError and ChildDiedError (`set_aside_unread`),
    ScratchError (later it may do).
    """
    if index.by_orthanc_id(orthanc_id) is not None or index.is_quarantined(orthanc_id):
        return None
    upload = index.upload(orthanc_id)
    if upload is not None and await orthanc.md5(orthanc_id) == upload.file_md5:
        # `pixels` read these very bytes before it stored them.
        inspection = Inspection.from_json(upload.inspection)
        origin = Origin("RestApi", "", "", upload.address)
    else:
        upload = None
        origin = await orthanc.origin(orthanc_id)
        inspection = await inspect_stored(children, orthanc, orthanc_id, index.data_dir)
    own, result_key = index.announced(inspection.sop_uid, inspection.digest)
    return Arrival(inspection, origin, upload, own, result_key, time.time())


def take_in(
    index: Index, data_dir: Path, arrival: Arrival, patient_ref: str, based_on: str | None = None
) -> bool:
    """Write metadata and rows; False if it was here already. Raises UIDConflictError and OtherPixelsError.

    The metadata file comes first: a row without it could not be served, a file without a row harms nobody.
    """
    found = arrival.inspection
    instance = instance_row(arrival, patient_ref)
    if index.check(instance) == "known":
        return False
    write_metadata(data_dir, found.study_uid, found.series_uid, found.sop_uid, found.metadata)
    study = StudyRow(
        study_uid=found.study_uid,
        patient_ref=patient_ref,
        accession=found.tags.accession,
        based_on=based_on,
        started=found.started,
        description=found.study_description,
    )
    series = SeriesRow(
        series_uid=found.series_uid,
        study_uid=found.study_uid,
        modality=found.modality,
        number=found.series_number,
        description=found.series_description,
        body_part=found.body_part,
        laterality=found.laterality,
        frame_of_reference_uid=found.frame_of_reference_uid,
        own=arrival.own,
        result_key=arrival.result_key,
    )
    return index.add(study, series, instance)


def instance_row(arrival: Arrival, patient_ref: str) -> InstanceRow:
    """The row of an instance; what the product wrote needs no transcoding."""
    found = arrival.inspection
    return InstanceRow(
        sop_uid=found.sop_uid,
        series_uid=found.series_uid,
        study_uid=found.study_uid,
        patient_ref=patient_ref,
        orthanc_id=found.orthanc_id,
        sop_class=found.sop_class,
        transfer_syntax=found.transfer_syntax,
        digest=found.digest,
        frames=found.frames,
        rows=found.rows,
        columns=found.columns,
        instance_number=found.instance_number,
        outcome="not-applicable" if arrival.own else "pending",
        reason="The product wrote it." if arrival.own else "",
        bytes_before=found.size_bytes,
        bytes_after=found.size_bytes,
        own=arrival.own,
        source=arrival.source,
        received_at=arrival.at,
    )


def set_aside(index: Index, arrival: Arrival, why: Quarantine) -> bool:
    """Put an instance into quarantine; False if it was there already."""
    found = arrival.inspection
    return index.quarantine(
        QuarantineRow(
            orthanc_id=found.orthanc_id,
            study_uid=found.study_uid,
            series_uid=found.series_uid,
            sop_uid=found.sop_uid,
            digest=found.digest,
            code=why.code,
            text=why.text,
            source=arrival.source,
            received_at=arrival.at,
        )
    )


def set_aside_unread(index: Index, orthanc_id: str, reason: str) -> bool:
    """The same for a file that nobody could read."""
    row = QuarantineRow(orthanc_id, "", "", "", "", "unreadable", reason, received_at=time.time())
    return index.quarantine(row)
