"""Small DICOM made in code, for tests of imaging and of what is built on it."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pydicom.data
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from imaging.part10 import in_memory
from imaging.transcode import transcode

ROOT = "1.2.826.0.1.3680043.8.498"
STUDY, SERIES = f"{ROOT}.1", f"{ROOT}.1.1"


def bundled(name: str) -> bytes:
    """A file that pydicom ships."""
    (path,) = Path(pydicom.data.__file__).parent.rglob(name)
    return path.read_bytes()


def mr(
    pixels: NDArray[Any] | None = None,
    *,
    sop_uid: str | None = None,
    number: int = 1,
    study_uid: str = STUDY,
    series_uid: str = SERIES,
    bits_stored: int | None = None,
    position: tuple[float, float, float] | None = None,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (1.0, 1.0),
    **tags: Any,
) -> Dataset:
    """One MR slice; `tags` are set by keyword, None removes one."""
    values = np.arange(16 * 12, dtype="<i2").reshape(16, 12) if pixels is None else pixels
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = sop_uid or f"{series_uid}.{number}"
    dataset.StudyDate, dataset.StudyTime = "20260102", "101112"
    dataset.AccessionNumber = ""
    dataset.Modality = "MR"
    dataset.StudyDescription, dataset.SeriesDescription = "Brain", "T1"
    dataset.PatientName, dataset.PatientID = "Demo^Patient One", "0001"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.BodyPartExamined = "BRAIN"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
    dataset.FrameOfReferenceUID = f"{study_uid}.9"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.ImagePositionPatient = list(position or (0.0, 0.0, float(number)))
    dataset.ImageOrientationPatient = list(orientation)
    dataset.PixelSpacing = list(spacing)
    colour = values.shape[-1] == 3 and values.ndim > 2
    shape = values.shape[:-1] if colour else values.shape
    if len(shape) == 3:
        dataset.NumberOfFrames = shape[0]
    dataset.Rows, dataset.Columns = shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = values.dtype.itemsize * 8
    dataset.BitsStored = bits_stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 1 if values.dtype.kind == "i" else 0
    raw = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def file_bytes(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """As a PS3.10 file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID or ROOT
    out = BytesIO()
    written = FileDataset(None, dataset, file_meta=meta, preamble=b"\0" * 128)
    written.save_as(out, enforce_file_format=True)
    return out.getvalue()


def mr_file(pixels: NDArray[Any] | None = None, **options: Any) -> bytes:
    """`mr` as a file."""
    return file_bytes(mr(pixels, **options))


@dataclass(frozen=True)
class Converted:
    """What transcoding made of a file: `data` is None if nothing is to be stored."""

    outcome: str
    reason: str
    transfer_syntax: str
    digest: str
    data: bytes | None


def transcoded(data: bytes) -> Converted:
    """`imaging.transcode` of bytes."""
    with TemporaryFile() as target:
        done = transcode(in_memory(data), target)
        target.seek(0)
        written = target.read() if done.is_written else None
        return Converted(done.outcome, done.reason, done.transfer_syntax, done.digest, written)


def parsed(data: bytes) -> Dataset:
    """A file read back."""
    return dcmread(BytesIO(data))


def multipart(*parts: bytes, boundary: str = "limit") -> tuple[bytes, str]:
    """A multipart/related body of DICOM files, and its Content-Type."""
    mark = boundary.encode()
    body = b"".join(
        b"--" + mark + b"\r\nContent-Type: application/dicom\r\n\r\n" + p + b"\r\n" for p in parts
    )
    return (
        body + b"--" + mark + b"--\r\n",
        f'multipart/related; type="application/dicom"; boundary={boundary}',
    )
