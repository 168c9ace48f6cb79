"""Reads one PS3.10 file into an Inspection. Runs in a child without secrets (imaging.child).

Character sets (ISO 2022 IR 149, UTF-8 …) are resolved here, so that all that leaves is Unicode.
Sources: PS3.10 7.1, PS3.5 6.1 and 7, PS3.18 F.2 (DICOM JSON).
"""

from __future__ import annotations

import hashlib
import re
import warnings
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.uid import UID

from imaging import part10, pixels
from imaging.errors import CodecError, DICOMError
from imaging.frames import is_uid
from imaging.identity import IdentityTags, trimmed
from imaging.inspection import Inspection
from imaging.metadata import BULK_MARK
from imaging.orthanc_id import orthanc_id
from imaging.part10 import Part10, Range

# Larger binary values stay out of the metadata and are had by their BulkDataURI.
_INLINE_LIMIT = 65_536
_META_GROUP, _PIXEL_GROUP = 0x0002, 0x7FE0
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def inspect(file: Range | bytes) -> Inspection:
    """Read one file. Raises DICOMError if it is not a readable, complete DICOM instance."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of each odd value; the values are checked below
            return _inspect(part10.in_memory(file) if isinstance(file, bytes) else file)
    except DICOMError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's: pydicom's own have no number
        raise DICOMError(f"The file cannot be read as DICOM ({type(error).__name__}).") from error


def _inspect(file: Range) -> Inspection:
    file.seek(0)
    read = part10.parse(file)
    dataset, syntax = read.dataset, read.syntax
    if not is_uid(syntax):
        raise DICOMError("The file does not say its transfer syntax.")
    _check_complete(read)
    uids = {
        keyword: str(dataset.get(keyword, ""))
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    }
    for keyword, uid in uids.items():
        if not is_uid(uid):
            raise DICOMError(f"{keyword} is missing or is not a UID.")
    has_pixels = "PixelData" in dataset
    digest, pixel_error = _digest(file, dataset, has_pixels)
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
        file_md5=_md5(file),
        size_bytes=file.length,
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


def _check_complete(read: Part10) -> None:
    """pydicom takes what is there and stops quietly at the end of the file; this does not."""
    dataset, size = read.dataset, read.file.length
    if len(dataset) == 0:
        raise DICOMError("The data set is empty.")
    last: Any = None
    for tag in list(dataset.keys()):  # iterating the Dataset itself would convert every element
        last = read.pixels if tag == part10.PIXEL_DATA else dataset.get_item(tag, keep_deferred=True)
        if not isinstance(last, RawDataElement) or last.length == part10.UNDEFINED:
            continue
        if last.value_tell + last.length > size:
            raise DICOMError("The file is truncated.")
    if isinstance(last, RawDataElement):
        if last.length != part10.UNDEFINED and last.value_tell + last.length < size:
            raise DICOMError("The file is truncated within an element.")
        if last.length == part10.UNDEFINED and last.tag == part10.PIXEL_DATA:
            read.file.seek(max(0, size - 16))
            if b"\xdd\xe0" not in read.file.read(16):
                raise DICOMError("The file is truncated within the pixel data.")


def _digest(file: Range, dataset: Dataset, has_pixels: bool) -> tuple[str, str]:
    """The digest, and why there is none of the decoded pixels."""
    if not has_pixels:
        return f"set-{_data_set(file).sha256()}", ""
    try:
        return pixels.digest(dataset), ""
    except CodecError as error:
        return f"raw-{pixels.stored_sha256(dataset)}", str(error)


def _data_set(file: Range) -> Range:
    """All after the file meta information, whose group length says where that ends."""
    file.seek(0)
    head = file.read(144)
    length = int.from_bytes(head[140:144], "little") if head[132:138] == b"\x02\x00\x00\x00UL" else 0
    return file.part(144 + length, file.length)


def _md5(file: Range) -> str:
    found = hashlib.md5(usedforsecurity=False)
    for piece in file.pieces():
        found.update(piece)
    return found.hexdigest()


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
    for key in sorted(dataset.keys()):
        tag = f"{key:08X}"
        if key >> 16 in (_META_GROUP, _PIXEL_GROUP):
            continue
        if vr := _large_binary(dataset, key):
            found[tag] = {"vr": vr, "BulkDataURI": f"{BULK_MARK}{path}{tag}"}
            continue
        element = dataset[key]
        value = element.value
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


def _large_binary(dataset: Dataset, key: int) -> str:
    """The VR of a value that was left in the file because of its size, if it is binary; else empty."""
    raw = dataset.get_item(key, keep_deferred=True)
    if not isinstance(raw, RawDataElement) or raw.value is not None or raw.length <= part10.LARGE:
        return ""
    vr = raw.VR or (dictionary_VR(key) if dictionary_has_tag(key) else "UN")
    return vr if vr in _BINARY else ""
