"""The DICOM JSON files that answer WADO-RS metadata: `metadata/<study>/<series>/<sop>.json`. Standard library
only.

Written at ingest, rebuildable from Orthanc. AvailableTransferSyntaxUID changes with transcoding and is put in
when the file is read (PS3.18 10.4.1.1.2, F.2).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imaging.frames import NATIVE_LE, is_uid

PIXEL_DATA = "7FE00010"
BULK_MARK = "bulkdata:"
_AVAILABLE_TRANSFER_SYNTAX = "00083002"


def metadata_path(data_dir: Path, study_uid: str, series_uid: str, sop_uid: str) -> Path:
    """Where the file lies; ValueError if anything but UIDs is given."""
    for uid in (study_uid, series_uid, sop_uid):
        if not is_uid(uid):
            raise ValueError("not a UID")
    return data_dir / "metadata" / study_uid / series_uid / f"{sop_uid}.json"


def write_metadata(
    data_dir: Path, study_uid: str, series_uid: str, sop_uid: str, metadata: Mapping[str, Any]
) -> None:
    """Write one file, whole or not at all."""
    path = metadata_path(data_dir, study_uid, series_uid, sop_uid)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    part.replace(path)


def remove_metadata(data_dir: Path, study_uid: str, series_uid: str, sop_uid: str) -> None:
    """Remove one file; that it is gone already is no error."""
    metadata_path(data_dir, study_uid, series_uid, sop_uid).unlink(missing_ok=True)


def read_metadata(
    data_dir: Path, study_uid: str, series_uid: str, sop_uid: str, transfer_syntax: str, address: str = ""
) -> bytes:
    """The JSON object of one instance with the transfer syntax that it is stored in now.

    `address` is the instance's own, below which its bulk data are.
    """
    text = metadata_path(data_dir, study_uid, series_uid, sop_uid).read_bytes()
    # No quote within a value is bare, so that this cannot be a part of one.
    text = text.replace(
        f'"BulkDataURI":"{BULK_MARK}'.encode(), f'"BulkDataURI":"{address}/bulkdata/'.encode()
    )
    more: dict[str, Any] = {_AVAILABLE_TRANSFER_SYNTAX: {"vr": "UI", "Value": [transfer_syntax]}}
    if b'"00280010":' in text and address:
        wide = transfer_syntax in NATIVE_LE and b'"00280100":{"vr":"US","Value":[8]}' not in text
        uri = f"{address}/bulkdata/{PIXEL_DATA}"
        more[PIXEL_DATA] = {"vr": "OW" if wide else "OB", "BulkDataURI": uri}
    added = json.dumps(more, separators=(",", ":")).encode()
    return added if text == b"{}" else added[:-1] + b"," + text[1:]


def has_bulk_data(data_dir: Path, study_uid: str, series_uid: str, sop_uid: str, path: str) -> bool:
    """Do the metadata promise a large value at this path of tags and item numbers?"""
    text = metadata_path(data_dir, study_uid, series_uid, sop_uid).read_bytes()
    return f'"BulkDataURI":"{BULK_MARK}{path}"'.encode() in text


def read_tags(data_dir: Path, study_uid: str, series_uid: str, sop_uid: str) -> dict[str, Any]:
    """The same as values, for QIDO."""
    text = metadata_path(data_dir, study_uid, series_uid, sop_uid).read_bytes()
    tags: dict[str, Any] = json.loads(text)
    return tags
