"""Removes what the trail has kept long enough, so that what is left still proves itself.

All before the first event that is young enough is exported (seals included), then a signed checkpoint says up
to which event the chain was whole and with which hash it goes on, then the events go from HAPI for good. A
kill between any two of these leaves either nothing removed, or a checkpoint whose removal the next run ends.
The checkpoint is signed with the trail's key, so nobody else can shorten the trail. HAPI lets one caller
delete an AuditEvent; its secret is read by this command alone.
Source: the product's design, section 10; NIST SP 800-92 section 4.2 (log retention).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from facade.audit.chain import event_id, load_signer, seal_of
from facade.audit.errors import AuditError
from facade.audit.state import Head, StateDir
from facade.audit.verify import verify
from facade.hapi import HAPIClient, Resource

_PAGE: Final = 200


class RetentionError(AuditError):
    """Nothing was removed: the trail is not whole, or another run is at work."""


@dataclass(frozen=True)
class Removed:
    """What a run has done."""

    events: int
    checkpoint: int
    """Number of the last event that is gone; 0: none."""


async def retire(hapi: HAPIClient, state_dir: Path, key: Path, *, before: datetime, export: Path) -> Removed:
    """Export and remove the events before the first one of `before` or later; `hapi` may delete them.

    The newest event stays, however old: an empty store would look like one that was never written to.
    """
    state = StateDir(state_dir)
    with _alone(state_dir):
        report = await verify(hapi, state_dir, key)
        if report.first_break is not None:
            raise RetentionError(f"the trail is broken, nothing is removed: {report.first_break.what}")
        newest = state.head()
        last = (newest.sequence if newest else 0) - 1
        checkpoint = state.checkpoint()
        kept = Head() if checkpoint is None else Head(checkpoint.sequence, checkpoint.hash)
        with os.fdopen(os.open(export, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            async for event in _events(hapi, kept.sequence, last):
                seal = seal_of(event)
                if seal is None or datetime.fromisoformat(event["recorded"]) >= before:
                    break
                out.write(orjson.dumps(event) + b"\n")
                kept = Head(seal.sequence, seal.hash)
            out.flush()
            os.fsync(out.fileno())
        if checkpoint is None or kept.sequence > checkpoint.sequence:
            if kept.sequence == 0:
                return Removed(0, 0)
            state.append_checkpoint(kept, load_signer(key))
        return Removed(await _remove(hapi, kept.sequence), kept.sequence)


async def _events(hapi: HAPIClient, after: int, last: int) -> AsyncIterator[Resource]:
    """Yield the events behind `after`, up to `last`, in the trail's order."""
    for first in range(after + 1, last + 1, _PAGE):
        wanted = [event_id(number) for number in range(first, min(first + _PAGE, last + 1))]
        page = await hapi.search("AuditEvent", [("_id", ",".join(wanted))], count=_PAGE)
        found = {entry["resource"]["id"]: entry["resource"] for entry in page.get("entry", [])}
        for name in wanted:
            yield found[name]


async def _remove(hapi: HAPIClient, last: int) -> int:
    """Remove every event up to this one, those that an earlier run has left over too."""
    removed = 0
    while True:
        page = await hapi.search("AuditEvent", [("_elements", "id")], count=_PAGE)
        ids = [str(entry["resource"]["id"]) for entry in page.get("entry", [])]
        gone = [one for one in ids if one.startswith("ae-") and one <= event_id(last)]
        if not gone:
            return removed
        entries = [{"request": {"method": "DELETE", "url": f"AuditEvent/{one}"}} for one in gone]
        await hapi.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        removed += len(gone)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the lock of this command until it ends."""
    fd = os.open(directory / "retention.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RetentionError("another run is at work") from None
    finally:
        os.close(fd)
