"""Owns writing a phantom as a DICOM study: MR Image Storage, one series per contrast, uncompressed.

Sources: DICOM PS3.3 A.4 (MR Image IOD), C.7.6.2 (Image Plane), C.8.3.1 (MR Image); PS3.5 B.2 (UIDs from
UUIDs).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

_NAMESPACE = uuid.UUID("5d3c1f0a-6a86-5f4e-9c39-0d1d7a5d7f52")
_MODULE: dict[str, dict[str, Any]] = {
    "t1": {
        "SeriesDescription": "AX T1 SE",
        "ProtocolName": "Brain T1",
        "ScanningSequence": "SE",
        "EchoTime": 12,
        "RepetitionTime": 550,
    },
    "t1c": {
        "SeriesDescription": "AX T1 SE POST GD",
        "ProtocolName": "Brain T1 contrast",
        "ScanningSequence": "SE",
        "EchoTime": 12,
        "RepetitionTime": 550,
        "ContrastBolusAgent": "Gadobutrol",
    },
    "t2": {
        "SeriesDescription": "AX T2 TSE",
        "ProtocolName": "Brain T2",
        "ScanningSequence": "SE",
        "EchoTime": 100,
        "RepetitionTime": 4500,
    },
    "flair": {
        "SeriesDescription": "AX T2 FLAIR",
        "ProtocolName": "Brain FLAIR",
        "ScanningSequence": ["SE", "IR"],
        "EchoTime": 120,
        "RepetitionTime": 9000,
        "InversionTime": 2500,
    },
}


@dataclass(frozen=True)
class Identity:
    """Whose study it is; invented by the caller, never a person's."""

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    accession: str
    issuer: str
    study_date: str


def study_uid(seed: int, identity: Identity) -> UID:
    """The same phantom for the same patient and order is the same study."""
    return _uid("study", seed, identity.patient_id, identity.accession)


def write_series(
    directory: Path,
    role: str,
    number: int,
    pixels: npt.NDArray[np.uint16],
    spacing: Sequence[float],
    identity: Identity,
    seed: int,
) -> list[Path]:
    """Write one series; `pixels` (z, y, x) with x to the patient's left, y to the back, z upwards; `spacing`
    in the same order, mm; the middle of the field of view is the origin."""
    common = _common(role, number, pixels.shape, spacing, identity, seed)
    window = float(np.percentile(pixels[::4, ::4, ::4], 99.5))
    corner = [-s * (n - 1) / 2 for n, s in zip(pixels.shape, spacing, strict=True)]
    paths = []
    for index, plane in enumerate(pixels):
        place = (corner[2], corner[1], corner[0] + index * spacing[0])
        uid = _uid("instance", common["SeriesInstanceUID"], index)
        dataset = _dataset(
            {
                **common,
                "SOPInstanceUID": uid,
                "InstanceNumber": index + 1,
                "ImagePositionPatient": [_decimal(v) for v in place],
                "SliceLocation": _decimal(place[2]),
                "WindowCenter": round(window / 2),
                "WindowWidth": round(window),
            }
        )
        dataset.PixelData = plane.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        path = directory / f"{number:02d}_{role}_{index + 1:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _common(
    role: str, number: int, shape: Sequence[int], spacing: Sequence[float], identity: Identity, seed: int
) -> dict[str, Any]:
    study = study_uid(seed, identity)
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "NONE"],
        "SOPClassUID": MRImageStorage,
        "StudyDate": identity.study_date,
        "StudyTime": "090000",
        "SeriesDate": identity.study_date,
        "SeriesTime": f"09{number:02d}00",
        "Modality": "MR",
        "AccessionNumber": identity.accession,
        "Manufacturer": "NeuroNova phantom",
        "ReferringPhysicianName": "",
        "StudyDescription": "MR brain with and without contrast",
        "PatientName": identity.patient_name,
        "PatientID": identity.patient_id,
        "PatientBirthDate": identity.birth_date,
        "PatientSex": identity.sex,
        "ImageComments": "Simulated from a template; no patient",
        "BodyPartExamined": "BRAIN",
        "SequenceVariant": "SK",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "EchoTrainLength": 1,
        "MagneticFieldStrength": 3,
        "PatientPosition": "HFS",
        "SliceThickness": _decimal(spacing[0]),
        "SpacingBetweenSlices": _decimal(spacing[0]),
        "StudyInstanceUID": study,
        "SeriesInstanceUID": _uid("series", study, number),
        "StudyID": str(seed),
        "SeriesNumber": number,
        "FrameOfReferenceUID": _uid("frame", study),
        "PositionReferenceIndicator": "",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": shape[1],
        "Columns": shape[2],
        "PixelSpacing": [_decimal(spacing[1]), _decimal(spacing[2])],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        **({"IssuerOfPatientID": identity.issuer} if identity.issuer else {}),
        **_MODULE[role],
    }


def _dataset(elements: Mapping[str, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    return dataset


def _uid(*parts: object) -> UID:
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(str(p) for p in parts)).int}")


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2, DS)."""
    return f"{value:.6f}".rstrip("0").rstrip(".")[:16]
