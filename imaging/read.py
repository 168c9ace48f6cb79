"""Reads one PS3.10 file into an Inspection. Runs in a child without secrets (imaging.child).

Character sets (ISO 2022 IR 149, UTF-8 …) are resolved here, so that all that leaves is Unicode.
Sources: PS3.10 7.1, PS3.5 6.1 and 7, PS3.18 F.2 (DICOM JSON).
"""

from __future__ import annotations

import hashlib
import re
import warnings
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from imaging import pixels
from imaging.errors import CodecError, DICOMError
from imaging.frames import is_uid
from imaging.identity import IdentityTags, trimmed
from imaging.inspection import Inspection
from imaging.metadata import BULK_MARK
from imaging.orthanc_id import orthanc_id

# Larger binary values stay out of the metadata and are had by their BulkDataURI.
_INLINE_LIMIT = 65_536
_META_GROUP, _PIXEL_GROUP = 0x0002, 0x7FE0


def inspect(data: bytes) -> Inspection:
    """Read one file. Raises DICOMError if it is not a readable, complete DICOM instance."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of each odd value; the values are checked below
            return _inspect(data)
    except DICOMError:
        raise
    except Exception as error:
        raise DICOMError(f"The file cannot be read as DICOM ({type(error).__name__}).") from error


def read(data: bytes) -> Dataset:
    """The data set of a PS3.10 file; DICOMError if it is none."""
    try:
        return dcmread(BytesIO(data))
    except InvalidDicomError as error:
        raise DICOMError("This is not a DICOM file.") from error


def _inspect(data: bytes) -> Inspection:
    dataset = read(data)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if not is_uid(syntax):
        raise DICOMError("The file does not say its transfer syntax.")
    _check_complete(dataset, data, syntax)
    uids = {
        keyword: str(dataset.get(keyword, ""))
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    }
    for keyword, uid in uids.items():
        if not is_uid(uid):
            raise DICOMError(f"{keyword} is missing or is not a UID.")
    has_pixels = "PixelData" in dataset
    digest, pixel_error = _digest(dataset, data, has_pixels)
    return Inspection(
        study_uid=uids["StudyInstanceUID"],
        series_uid=uids["SeriesInstanceUID"],
        sop_uid=uids["SOPInstanceUID"],
        sop_class=uids["SOPClassUID"],
        transfer_syntax=syntax,
        orthanc_id=orthanc_id(
            _text(dataset, "PatientID"),
            uids["StudyInstanceUID"],
            uids["SeriesInstanceUID"],
            uids["SOPInstanceUID"],
        ),
        digest=digest,
        file_md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        size_bytes=len(data),
        tags=_identity(dataset),
        has_pixels=has_pixels,
        needs_pixels="Image Storage" in UID(uids["SOPClassUID"]).name,
        pixel_error=pixel_error,
        frames=_integer(dataset, "NumberOfFrames") or (1 if has_pixels else 0),
        rows=_integer(dataset, "Rows") or 0,
        columns=_integer(dataset, "Columns") or 0,
        instance_number=_integer(dataset, "InstanceNumber"),
        modality=_text(dataset, "Modality") or "OT",
        series_number=_integer(dataset, "SeriesNumber"),
        series_description=_text(dataset, "SeriesDescription"),
        study_description=_text(dataset, "StudyDescription"),
        body_part=_text(dataset, "BodyPartExamined"),
        laterality=_text(dataset, "Laterality"),
        frame_of_reference_uid=_text(dataset, "FrameOfReferenceUID"),
        started=started(dataset),
        metadata=metadata(dataset),
    )


def _check_complete(dataset: Dataset, data: bytes, syntax: str) -> None:
    """pydicom takes what is there and stops quietly at the end of the file; this does not."""
    if len(dataset) == 0:
        raise DICOMError("The data set is empty.")
    last: Any = None
    tags = list(dataset.keys())  # iterating the Dataset itself would convert every element
    for tag in tags:
        last = dataset.get_item(tag)
        if not isinstance(last, RawDataElement) or last.value is None or last.length == 0xFFFFFFFF:
            continue
        if len(last.value) != last.length:
            raise DICOMError("The file is truncated.")
    is_deflated = syntax == "1.2.840.10008.1.2.1.99"
    if isinstance(last, RawDataElement) and not is_deflated:
        if last.length != 0xFFFFFFFF and last.value_tell + last.length < len(data):
            raise DICOMError("The file is truncated within an element.")
        if last.length == 0xFFFFFFFF and last.tag == 0x7FE00010 and b"\xdd\xe0" not in data[-16:]:
            raise DICOMError("The file is truncated within the pixel data.")


def _digest(dataset: Dataset, data: bytes, has_pixels: bool) -> tuple[str, str]:
    """The digest, and why there is none of the decoded pixels."""
    if not has_pixels:
        return f"set-{hashlib.sha256(_data_set_bytes(data)).hexdigest()}", ""
    try:
        return pixels.digest(dataset), ""
    except CodecError as error:
        return f"raw-{hashlib.sha256(dataset.PixelData).hexdigest()}", str(error)


def _data_set_bytes(data: bytes) -> bytes:
    """All after the file meta information, whose group length says where that ends."""
    length = int.from_bytes(data[140:144], "little") if data[132:138] == b"\x02\x00\x00\x00UL" else 0
    return data[144 + length :]


def _identity(dataset: Dataset) -> IdentityTags:
    return IdentityTags(
        patient_id=_text(dataset, "PatientID"),
        issuer=_text(dataset, "IssuerOfPatientID"),
        name=_text(dataset, "PatientName"),
        birth_date=_text(dataset, "PatientBirthDate"),
        sex=_text(dataset, "PatientSex"),
        accession=_text(dataset, "AccessionNumber"),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else trimmed(str(value))


def _integer(dataset: Dataset, keyword: str) -> int | None:
    value = dataset.get(keyword)
    try:
        return None if value in (None, "") else int(value)
    except (TypeError, ValueError):
        return None


def started(dataset: Dataset) -> str | None:
    """StudyDate and StudyTime as a FHIR dateTime; the date alone where no UTC offset is told."""
    date, time = _text(dataset, "StudyDate"), _text(dataset, "StudyTime")
    offset = _text(dataset, "TimezoneOffsetFromUTC")
    if not re.fullmatch(r"\d{8}", date):
        return None
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    if re.fullmatch(r"\d{6}(\.\d{1,6})?", time) and re.fullmatch(r"[+-]\d{4}", offset):
        return f"{day}T{time[:2]}:{time[2:4]}:{time[4:6]}{offset[:3]}:{offset[3:]}"
    return day


def metadata(dataset: Dataset) -> dict[str, Any]:
    """DICOM JSON of the header without pixels; other large binary values by a mark (PS3.18 F.2).

    The mark becomes a BulkDataURI when the file is read (`imaging.metadata`).
    """
    return _json(dataset, "")


def _json(dataset: Dataset, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for element in dataset:
        value, tag = element.value, f"{element.tag:08X}"
        if element.tag.group in (_META_GROUP, _PIXEL_GROUP):
            continue
        if element.VR == "SQ":
            items = [_json(item, f"{path}{tag}.{number}.") for number, item in enumerate(value)]
            found[tag] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        elif isinstance(value, bytes) and len(value) > _INLINE_LIMIT:
            found[tag] = {"vr": element.VR, "BulkDataURI": f"{BULK_MARK}{path}{tag}"}
        else:
            try:
                found[tag] = element.to_json_dict(None, bulk_data_threshold=_INLINE_LIMIT)
            except Exception:  # noqa: BLE001, S112 - a value that is wrong for its VR has no JSON; the others have
                continue
    return found
