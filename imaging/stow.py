"""The two steps of an upload in the pixels process: what is in it, and storing the parts that were let in.

Failure reasons are those of PS3.18 table I.2-2 and PS3.7 annex C. The facade decides about rights between the
steps.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imaging.child import Children
from imaging.errors import ChildDiedError, DICOMError, MultipartError, OrthancError, ScratchError
from imaging.fetched import inspect_stored
from imaging.index import Index, UploadRow
from imaging.inspection import Inspection
from imaging.multipart import Extent, extents
from imaging.orthanc import OrthancClient
from imaging.pixels import NATIVE
from imaging.reasons import CANNOT_UNDERSTAND, DATA_SET_MISMATCH, DUPLICATE_INSTANCE, PROCESSING_FAILURE

_AT_ONCE = 4
_READ = ".read"
_SPOOLED = re.compile(r"[0-9a-f]{32}\.stow")


def spooled(stow_dir: Path, name: str) -> Path:
    """The spooled body of this name; MultipartError unless it is a plain name of the facade's making."""
    path = stow_dir / name
    if not _SPOOLED.fullmatch(name) or not path.is_file():
        raise MultipartError("There is no such upload.")
    return path


async def inspect(children: Children, path: Path, content_type: str) -> list[dict[str, Any]]:
    """What is in each part: where it lies, its Inspection without metadata, or a failure reason.

    What was read is kept beside the body for the second step.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(extent: Extent) -> tuple[dict[str, Any], Inspection | None]:
        async with limit:
            return await _inspect_part(children, path, extent)

    read = await asyncio.gather(*(one(extent) for extent in extents(path, content_type)))
    kept = {str(part["start"]): found.to_json() for part, found in read if found is not None}
    await asyncio.to_thread(path.with_suffix(_READ).write_text, json.dumps(kept), "utf-8")
    return [part for part, _ in read]


async def _inspect_part(
    children: Children, path: Path, extent: Extent
) -> tuple[dict[str, Any], Inspection | None]:
    part: dict[str, Any] = {"start": extent.start, "length": extent.length, "failure": None}
    if extent.media_type not in ("", "application/dicom"):
        return part | {"failure": CANNOT_UNDERSTAND, "reason": "The part is not application/dicom."}, None
    try:
        found = await children.inspect_part(path, extent.start, extent.length)
    except (DICOMError, ChildDiedError) as error:
        return part | {"failure": CANNOT_UNDERSTAND, "reason": str(error)}, None
    values = asdict(found)
    values.pop("metadata")
    part["inspection"] = values
    if found.needs_pixels and not found.has_pixels:
        part |= {"failure": DATA_SET_MISMATCH, "reason": "An image without pixel data."}
    elif found.pixel_error and found.transfer_syntax in NATIVE:
        part |= {"failure": CANNOT_UNDERSTAND, "reason": found.pixel_error}
    return part, found


async def store(
    index: Index, orthanc: OrthancClient, children: Children, path: Path, request: dict[str, Any]
) -> list[dict[str, Any]]:
    """Store parts; per part `stored`, `duplicate` (equal pixels) or `failed` with the reason.

    Who sent it is written down before Orthanc has it, so that ingest, which sees it in the change feed,
    knows.
    """
    kept = json.loads(await asyncio.to_thread(path.with_suffix(_READ).read_text, "utf-8"))
    parts = [(part, Inspection.from_json(kept[str(part["start"])])) for part in request["parts"]]
    known = {found.orthanc_id: index.upload(found.orthanc_id) for _, found in parts}
    index.record_uploads(
        [
            _upload(found, request)
            for _, found in parts
            # An attempt with other pixels does not become the sender of what is there.
            if (before := known[found.orthanc_id]) is None or before.digest == found.digest
        ]
    )
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(part: dict[str, Any], found: Inspection) -> dict[str, Any]:
        async with limit:
            answer = await _store_part(orthanc, children, path, part, found)
            return {"start": part["start"], **answer}

    return list(await asyncio.gather(*(one(part, found) for part, found in parts)))


async def _store_part(
    orthanc: OrthancClient, children: Children, path: Path, part: dict[str, Any], found: Inspection
) -> dict[str, Any]:
    try:
        stored = await orthanc.store_part(path, int(part["start"]), int(part["length"]))
        if stored.status == "Success":
            return {"status": "stored"}
        return await _duplicate(orthanc, children, stored.orthanc_id, found, path.parent)
    except (DICOMError, ChildDiedError) as error:
        return {"status": "failed", "failure": CANNOT_UNDERSTAND, "reason": str(error)}
    except (OrthancError, ScratchError) as error:
        return {"status": "failed", "failure": PROCESSING_FAILURE, "reason": str(error)}


async def _duplicate(
    orthanc: OrthancClient, children: Children, orthanc_id: str, found: Inspection, directory: Path
) -> dict[str, Any]:
    there = await inspect_stored(children, orthanc, orthanc_id, directory)
    if there.digest == found.digest:
        return {"status": "duplicate"}
    reason = "The instance is stored with other pixels."
    return {"status": "failed", "failure": DUPLICATE_INSTANCE, "reason": reason}


def _upload(found: Inspection, request: dict[str, Any]) -> UploadRow:
    return UploadRow(
        orthanc_id=found.orthanc_id,
        sop_uid=found.sop_uid,
        digest=found.digest,
        file_md5=found.file_md5,
        uploader=request["uploader"],
        organization=request.get("organization"),
        staff=bool(request["staff"]),
        address=request.get("address") or "",
        request_id=request["request_id"],
        inspection=found.to_json(),
        at=time.time(),
    )


def forget_stale(stow_dir: Path, older_than_s: float = 3600) -> int:
    """Remove what uploads that ended badly (a killed facade) have left."""
    if not stow_dir.is_dir():
        return 0
    stale = [
        path
        for path in stow_dir.iterdir()
        if path.suffix in (".stow", _READ) and time.time() - path.stat().st_mtime > older_than_s
    ]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
