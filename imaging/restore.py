"""The way back from HTJ2K: the original bytes while they are kept, else Explicit VR Little Endian.

Each instance is replaced as transcoding replaces it (`imaging.replace`), and only by a file whose pixels have
the recorded digest. Until its new label is recorded its row is `in_change` and not served. A lock says that
somebody is restoring; where nobody is, `settle` gives rows that a killed command left the label of the bytes
that are stored. Outcome `kept` afterwards: nothing converts it again unless it is asked to.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imaging.child import Children
from imaging.errors import (
    ChildDiedError,
    DICOMError,
    OrthancNotFoundError,
    ReplaceBusyError,
    ReplaceError,
)
from imaging.fetched import fetched, nameless
from imaging.file_meta import transfer_syntax
from imaging.frames import HTJ2K_LOSSLESS_RPCL
from imaging.index import Index, InstanceRow, OutcomeRow
from imaging.orthanc import OrthancClient
from imaging.replace import Replacer

RESTORED = "An operator restored it."


@dataclass(frozen=True)
class Restored:
    """What became of the instances of a study."""

    originals: int = 0
    explicit: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    """SOP UID and why it stays HTJ2K."""


class Restorer:
    """What restoring needs."""

    def __init__(self, index: Index, orthanc: OrthancClient, children: Children, replacer: Replacer) -> None:
        self._index, self._orthanc, self._children, self._replacer = index, orthanc, children, replacer

    async def restore_study(self, study_uid: str) -> Restored:
        """Restore every converted instance that came from outside. Killed anywhere, it is run again.

        Raises ReplaceBusyError if somebody else is restoring, OrthancTemporaryError and ScratchError.
        """
        originals, explicit, failed = 0, 0, []
        with self._alone():
            await self._replacer.put_back_leftovers()
            for row in self._index.instances(study_uid):
                if row.own or row.outcome != "done" or row.transfer_syntax != HTJ2K_LOSSLESS_RPCL:
                    continue
                self._index.begin_restore(row.sop_uid)
                try:
                    is_original = await self._restore(row)
                except (DICOMError, ChildDiedError, ReplaceError, ReplaceBusyError) as error:
                    failed.append((row.sop_uid, str(error)))
                except OrthancNotFoundError:
                    failed.append((row.sop_uid, "Orthanc does not have it."))
                else:
                    originals, explicit = originals + is_original, explicit + (not is_original)
                await self._label(row)
        return Restored(originals, explicit, tuple(failed))

    async def settle(self, study_uid: str) -> int:
        """Label what a killed restoring left; their number. 0 while one is under way."""
        left = [row for row in self._index.instances(study_uid) if row.in_change and row.outcome == "done"]
        try:
            with self._alone():
                if left:
                    await self._replacer.put_back_leftovers()
                for row in left:
                    await self._label(row)
        except ReplaceBusyError:
            return 0
        return len(left)

    async def _restore(self, row: InstanceRow) -> bool:
        """Replace one; True if by its original bytes. Raises ReplaceError where there is nothing to trust."""
        directory = self._replacer.directory
        async with fetched(self._orthanc, row.orthanc_id, directory) as stored:
            original = self._replacer.original(row.orthanc_id)
            if _syntax(stored) != HTJ2K_LOSSLESS_RPCL:
                return original is not None  # done, and killed before it was recorded
            if original is not None:
                found = await self._children.inspect_file(original)
                if (found.sop_uid, found.digest) == (row.sop_uid, row.digest):
                    await self._replacer.replace(row.orthanc_id, stored, original, keep=False)
                    return True
            with nameless(directory) as new:
                await self._children.to_explicit(stored, new)
                found = await self._children.inspect_file(new)
                if (found.sop_uid, found.digest) != (row.sop_uid, row.digest):
                    raise ReplaceError("The pixels are not the ones that were received.")
                await self._replacer.replace(row.orthanc_id, stored, new, keep=False)
                return False

    async def _label(self, row: InstanceRow) -> None:
        """Record what is stored now; while its copy waits to be put back it stays unserved."""
        if self._replacer.is_under_way(row.orthanc_id):
            return
        try:
            async with fetched(self._orthanc, row.orthanc_id, self._replacer.directory) as stored:
                syntax, size = _syntax(stored), stored.stat().st_size
        except OrthancNotFoundError:
            return
        is_restored = syntax != HTJ2K_LOSSLESS_RPCL
        reason = RESTORED if is_restored else row.reason
        outcome = OutcomeRow(row.sop_uid, "kept" if is_restored else "done", reason, syntax, size)
        self._index.set_outcomes([outcome])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with open(self._replacer.directory / "restore.lock", "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ReplaceBusyError("Somebody is restoring just now.") from error
            yield


def _syntax(path: Path) -> str:
    with open(path, "rb") as file:
        return transfer_syntax(file.read(4096))
