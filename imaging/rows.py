"""The rows of imaging.index: plain values, one class for each table. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pending", "done", "not-applicable", "kept"]
StudyState = Literal["receiving", "registered", "available"]
SeriesState = Literal["shown", "withdrawn"]


@dataclass(frozen=True)
class StudyRow:
    """One accepted study. `last_arrival` is epoch seconds of the newest instance that came from outside."""

    study_uid: str
    patient_ref: str
    state: StudyState = "receiving"
    imaging_study_id: str | None = None
    accession: str = ""
    based_on: str | None = None
    started: str | None = None
    description: str = ""
    last_arrival: float = 0.0


@dataclass(frozen=True)
class SeriesRow:
    """One series.

    `own` series were written by the product; `result_key` then names the AI result they belong to.
    """

    series_uid: str
    study_uid: str
    modality: str = "OT"
    number: int | None = None
    description: str = ""
    body_part: str = ""
    laterality: str = ""
    frame_of_reference_uid: str = ""
    state: SeriesState = "shown"
    own: bool = False
    result_key: str | None = None


@dataclass(frozen=True)
class InstanceRow:
    """One stored instance. `digest`: SHA-256 of the native little-endian pixels (see imaging.pixels).

    `in_change`: it is being replaced, and whether the stored bytes have `transfer_syntax` is not certain.
    """

    sop_uid: str
    series_uid: str
    study_uid: str
    patient_ref: str
    orthanc_id: str
    sop_class: str
    transfer_syntax: str
    digest: str
    frames: int = 0
    rows: int = 0
    columns: int = 0
    instance_number: int | None = None
    outcome: Outcome = "pending"
    reason: str = ""
    bytes_before: int = 0
    bytes_after: int = 0
    own: bool = False
    source: str = ""
    received_at: float = 0.0
    in_change: bool = False


@dataclass(frozen=True)
class OutcomeRow:
    """What transcoding did with one instance."""

    sop_uid: str
    outcome: Outcome
    reason: str
    transfer_syntax: str
    bytes_after: int


@dataclass(frozen=True)
class QuarantineRow:
    """An instance that nobody may see: UIDs, digest and the reason; no name."""

    orthanc_id: str
    study_uid: str
    series_uid: str
    sop_uid: str
    digest: str
    code: str
    text: str
    source: str = ""
    received_at: float = 0.0


@dataclass(frozen=True)
class UploadRow:
    """Who sent an instance through the facade, and what `pixels` read in it (an Inspection as JSON).

    `file_md5` tells whether Orthanc really has that file: it may have kept another one that came first.
    """

    orthanc_id: str
    sop_uid: str
    digest: str
    file_md5: str
    uploader: str
    organization: str | None
    staff: bool
    address: str
    request_id: str
    inspection: str
    at: float
