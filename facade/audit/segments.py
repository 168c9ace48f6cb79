"""The reading end of the spool: whole records of all segments, and what of them is done.

A segment's cursor is the offset before which everything is done, and the starts of the records beyond it that
are done already (a passed answer may wait for nginx's word while later records go on).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from facade.audit.event import Who, audit_event
from facade.audit.spool import RECORD_BYTES, RESERVED_BYTES, SUFFIX, decode

log = logging.getLogger(__name__)

WINDOW: Final = 20_000  # records in memory; the rest waits on the disk
_READ_BYTES: Final = 1024 * 1024
_WRITER_OWN: Final = "audit-shipper"


@dataclass(frozen=True)
class Record:
    """One record of the spool, not yet shipped."""

    segment: str
    start: int
    writer: str
    at: float
    event: dict[str, Any]
    passed: str | None


@dataclass
class Cursor:
    """What of a segment is done."""

    offset: int = 0
    ahead: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The form that the state files hold."""
        return {"offset": self.offset, "ahead": self.ahead}


class _Reading:
    """One segment being read."""

    def __init__(self, path: Path, cursor: Cursor) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.position = cursor.offset  # up to here lines were taken
        self.done = set(cursor.ahead)
        self.open: dict[int, Record] = {}  # taken and not done, by start, in order

    @property
    def cursor(self) -> Cursor:
        offset = next(iter(self.open), self.position)
        return Cursor(offset, sorted(start for start in self.done if start > offset))

    @property
    def unread(self) -> int:
        """Bytes that were written and not taken; what the writer has reserved is not written."""
        size = os.fstat(self.fd).st_size
        start = max(self.position, size - RESERVED_BYTES)
        return start + len(os.pread(self.fd, size - start, start).rstrip(b"\0")) - self.position

    def take(self) -> list[Record]:
        window = os.pread(self.fd, _READ_BYTES, self.position)
        data = window.rstrip(b"\0")
        taken: list[Record] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            begin = self.position + start
            # What is done ahead stays marked until the offset has passed it, for the next restart.
            if begin not in self.done:
                self.open[begin] = self._record(begin, data[start:end])
                taken.append(self.open[begin])
            start = end + 1
        if start == 0 and (len(data) > RECORD_BYTES + 16 or len(window) == _READ_BYTES):
            # No line is that long, and nothing reserved: what follows is not readable as lines at all.
            self.open[self.position] = self._record(self.position, window)
            taken.append(self.open[self.position])
            start = len(window)
        self.position += start
        return taken

    def _record(self, start: int, line: bytes) -> Record:
        name = self.path.name
        writer = name.split(".", 1)[0]
        record = decode(line)
        if record is None:
            log.error("a spool record is damaged", extra={"segment": name, "offset": start})
            return Record(name, start, _WRITER_OWN, 0.0, _damage(name, start, len(line)), None)
        passed = record.get("passed")
        return Record(
            name, start, writer, float(record["at"]), record["event"], str(passed) if passed else None
        )

    def is_abandoned(self) -> bool:
        """True if no process writes this segment any more."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self.fd)


class SpoolReader:
    """All segments of a spool folder; one process at a time may be this."""

    def __init__(self, directory: Path, cursors: dict[str, Any]) -> None:
        self._directory = directory
        self._known = {name: Cursor(int(c["offset"]), list(c["ahead"])) for name, c in cursors.items()}
        self._readings: dict[str, _Reading] = {}

    def poll(self) -> None:
        """Take what has been written since, as far as the window allows."""
        with contextlib.suppress(FileNotFoundError):
            for entry in sorted(os.listdir(self._directory)):
                if entry.endswith(SUFFIX) and not entry.startswith(".") and entry not in self._readings:
                    cursor = self._known.pop(entry, Cursor())
                    self._readings[entry] = _Reading(self._directory / entry, cursor)
        waiting = self.waiting
        for reading in self._readings.values():
            while waiting < WINDOW and reading.unread:
                taken = reading.take()
                waiting += len(taken)
                if not taken and reading.unread < _READ_BYTES:
                    break

    @property
    def waiting(self) -> int:
        """How many records are taken and not done."""
        return sum(len(reading.open) for reading in self._readings.values())

    @property
    def backlog_bytes(self) -> int:
        """How much of the spool is not done."""
        return sum(
            reading.position + reading.unread - reading.cursor.offset for reading in self._readings.values()
        )

    def pending(self) -> list[Record]:
        """The records that are not done, oldest first."""
        found = [record for reading in self._readings.values() for record in reading.open.values()]
        return sorted(found, key=lambda record: (record.at, record.segment, record.start))

    def done(self, records: Iterable[Record]) -> None:
        """Mark records as done; `cursors` says so from now on."""
        for record in records:
            reading = self._readings[record.segment]
            del reading.open[record.start]
            reading.done.add(record.start)
        for reading in self._readings.values():
            offset = reading.cursor.offset
            reading.done = {start for start in reading.done if start > offset}

    def cursors(self) -> dict[str, Any]:
        """The cursors of all segments that exist, for the state files."""
        return {name: reading.cursor.as_json() for name, reading in sorted(self._readings.items())}

    def sweep(self) -> None:
        """Remove segments that are done and that no process writes any more."""
        for name, reading in list(self._readings.items()):
            if reading.open:
                continue
            # First the lock, then the size: nobody can append any more after the lock was got.
            if not reading.is_abandoned():
                continue
            if reading.unread:
                tail = os.pread(reading.fd, _READ_BYTES, reading.position)
                if b"\n" in tail:
                    continue
                # A record without its end was never acknowledged: its writer died or its disk was full.
                log.warning("a torn record at a segment's end", extra={"segment": name, "bytes": len(tail)})
            reading.path.unlink(missing_ok=True)
            reading.close()
            del self._readings[name]

    def close(self) -> None:
        """Close the files."""
        for reading in self._readings.values():
            reading.close()
        self._readings.clear()


def _damage(segment: str, offset: int, length: int) -> dict[str, Any]:
    return audit_event(
        interaction="alert",
        action="E",
        who=Who(None, "system"),
        outcome="8",
        reason="a record of the audit spool is damaged",
        request_id="none",
        detail={"segment": segment, "offset": str(offset), "bytes": str(length)},
    )
