"""Files that came under known UIDs: equal pixels change nothing, others are kept aside and reported.

Orthanc keeps the first file and says nothing of a second one. deploy/orthanc/keepagain.c therefore writes all
that comes by C-STORE into the folder `again`, and so does a replacement in whose gap something came. A file
leaves that folder only when its pixels are stored, or when the administrator has a Task about it. What was
taken in just now is known by the MD5 of its bytes; only the others are parsed.
"""

import asyncio
import hashlib
import logging
from collections.abc import Container
from functools import partial
from pathlib import Path

from facade.audit.event import Who
from imaging.errors import ChildDiedError, DICOMError, OtherPixelsError
from imaging.index import QuarantineRow
from imaging.inspection import Inspection
from subscriptions import quarantine
from subscriptions.clients import Clients
from subscriptions.directory import Directory
from subscriptions.names import QUARANTINE_SYSTEM
from subscriptions.pacs import Pacs

SETTLED_S = 1
"""From writing a file down to storing it Orthanc needs milliseconds."""

NOT_STORED_S = 3600
"""A file that Orthanc has not stored by then it never will (its disk was full, say)."""

_OTHER = "A file came under the UIDs of a stored image, with other pixels."
_NOT_STORED = "A file came that Orthanc has not stored."
_DESCRIPTION = "A received file was not stored. What is stored is unchanged; the file is kept aside."
_log = logging.getLogger(__name__)


class Again:
    """Looks at what came again."""

    def __init__(self, clients: Clients, pacs: Pacs, directory: Directory) -> None:
        self._clients = clients
        self._pacs = pacs
        self._directory = directory
        self._read: dict[str, Inspection] = {}

    async def look(self, since: float, taken_in: Container[str]) -> None:
        """Compare each file with what is stored; killed anywhere, the next look does the rest.

        :param since: when the last look at Orthanc began; what came after that is not known yet
        :param taken_in: MD5 of files that were taken in lately

        :raises HAPIError, AuditUnavailableError: one of the two did not answer
        """
        for path in sorted(self._pacs.replacer.again.glob("*.dcm")):
            try:
                came_at = path.stat().st_mtime
            except FileNotFoundError:
                continue
            if came_at < since - SETTLED_S:
                await self._settle(path, taken_in, is_old=came_at < since - NOT_STORED_S)

    async def _settle(self, path: Path, taken_in: Container[str], *, is_old: bool) -> None:
        if await asyncio.to_thread(_md5, path) in taken_in:
            await asyncio.to_thread(path.unlink)
            return
        try:
            found = self._read.get(path.name) or await self._pacs.children.inspect_file(path)
        except (DICOMError, ChildDiedError) as error:
            row = QuarantineRow("", "", "", path.stem, "", "unreadable", str(error))
            await self._report(path, row, None)
            return
        stored = self._stored(found)
        if stored is None and not is_old:
            self._read[path.name] = found  # not taken in yet; the next look knows it
            return
        self._read.pop(path.name, None)
        digest, patient = stored or ("", None)
        if digest == found.digest:
            await asyncio.to_thread(path.unlink)
            return
        code, text = (OtherPixelsError.code, _OTHER) if stored else ("not-stored", _NOT_STORED)
        row = QuarantineRow(
            found.orthanc_id, found.study_uid, found.series_uid, found.sop_uid, found.digest, code, text
        )
        await self._report(path, row, patient)

    def _stored(self, found: Inspection) -> tuple[str, str | None] | None:
        """Digest and patient of the file that Orthanc has under these UIDs."""
        index = self._pacs.index
        accepted = index.by_orthanc_id(found.orthanc_id)
        if accepted is not None:
            return accepted.digest, accepted.patient_ref
        held = [row for row in index.quarantined(found.study_uid) if row.orthanc_id == found.orthanc_id]
        return (held[0].digest, None) if held else None

    async def _report(self, path: Path, row: QuarantineRow, patient: str | None) -> None:
        about = f"{row.sop_uid}-{row.digest.rpartition('-')[2][:16]}" if row.digest else row.sop_uid
        kept = self._pacs.replacer.aside / f"{about}{path.suffix}"
        what = [f"urn:oid:{row.study_uid}"] if row.study_uid else []
        title = ae_title(path)
        device = await self._directory.modality(title) if title else None
        task = quarantine.task(about, [row]) | {"description": _DESCRIPTION}
        task["input"] += [
            {"type": {"text": "study"}, "valueString": row.study_uid or "-"},
            {"type": {"text": "file"}, "valueString": kept.name},
        ]
        await self._clients.trail.record(
            "dicom-store",
            "C",
            what=what,
            patient=patient,
            detail={"instances": "1", "ae-title": title, "kept-aside": kept.name},
            failed=row.code,
            who=Who(
                reference=f"Device/{device['id']}" if device else None,
                display_role="modality",
                client_id=title or None,
            ),
        )
        async with self._clients.trail.around("quarantine", "C", what=what, patient=patient):
            await self._clients.hapi.create(task, if_none_exist=f"identifier={QUARANTINE_SYSTEM}|{about}")
        await asyncio.to_thread(path.replace, kept)
        _log.warning("a received file was kept aside", extra={"reason_code": row.code})


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def ae_title(path: Path) -> str:
    """Who sent a file, from the name that keepagain.c gave it; empty for what came another way."""
    return bytes.fromhex(path.stem.rpartition("-")[2]).decode("ascii", "replace").strip()
