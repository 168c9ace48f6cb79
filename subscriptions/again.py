"""Files that came under known UIDs: equal pixels change nothing, others are kept aside and reported.

Orthanc keeps the first file and says nothing of a second one. deploy/orthanc/keepagain.c leaves what a
modality sent again in the folder `again`, and so does a replacement in whose gap something came. A file
leaves that folder only when its pixels are stored already, or when the administrator has a Task about it.
"""

import asyncio
import logging
import time
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
"""A file of this age is none that Orthanc is just storing: that takes milliseconds."""

_TEXT = "A file came under the UIDs of a stored image, with other pixels."
_DESCRIPTION = "Another file came under known UIDs. What is stored is unchanged; the file is kept aside."
_log = logging.getLogger(__name__)


class Again:
    """Looks at what came again."""

    def __init__(self, clients: Clients, pacs: Pacs, directory: Directory) -> None:
        self._clients = clients
        self._pacs = pacs
        self._directory = directory

    async def look(self) -> None:
        """Compare each file with what is stored; killed anywhere, the next look does the rest.

        :raises HAPIError, AuditUnavailableError: one of the two did not answer
        """
        for path in sorted(self._pacs.replacer.again.glob("*.dcm")):
            try:
                if time.time() - path.stat().st_mtime >= SETTLED_S:
                    await self._settle(path)
            except FileNotFoundError:
                continue  # Orthanc has stored it after all

    async def _settle(self, path: Path) -> None:
        data = await asyncio.to_thread(path.read_bytes)
        try:
            found = await self._pacs.children.inspect(data)
        except (DICOMError, ChildDiedError) as error:
            row = QuarantineRow("", "", "", path.stem, "", "unreadable", str(error))
            await self._report(path, row, None)
            return
        stored = self._stored(found)
        if stored is None:
            return  # the first file is not taken in yet; the next look knows it
        digest, patient = stored
        if digest == found.digest:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            return
        code = OtherPixelsError.code
        row = QuarantineRow(
            found.orthanc_id, found.study_uid, found.series_uid, found.sop_uid, found.digest, code, _TEXT
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
        _log.warning("a file under known UIDs was kept aside", extra={"reason_code": row.code})


def ae_title(path: Path) -> str:
    """Who sent a file, from the name that keepagain.c gave it; empty for what came another way."""
    return bytes.fromhex(path.stem.rpartition("-")[2]).decode("ascii", "replace").strip()
