"""The shipper's files: where the chain stands, the batch that is under way, anchors, status, the lock.

`state.json`  where the chain stands and what of the spool is done.
`next.json`   the sealed batch, written before it is sent: after a kill the very same events are sent again.
`anchors.jsonl` the chain's head once a minute, signed, only ever appended to; it lies outside HAPI.
`checkpoints.jsonl` up to where the trail was whole and was then removed (`retention`), in the same form.
`status.json` backlog and drain rate, for people and monitors; losing it loses nothing.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import rfc8785

from facade.audit.chain import GENESIS, Signer
from facade.audit.errors import ChainStateError


@dataclass(frozen=True)
class Head:
    """The last event that HAPI has, and what of the spool it covers."""

    sequence: int = 0
    hash: str = GENESIS
    cursors: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Sealed events that are being sent, and the head once they are in."""

    events: list[dict[str, Any]]
    after: Head


@dataclass(frozen=True)
class Anchor:
    """One line of the anchor file."""

    at: str
    sequence: int
    hash: str
    key: str
    signature: str

    def message(self, kind: str = "anchor") -> bytes:
        """What the signature is over; an anchor is never good for a checkpoint."""
        said = {"at": self.at, "hash": self.hash, "key": self.key, "sequence": self.sequence}
        return bytes(rfc8785.dumps(said if kind == "anchor" else {**said, "kind": kind}))


class StateDir:
    """The files of one shipper."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def anchors_path(self) -> Path:
        """The append-only anchor file."""
        return self._directory / "anchors.jsonl"

    def lock(self) -> int | None:
        """A descriptor that holds the single writer's lock until the process ends; None if another has it."""
        fd = os.open(self._directory / "shipper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        return fd

    def head(self) -> Head | None:
        """Where the chain stands; None before the first event."""
        said = self._read("state.json")
        return None if said is None else Head(int(said["sequence"]), str(said["hash"]), said["cursors"])

    def save_head(self, head: Head) -> None:
        """HAPI has everything up to `head`."""
        self._write(
            "state.json",
            {"sequence": head.sequence, "hash": head.hash, "cursors": head.cursors},
            durable=True,
        )

    def batch(self) -> Batch | None:
        """The batch that was under way."""
        said = self._read("next.json")
        if said is None:
            return None
        after = said["after"]
        return Batch(said["events"], Head(int(after["sequence"]), str(after["hash"]), after["cursors"]))

    def save_batch(self, batch: Batch) -> None:
        """Keep a batch before the first byte of it is sent."""
        after = batch.after
        self._write(
            "next.json",
            {
                "events": batch.events,
                "after": {"sequence": after.sequence, "hash": after.hash, "cursors": after.cursors},
            },
            durable=True,
        )

    def anchors(self) -> list[Anchor]:
        """All anchors, oldest first. A torn last line is none (it was never relied on)."""
        return self._lines(self.anchors_path)

    def checkpoint(self) -> Anchor | None:
        """The newest checkpoint: verification goes on behind it."""
        return next(iter(reversed(self._lines(self._checkpoints_path))), None)

    @property
    def _checkpoints_path(self) -> Path:
        return self._directory / "checkpoints.jsonl"

    def _lines(self, path: Path) -> list[Anchor]:
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return []
        found = []
        for number, line in enumerate(text.split(b"\n")[:-1], 1):
            try:
                said = orjson.loads(line)
                found.append(
                    Anchor(
                        str(said["at"]),
                        int(said["sequence"]),
                        str(said["hash"]),
                        str(said["key"]),
                        str(said["signature"]),
                    )
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ChainStateError(f"line {number} of {path.name} cannot be read") from error
        return found

    def append_anchor(self, head: Head, signer: Signer) -> None:
        """Anchor the head: durable on return."""
        self._append(self.anchors_path, head, signer)

    def append_checkpoint(self, head: Head, signer: Signer) -> None:
        """Say that all up to `head` was whole and may go: durable on return."""
        self._append(self._checkpoints_path, head, signer, "checkpoint")

    def _append(self, path: Path, head: Head, signer: Signer, kind: str = "anchor") -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        bare = Anchor(at, head.sequence, head.hash, signer.key_id, "")
        message = bare.message(kind)
        line = {
            "at": at,
            "sequence": head.sequence,
            "hash": head.hash,
            "key": signer.key_id,
            "signature": signer.sign(message),
        }
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            # A kill may have left a torn line; it is ended, so that this one stays readable.
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            if torn:
                kept = os.pread(fd, size, 0).rfind(b"\n") + 1
                os.ftruncate(fd, kept)
            os.write(fd, orjson.dumps(line) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)

    def keep_refused(self, event: dict[str, Any]) -> None:
        """Keep an event that HAPI cannot store, so that nothing of it is lost."""
        fd = os.open(
            self._directory / "refused.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(fd, orjson.dumps(event) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)

    def save_status(self, status: dict[str, Any]) -> None:
        """Publish the metrics."""
        self._write("status.json", status, durable=False)

    def status(self) -> dict[str, Any] | None:
        """The metrics as last published."""
        return self._read("status.json")

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            said = orjson.loads((self._directory / name).read_bytes())
        except FileNotFoundError:
            return None
        except orjson.JSONDecodeError as error:
            raise ChainStateError(f"{name} cannot be read") from error
        if not isinstance(said, dict):
            raise ChainStateError(f"{name} cannot be read")
        return said

    def _write(self, name: str, content: dict[str, Any], *, durable: bool) -> None:
        part = self._directory / f"{name}.part"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(orjson.dumps(content))
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        part.replace(self._directory / name)
        if durable:
            folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
