"""The audit spool: a record is on the disk before the answer that it stands for goes out.

Each writing process appends to a segment file of its own; one shipper reads them all. A line is
`<CRC-32, 8 hex> <JSON>\\n`, so that a record torn by a kill or a full disk is told from a whole one.
A commit is one write and one fdatasync, into bytes that were reserved before: then the file system has
nothing to write but the record. While commits are quick the event loop makes them itself, because a thread
costs more than the disk; after a slow one a thread does, and writers that wait meanwhile share one fdatasync
(group commit).

Who still writes to a segment is told by flock(2): the writer holds the lock until its process ends, however
it ends. A segment gets its name only when it is locked, and only the holder of the lock removes it; so a
segment cannot be removed under a writer. Why files and not a Redis stream: bench/audit_spool.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import orjson

from facade.audit.errors import SpoolError
from facade.audit.event import PRIVATE

SUFFIX: Final = ".spool"
SEGMENT_BYTES: Final = 8 * 1024 * 1024  # then a new segment; shipped ones can be removed
RECORD_BYTES: Final = 256 * 1024  # a longer record is a mistake of the caller
RESERVED_BYTES: Final = 256 * 1024
"""NUL bytes written ahead, some 200 records' worth. No line has such a byte: readers see where data end."""
QUICK_S: Final = 0.002
"""A commit that took longer was a slow one; 0.1 to 0.2 ms is usual."""
_WRITER: Final = re.compile(r"^[a-z][a-z0-9-]{0,40}$")
_VIEWING_S: Final = 60


def encode(event: dict[str, Any], at: float) -> bytes:
    """One spool line. `at` (Unix time) orders records of different writers."""
    private = event.get(PRIVATE, {})
    record = {"at": round(at, 6), "event": {key: value for key, value in event.items() if key != PRIVATE}}
    if "passed" in private:
        record["passed"] = private["passed"]
    try:
        body = orjson.dumps(record)
    except orjson.JSONEncodeError as error:
        raise SpoolError("the record is not JSON") from error
    if len(body) > RECORD_BYTES:
        raise SpoolError(f"the record has {len(body)} bytes")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> dict[str, Any] | None:
    """The record of a line without its newline, or None if the line is damaged."""
    try:
        checksum = int(line[:8], 16)
        if line[8:9] != b" " or zlib.crc32(line[9:]) != checksum:
            return None
        record = orjson.loads(line[9:])
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("event"), dict) else None


class _Segment:
    """One open segment file, locked for as long as this process lives."""

    def __init__(self, directory: Path, writer: str) -> None:
        name = f"{writer}.{time.time_ns():020d}.{os.getpid()}{SUFFIX}"
        hidden = directory / f".{name}"
        self.size = 0
        self._reserved = 0
        self._path = directory / name
        self.fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(directory / name)
            # The name must survive a power cut as well as the content does.
            folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            hidden.unlink(missing_ok=True)
            os.close(self.fd)
            raise

    def append(self, data: bytes, reserve: int) -> None:
        """Durable on return. `reserve`: NUL bytes to write behind it, where none are left."""
        end = self.size + len(data)
        ahead = reserve if end > self._reserved else 0
        view = memoryview(data + bytes(ahead))
        at = self.size
        while view:
            written = os.pwrite(self.fd, view, at)
            at, view = at + written, view[written:]
        os.fdatasync(self.fd)
        self.size = end
        self._reserved = max(self._reserved, at)

    def close(self) -> None:
        """Give back what was reserved."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, self.size)
        self._let_go()

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)

    def abandon(self) -> None:
        """After a failed write; a segment that never held an acknowledged record goes with it.

        A disk that stays full would otherwise get a new file with each request that it refuses.
        """
        if self.size == 0:
            with contextlib.suppress(OSError):
                self._path.unlink()
        # Nothing is cut off: readers may have taken what was written and not synced.
        self._let_go()


class Spool:
    """The writing end, one per process (and one event loop); `writer` names the process kind."""

    def __init__(
        self,
        directory: Path,
        writer: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _WRITER.match(writer):
            raise ValueError(f"not a writer's name: {writer!r}")
        self._directory = directory
        self._writer = writer
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._stopwatch = stopwatch
        self._minute = -1
        self._viewings: dict[bytes, asyncio.Future[None]] = {}
        self._reset()

    async def write(self, *events: dict[str, Any]) -> None:
        """Durable on return; else SpoolError, and the caller refuses what it wanted to record."""
        if os.getpid() != self._pid:
            self._reset()
        now = self._clock()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        lines: list[bytes] = []
        waits: list[asyncio.Future[None]] = []
        for event in events:
            viewing = event.get(PRIVATE, {}).get("viewing")
            if viewing is None:
                lines.append(encode(event, now))
                continue
            # The first frame of a minute is recorded, the others wait for that record and add none.
            minute = int(now // _VIEWING_S)
            if minute != self._minute:
                self._minute, self._viewings = minute, {}
            key = orjson.dumps(viewing)
            if (earlier := self._viewings.get(key)) is not None:
                waits.append(earlier)
            else:
                lines.append(encode(event, now))
                self._viewings[key] = done
        if lines:
            self._pending.append((b"".join(lines), done))
            if not self._flushing:
                self._flush(loop)
            waits.append(done)
        for wait in waits:
            # Shielded: a caller that goes away must not cancel what others wait for.
            await asyncio.shield(wait)

    def write_sync(self, *events: dict[str, Any]) -> None:
        """The same for code without an event loop."""
        if os.getpid() != self._pid:
            self._reset()
        now = self._clock()
        # A writer of this kind may have one record in its life.
        self._commit(b"".join(encode(event, now) for event in events), 0)

    def close(self) -> None:
        """Let the segment go, so that the shipper may remove it at once."""
        self._executor.shutdown(wait=True)
        self._is_quick = False  # what comes later is refused by the executor
        with self._lock:
            self._drop()

    def _reset(self) -> None:
        # A forked child starts here too: it must not share its parent's segment, lock or thread.
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._segment: _Segment | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="audit-spool")
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing = False
        self._is_quick = False
        self._minute, self._viewings = -1, {}

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._pending = self._pending, []
        self._flushing = True
        lines = b"".join(data for data, _ in batch)
        if self._is_quick:
            failed: SpoolError | None = None
            try:
                self._commit(lines, RESERVED_BYTES)
            except SpoolError as error:
                failed = error
            self._finish(loop, batch, failed)
            return
        try:
            commit = self._executor.submit(self._commit, lines, RESERVED_BYTES)
        except RuntimeError as error:  # shut down
            self._finish(loop, batch, SpoolError(str(error)))
            return

        def report(finished: Future[None]) -> None:
            # A loop that has been closed meanwhile has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._finish, loop, batch, finished.exception())

        commit.add_done_callback(report)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Iterable[tuple[bytes, asyncio.Future[None]]],
        error: BaseException | None,
    ) -> None:
        for _, done in batch:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
                continue
            done.set_exception(error)
            done.exception()  # read once here, so that a caller who left causes no warning
            self._viewings = {key: value for key, value in self._viewings.items() if value is not done}
        self._flushing = False
        if self._pending:
            self._flush(loop)

    def _commit(self, data: bytes, reserve: int) -> None:
        began = self._stopwatch()
        self._is_quick = False
        with self._lock:
            try:
                if self._segment is None:
                    self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self._segment = _Segment(self._directory, self._writer)
                self._segment.append(data, reserve)
                if self._segment.size >= self._segment_bytes:
                    self._drop()
                self._is_quick = self._stopwatch() - began < QUICK_S
            except OSError as error:
                # After a failed write or fsync nothing is known of the segment's end (a torn line may be
                # there, and the kernel may have dropped the dirty pages): never append to it again.
                if self._segment is not None:
                    self._segment.abandon()
                    self._segment = None
                raise SpoolError(f"the audit spool cannot be written: {error.strerror}") from error

    def _drop(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None
