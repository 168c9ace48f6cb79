"""nginx-internal URIs of stored bytes, built from typed values only (design section 6). Standard library
only.

No text of a client is ever copied into such a URI: an Orthanc id must be five groups of eight hex digits
(it is a SHA-1), a frame a positive number. `deploy/nginx` serves the prefix as `internal`.
"""

from __future__ import annotations

import re

INTERNAL_ORTHANC = "/internal-orthanc"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K = "1.2.840.10008.1.2.4.203"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"

_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_PATH = re.compile(r"[0-9A-F]{8}(\.[0-9]{1,6}\.[0-9A-F]{8}){0,8}")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

# PS3.18 table 8.7.3-3/5: which media type carries a frame of which transfer syntax.
MEDIA_TYPE = {
    HTJ2K_LOSSLESS: "image/jphc",
    HTJ2K_LOSSLESS_RPCL: "image/jphc",
    HTJ2K: "image/jphc",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
# Orthanc's /raw gives these as the bytes that DICOMweb wants for them too.
NATIVE_LE = frozenset({EXPLICIT_LE, IMPLICIT_LE})


def is_uid(text: str) -> bool:
    """Is this a DICOM UID:

    digits and dots, up to 64 (PS3.5 9.1)? Leading zeros are seen in practice and allowed.
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def is_orthanc_id(text: str) -> bool:
    """Is this an identifier as Orthanc makes them (SHA-1, five groups of eight hex digits)?"""
    return _ORTHANC_ID.fullmatch(text) is not None


def frame_uri(orthanc_id: str, frame: int) -> str:
    """Internal URI of one stored frame; `frame` counts from 1 as in DICOMweb, Orthanc counts from 0."""
    _check(orthanc_id)
    if frame < 1:
        raise ValueError("frames count from 1")
    return f"{INTERNAL_ORTHANC}/instances/{orthanc_id}/frames/{frame - 1}/raw"


def file_uri(orthanc_id: str) -> str:
    """Internal URI of a whole stored instance (PS3.10 file)."""
    _check(orthanc_id)
    return f"{INTERNAL_ORTHANC}/instances/{orthanc_id}/file"


def content_uri(orthanc_id: str, path: str) -> str:
    """Internal URI of one element's value; `path` is tags with item numbers (from 0) between them."""
    _check(orthanc_id)
    if not is_bulk_path(path):
        raise ValueError("not a path of tags")
    steps = [step if len(step) < 8 else f"{step[:4]}-{step[4:]}".lower() for step in path.split(".")]
    return f"{INTERNAL_ORTHANC}/instances/{orthanc_id}/content/{'/'.join(steps)}"


def is_bulk_path(text: str) -> bool:
    """Is this a tag, or a tag within items of sequences (`00400275.0.00091010`)?"""
    return _PATH.fullmatch(text) is not None


def frame_media_type(transfer_syntax: str) -> str:
    """Media type with the transfer syntax parameter, as a stored frame is labelled."""
    if not is_uid(transfer_syntax):
        raise ValueError("not a transfer syntax UID")
    kind = MEDIA_TYPE.get(transfer_syntax, "application/octet-stream")
    return f"{kind}; transfer-syntax={transfer_syntax}"


def _check(orthanc_id: str) -> None:
    if not is_orthanc_id(orthanc_id):
        raise ValueError("not an Orthanc identifier")
