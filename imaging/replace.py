"""Replaces a stored instance in Orthanc so that no kill at any moment loses a pixel (design section 7).

Orthanc cannot overwrite (`OverwriteInstances` is false), so an instance is gone between DELETE and POST.
Before that the original lies in the replace directory, file and directory fsynced; it goes only when the new
bytes were read back and are equal. Whatever copy is left there belongs to a replacement that did not end:
`put_back_leftovers`, called at every start of a worker and of a job, restores it. A lock on the copy tells a
living replacement from a dead one.

Files pass on disk, never through memory. Foreign bytes that got in between DELETE and POST are kept in
`again/`: ingest compares and reports them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imaging.errors import OrthancNotFoundError, ReplaceBusyError, ReplaceError
from imaging.fetched import fetched
from imaging.frames import is_orthanc_id
from imaging.orthanc import OrthancClient

_SUFFIX = ".dcm"
_ATTEMPTS = 3
_PIECE = 1 << 20


class Replacer:
    """The replace directory and what may be done with it. One per worker process."""

    def __init__(self, orthanc: OrthancClient, directory: Path, *, originals_days: float = 0) -> None:
        self._orthanc = orthanc
        self.directory = directory
        self._originals = directory / "originals"
        self.again = directory / "again"
        """Files that came under known UIDs and are not looked at yet."""
        self.aside = directory / "aside"
        """Those that had other pixels, for good."""
        self._originals_days = originals_days
        for path in (directory, self._originals, self.again, self.aside):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def replace(self, orthanc_id: str, original: Path, new: Path, *, keep: bool = True) -> None:
        """Put the file `new` in the place of the file `original`.

        `keep`: among the originals, as long as the setting says.

        Raises ReplaceError if what is stored then is not `new`; the original is back in that case. An
        OrthancError on the way leaves the copy for `put_back_leftovers`. ReplaceBusyError: somebody else is
        at this instance.
        """
        # In a thread: eight at a time share the disk's flushes (6 ms each), one after the other they do not.
        lock = await asyncio.to_thread(self._save_copy, orthanc_id, original)
        with lock:
            await self._orthanc.delete(orthanc_id)
            if not await self._store(orthanc_id, new, original):
                await self._restore(orthanc_id, original)
                self._finish(orthanc_id, keep=False)
                raise ReplaceError("Orthanc did not give back the bytes that were written.")
            self._finish(orthanc_id, keep=keep and self._originals_days > 0)

    def original(self, orthanc_id: str) -> Path | None:
        """The bytes as they came, while they are kept."""
        path = self._originals / f"{orthanc_id}{_SUFFIX}"
        return path if path.exists() else None

    def is_under_way(self, orthanc_id: str) -> bool:
        """Is there a copy of this instance, so that it may be away for a moment?"""
        return (self.directory / f"{orthanc_id}{_SUFFIX}").exists()

    async def put_back_leftovers(self) -> int:
        """Restore what dead replacements left; the number of instances that were put back."""
        count = 0
        for path in sorted(self.directory.glob(f"*{_SUFFIX}")):
            if not is_orthanc_id(path.stem):
                continue
            try:
                with self._locked(path):
                    await self._restore(path.stem, path)
                    self._finish(path.stem, keep=False)
                    count += 1
            except (ReplaceBusyError, FileNotFoundError):
                continue  # a living worker is at it, or has just ended
        for path in self.directory.glob("*.part"):  # copies that were never finished: nothing was deleted yet
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink(missing_ok=True)
        return count

    def forget_originals(self, now: float) -> int:
        """Delete kept originals that are older than the setting says."""
        old = [
            path
            for path in self._originals.glob(f"*{_SUFFIX}")
            if now - path.stat().st_mtime > self._originals_days * 86_400
        ]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    async def _store(self, orthanc_id: str, wanted: Path, original: Path) -> bool:
        """Store until it is there; False if Orthanc keeps something else."""
        for _ in range(_ATTEMPTS):
            stored = await self._orthanc.store_file(wanted)
            if stored.orthanc_id != orthanc_id:
                await self._orthanc.delete(stored.orthanc_id)
                return False
            async with fetched(self._orthanc, orthanc_id, self.directory) as found:
                if await asyncio.to_thread(_is_equal, found, wanted):
                    return True
                if stored.status == "Success":
                    return False
                # Somebody sent the instance again within the gap.
                if not await asyncio.to_thread(_is_equal, found, original):
                    await asyncio.to_thread(self._keep_again, found)
            await self._orthanc.delete(orthanc_id)
        return False

    async def _restore(self, orthanc_id: str, original: Path) -> None:
        try:
            async with fetched(self._orthanc, orthanc_id, self.directory) as found:
                if await asyncio.to_thread(_is_equal, found, original):
                    return
            await self._orthanc.delete(orthanc_id)
        except OrthancNotFoundError:
            pass
        if not await self._store(orthanc_id, original, original):
            raise ReplaceError("The original could not be put back; its copy stays in the replace directory.")

    def _keep_again(self, found: Path) -> None:
        with open(self.again / f"{time.time_ns()}-gap-{_SUFFIX}", "xb") as file:
            _copy_durably(found, file)
        _sync_directory(self.again)

    def _save_copy(self, orthanc_id: str, original: Path) -> BinaryIO:
        """Make the original durable; the open file holds the lock that says that we live."""
        if not is_orthanc_id(orthanc_id):
            raise ReplaceError("Not an Orthanc identifier.")
        path = self.directory / f"{orthanc_id}{_SUFFIX}"
        part = self.directory / f"{orthanc_id}.{secrets.token_hex(8)}.part"
        if path.exists():
            raise ReplaceBusyError("A copy of this instance is in the replace directory already.")
        file = open(part, "wb")  # noqa: SIM115 - the caller closes it, which ends the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _copy_durably(original, file)
            os.link(part, path)  # unlike a rename it fails if another worker was faster
            _sync_directory(self.directory)
        except FileExistsError as error:
            file.close()
            raise ReplaceBusyError("Another worker is at this instance.") from error
        except BaseException:
            file.close()
            raise
        finally:
            part.unlink(missing_ok=True)
        return file

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ReplaceBusyError("A replacement of this instance is under way.") from error
            yield

    def _finish(self, orthanc_id: str, *, keep: bool) -> None:
        path = self.directory / f"{orthanc_id}{_SUFFIX}"
        if keep:
            path.replace(self._originals / path.name)
        else:
            path.unlink(missing_ok=True)
        # No fsync: should the removal be lost with the power, the leftover is put back, which loses nothing.


def _copy_durably(source: Path, file: BinaryIO) -> None:
    with open(source, "rb") as read:
        shutil.copyfileobj(read, file, _PIECE)
    file.flush()
    os.fsync(file.fileno())


def _is_equal(one: Path, other: Path) -> bool:
    """Byte for byte; nothing is remembered, as filecmp would by name and time."""
    with open(one, "rb") as left, open(other, "rb") as right:
        while True:
            mine, theirs = left.read(_PIECE), right.read(_PIECE)
            if mine != theirs:
                return False
            if not mine:
                return True


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
