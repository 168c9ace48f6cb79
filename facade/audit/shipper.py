"""The audit shipper: the single writer of the trail. Run as `python -m facade.audit.shipper`.

Spool records, oldest first -> nginx's word joined to passed answers -> references settled -> sealed -> the
batch durable in `next.json` -> one transaction to HAPI -> `state.json`. A kill between any two of these
leaves either nothing done or the very same events to be sent again, so each record is in the trail exactly
once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from facade.audit.access import AccessLog, Answer
from facade.audit.chain import Signer, load_signer
from facade.audit.errors import AuditError, ChainStateError
from facade.audit.event import transaction_entity
from facade.audit.segments import Record, SpoolReader
from facade.audit.settings import AuditSettings
from facade.audit.state import Batch, Head, StateDir
from facade.audit.trail import Trail, seal_all
from facade.errors import HAPIError
from facade.hapi import HAPIClient
from facade.log import configure

log = logging.getLogger(__name__)

_STATUS_S: Final = 1.0
_BACK_OFF_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0)
_RATE_WINDOW_S: Final = 60.0


class Shipper:
    """One shipper at work; `run` returns after `stop`."""

    def __init__(
        self, settings: AuditSettings, hapi: HAPIClient, signer: Signer, state: StateDir, access: AccessLog
    ) -> None:
        self._settings = settings
        self._signer = signer
        self._state = state
        self._access = access
        self._trail = Trail(hapi, signer, state.save_batch, state.keep_refused)
        self._head = Head()
        self._reader = SpoolReader(settings.spool_dir, {})
        self._answers: dict[str, Answer] = {}
        self._stopping = asyncio.Event()
        self._shipped: deque[tuple[float, int]] = deque()
        self._unconfirmed = 0
        self._trouble: str | None = None
        self._anchored = 0
        self._anchor_due = time.monotonic() + settings.anchor_s
        self._status_due = 0.0

    def stop(self) -> None:
        """Finish the batch that is under way, anchor, and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Ship until stopped."""
        try:
            await self._resume()
            while not self._stopping.is_set():
                records = self._ready()
                if records:
                    await self._ship(records)
                else:
                    await self._pause(self._settings.poll_s)
                self._housekeeping()
        finally:
            self._anchor()
            self._publish()
            self._reader.close()

    async def _resume(self) -> None:
        """Send again what was under way, and take up the spool behind it."""
        head, batch = self._state.head(), self._state.batch()
        if head is None:
            await self._first_start(batch)
            head = Head()
        self._head = head
        anchors = self._state.anchors()
        self._anchored = anchors[-1].sequence if anchors else 0
        if batch is not None and batch.after.sequence > head.sequence:
            log.info("sending again what was under way", extra={"events": len(batch.events)})
            if not await self._deliver(batch):
                return
        self._reader = SpoolReader(self._settings.spool_dir, self._head.cursors)
        self._reader.poll()
        self._reader.sweep()
        log.info("shipping", extra={"sequence": self._head.sequence})

    async def _first_start(self, batch: Batch | None) -> None:
        """Without a state there must be no trail: a second chain beside the first would prove nothing."""
        async for attempt in self._attempts():
            try:
                first = await self._trail.exists()
            except HAPIError as error:
                self._wait_for(error, attempt)
                continue
            if first and batch is None:
                raise ChainStateError(
                    "HAPI holds a trail, but the shipper's state folder is empty: restore state.json and "
                    "anchors.jsonl from their backup"
                )
            return

    def _ready(self) -> list[Record]:
        """The next batch: oldest first; passed answers once nginx's word is in or was waited for in vain."""
        self._reader.poll()
        ready: list[Record] = []
        patience = time.time() - self._settings.join_s
        for record in self._reader.pending():
            if record.passed is not None and record.passed not in self._answers:
                answer = self._access.take(record.passed)
                if answer is not None:
                    self._answers[record.passed] = answer
                elif record.at > patience:
                    continue
            ready.append(record)
            if len(ready) == self._settings.batch:
                break
        return ready

    async def _ship(self, records: list[Record]) -> None:
        events = []
        for record in records:
            event = record.event
            event["source"]["observer"]["identifier"]["value"] = record.writer
            if record.passed is not None:
                self._unconfirmed += not confirm(event, self._answers.get(record.passed))
            events.append(event)
        started = time.monotonic()
        if not await self._settle(events):
            return
        self._reader.done(records)
        sealed, after = seal_all(events, self._head, self._signer)
        batch = Batch(sealed, Head(after.sequence, after.hash, self._reader.cursors()))
        self._state.save_batch(batch)
        if not await self._deliver(batch):
            return
        for record in records:
            if record.passed is not None:
                self._answers.pop(record.passed, None)
        self._reader.sweep()
        # A transaction costs HAPI more than the events in it: what comes within one look goes together.
        least = 0 if len(records) == self._settings.batch else self._settings.poll_s
        spare = max(least, len(records) / self._settings.rate_per_s) - (time.monotonic() - started)
        if spare > 0:
            await self._pause(spare)

    async def _settle(self, events: list[dict[str, Any]]) -> bool:
        """Settle the references; False if stopped before, then the spool still has the records."""
        async for attempt in self._attempts():
            try:
                await self._trail.settle(events)
                return True
            except HAPIError as error:
                self._wait_for(error, attempt)
        return False

    async def _deliver(self, batch: Batch) -> bool:
        """Send until HAPI has it; False if stopped before, then the next start sends it again."""
        async for attempt in self._attempts():
            try:
                batch = await self._trail.send(batch)
            except HAPIError as error:
                # A refused event may have been changed and made durable meanwhile: what counts is on the
                # disk.
                batch = self._state.batch() or batch
                self._wait_for(error, attempt)
                continue
            self._head = batch.after
            self._state.save_head(self._head)
            self._shipped.append((time.monotonic(), len(batch.events)))
            if self._trouble is not None:
                log.info("HAPI takes the trail again")
                self._trouble = None
            return True
        return False

    async def _attempts(self) -> AsyncIterator[int]:
        """Attempt numbers with a growing pause between them, until stopped."""
        attempt = 0
        while not self._stopping.is_set():
            yield attempt
            self._housekeeping()
            await self._pause(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)])
            attempt += 1

    def _wait_for(self, error: HAPIError, attempt: int) -> None:
        self._trouble = str(error)
        if attempt in (0, 3) or attempt % 12 == 0:
            log.warning(
                "waiting for HAPI; records stay in the spool",
                extra={"reason": str(error), "attempt": attempt, "backlog_bytes": self._reader.backlog_bytes},
            )

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _housekeeping(self) -> None:
        now = time.monotonic()
        if now >= self._anchor_due:
            self._anchor_due = now + self._settings.anchor_s
            self._anchor()
            self._reader.sweep()
        if now >= self._status_due:
            self._status_due = now + _STATUS_S
            self._publish()

    def _anchor(self) -> None:
        if self._head.sequence > self._anchored:
            self._state.append_anchor(self._head, self._signer)
            self._anchored = self._head.sequence

    def _publish(self) -> None:
        now = time.monotonic()
        while self._shipped and self._shipped[0][0] < now - _RATE_WINDOW_S:
            self._shipped.popleft()
        pending = self._reader.pending()
        drained = sum(count for _, count in self._shipped)
        self._state.save_status(
            {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "sequence": self._head.sequence,
                "head": self._head.hash,
                "anchored": self._anchored,
                "backlog_records": len(pending),
                "backlog_bytes": self._reader.backlog_bytes,
                "oldest_s": round(max(0.0, time.time() - pending[0].at), 1) if pending else 0.0,
                "drained_last_minute": drained,
                "drain_per_s": round(drained / _RATE_WINDOW_S, 2),
                "unconfirmed": self._unconfirmed,
                "waiting_for": self._trouble,
            }
        )


def confirm(event: dict[str, Any], answer: Answer | None) -> bool:
    """Write nginx's word into the event of a passed answer, in place; False if there was none."""
    if (transaction := transaction_entity(event)) is None:
        return answer is not None
    details = transaction.setdefault("detail", [])
    if answer is None:
        details.append({"type": "delivery", "valueString": "unconfirmed"})
        event.setdefault("outcomeDesc", "authorised; whether the answer arrived is unconfirmed")
        return False
    details.append({"type": "http-status", "valueString": str(answer.status)})
    details.append({"type": "body-bytes", "valueString": str(answer.body_bytes)})
    if answer.status >= 500:
        event["outcome"] = "8"
        event["outcomeDesc"] = "authorised, but the answer failed"
    elif answer.status >= 400:
        # 499 is nginx's own: the client closed the connection before the answer was complete.
        event["outcome"] = "4"
        event["outcomeDesc"] = "authorised, but the answer did not arrive whole"
    return True


async def _main(settings: AuditSettings) -> None:
    state = StateDir(settings.state_dir)
    settings.spool_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    said = False
    while state.lock() is None:
        if not said:
            log.warning("another audit shipper is running; waiting for its end")
            said = True
        await asyncio.sleep(0.5)
    access = AccessLog(settings.syslog_socket)
    hapi = HAPIClient(
        settings.hapi_url,
        settings.hapi_secret.get_secret_value(),
        timeout_s=settings.timeout_s,
        connections=2,
    )
    try:
        async with hapi:
            shipper = Shipper(settings, hapi, load_signer(settings.key), state, access)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, shipper.stop)
            await shipper.run()
    finally:
        access.close()


def main() -> int:
    """Process entry."""
    configure("audit-shipper")
    try:
        asyncio.run(_main(AuditSettings()))
    except AuditError as error:
        log.critical("the audit shipper cannot go on", extra={"reason": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
