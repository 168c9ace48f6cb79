"""Owns what inference needs to know about a series before any pixel is read.

Source: DICOM PS3.3 C.7.6.2 (Image Plane), C.8.3.1 (MR Image). A header is built from all instances of a
series, because a grid is only known from every slice's position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from inference.errors import HeaderError

_KEYWORDS = (
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "FrameOfReferenceUID",
    "Modality",
    "SeriesDescription",
    "ProtocolName",
    "ContrastBolusAgent",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
)
_TAGS = frozenset(f"{tag_for_keyword(keyword) or 0:08X}" for keyword in _KEYWORDS)

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class SeriesHeader:
    """One series: identity, acquisition, and grid (positions of first and last slice along the normal, mm,
    LPS)."""

    series_uid: str
    study_uid: str
    patient_id: str
    frame_of_reference_uid: str
    modality: str
    description: str
    protocol: str
    contrast_agent: str
    echo_time: float | None
    repetition_time: float | None
    inversion_time: float | None
    rows: int
    columns: int
    slices: int
    pixel_spacing: tuple[float, float]
    orientation: tuple[float, ...]
    first: Vector
    last: Vector


def series_headers(metadata: Iterable[Mapping[str, Any]]) -> list[SeriesHeader]:
    """Headers of a study's series from its instances in the DICOM JSON model (PS3.18 F), in the order of
    their UIDs. What is no stack of slices (a SEG, a localizer without geometry) is left out: no rule could
    take it.
    """
    series: dict[str, list[Mapping[str, Any]]] = {}
    for instance in metadata:
        uid = instance.get("0020000E", {}).get("Value", [""])[0]
        series.setdefault(str(uid), []).append({k: v for k, v in instance.items() if k in _TAGS})
    headers = []
    for _, instances in sorted(series.items()):
        try:
            headers.append(series_header([Dataset.from_json(instance) for instance in instances]))
        except (HeaderError, TypeError, ValueError):  # the latter two: a number that is none
            continue
    return headers


def series_header(instances: Sequence[Dataset]) -> SeriesHeader:
    """Header of one series; HeaderError when it is no stack of single-frame slices with a position each."""
    try:
        return _header(instances)
    except (AttributeError, TypeError, ValueError) as error:
        raise HeaderError() from error


def _header(instances: Sequence[Dataset]) -> SeriesHeader:
    one = instances[0]
    orientation = tuple(float(v) for v in one.ImageOrientationPatient)
    spacing = tuple(float(v) for v in one.PixelSpacing)
    places = np.array([[float(v) for v in i.ImagePositionPatient] for i in instances])
    if len(orientation) != 6 or len(spacing) != 2 or places.shape != (len(instances), 3):
        raise HeaderError()
    along = places @ np.cross(orientation[:3], orientation[3:])
    first, last = places[int(along.argmin())], places[int(along.argmax())]
    return SeriesHeader(
        series_uid=str(one.SeriesInstanceUID),
        study_uid=str(one.StudyInstanceUID),
        patient_id=_text(one, "PatientID"),
        frame_of_reference_uid=_text(one, "FrameOfReferenceUID"),
        modality=_text(one, "Modality"),
        description=_text(one, "SeriesDescription"),
        protocol=_text(one, "ProtocolName"),
        contrast_agent=_text(one, "ContrastBolusAgent"),
        echo_time=_number(one, "EchoTime"),
        repetition_time=_number(one, "RepetitionTime"),
        inversion_time=_number(one, "InversionTime"),
        rows=int(one.Rows),
        columns=int(one.Columns),
        slices=len(instances),
        pixel_spacing=(spacing[0], spacing[1]),
        orientation=orientation,
        first=(float(first[0]), float(first[1]), float(first[2])),
        last=(float(last[0]), float(last[1]), float(last[2])),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    value: Any = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _number(dataset: Dataset, keyword: str) -> float | None:
    value: Any = dataset.get(keyword)
    return None if value is None or value == "" else float(value)
