"""The ingest process: `python -m subscriptions.ingest`. Follows Orthanc's change feed and registers studies.

Woken by the receiver, and looks each second without being woken. The cursor moves only after the rows of what
it covers are written; after a kill the same changes are read again and found known. What the product wrote
itself (replaced instances, segmentations) has a row or an announcement already and starts nothing.
"""

import asyncio
import contextlib
import logging
import sys
import time
import uuid
from collections.abc import AsyncIterator

import redis.asyncio
import redis.exceptions

from facade import log
from facade.errors import HAPIConflictError, HAPIError, HAPIPermanentError
from imaging.errors import ImagingError
from imaging.index import StudyRow
from imaging.settings import ImagingSettings
from subscriptions import modalities, quarantine, register
from subscriptions.absent import Absences
from subscriptions.again import Again
from subscriptions.arrivals import Arrivals
from subscriptions.clients import Clients, open_base
from subscriptions.directory import Directory
from subscriptions.errors import AuditUnavailableError, QueueUnavailableError
from subscriptions.names import WAKE_CHANNEL
from subscriptions.pacs import Pacs, open_pacs
from subscriptions.settings import SubscriptionsSettings

CURSOR = "orthanc-changes"
PAGE = 200
"""Changes read at once: bounds what is read again after a kill."""

MODALITIES_EVERY_S = 2
RETRY_EVERY_S = 1
REFUSED_S = 30
"""Until a study that HAPI refused is tried again."""

_log = logging.getLogger(__name__)
_LATER = (HAPIError, ImagingError, QueueUnavailableError, AuditUnavailableError)


class Ingest:
    """One look after another at what is new."""

    def __init__(self, clients: Clients, pacs: Pacs) -> None:
        self._clients = clients
        self._pacs = pacs
        self._directory = Directory(clients.hapi)
        self._arrivals = Arrivals(clients, pacs, self._directory)
        self._again = Again(clients, pacs, self._directory)
        self._absences = Absences(clients, pacs, self._arrivals, clients.settings.compare_s)
        self._settled: dict[str, float] = {}
        self._refused_until: dict[str, float] = {}
        self._reported: dict[str, float] = {}
        self._modalities_at = 0.0

    async def look(self) -> None:
        """Take in what arrived, register what is complete, look for what is gone, compare what came again.

        :raises HAPIError, ImagingError, SubscriptionsError: something did not answer; the next look goes on
        there
        """
        if time.monotonic() - self._modalities_at >= MODALITIES_EVERY_S:
            await modalities.mirror(self._directory, self._pacs.orthanc)
            self._modalities_at = time.monotonic()
        began = time.time()
        await self._follow()
        await self._settle()
        await self._absences.look()
        await self._again.look(began, self._arrivals.taken_in)

    async def _follow(self) -> None:
        index = self._pacs.index
        while True:
            changes = await self._pacs.orthanc.changes(index.cursor(CURSOR), PAGE)
            new = [change.orthanc_id for change in changes.items if change.kind == "NewInstance"]
            for study_uid in await self._arrivals.take(new):
                await self._ask_for_transcoding(study_uid)
            if changes.last > index.cursor(CURSOR):
                index.set_cursor(CURSOR, changes.last)
            if changes.done:
                return

    async def _settle(self) -> None:
        """Studies to which nothing was added for a while are complete."""
        index = self._pacs.index
        quiet_since = time.time() - self._pacs.complete_after_s
        for study in index.studies("receiving", "registered"):
            if not index.is_quiet(study.study_uid, quiet_since):
                continue
            if self._pacs.corrections.is_under_way(study.study_uid):
                continue
            if self._settled.get(study.study_uid) != study.last_arrival:
                if time.monotonic() < self._refused_until.get(study.study_uid, 0.0):
                    continue
                try:
                    await self._register(study)
                except HAPIConflictError:
                    raise  # a lost race: the next look reads again
                except HAPIPermanentError as error:
                    # Its patient was deleted meanwhile, say. That must not hold up the others.
                    self._refused_until[study.study_uid] = time.monotonic() + REFUSED_S
                    _log.error("a study cannot be registered", extra={"error_code": error.code})
                    continue
            await self._ask_for_transcoding(study.study_uid)
        await self._report_quarantine(quiet_since)

    async def _register(self, study: StudyRow) -> None:
        log.request_id.set(self._arrivals.request_id_of(study.study_uid))
        endpoint = await register.endpoint_ref(self._clients.hapi, self._clients.settings.base_url)
        written = await register.write(
            self._clients.hapi, self._clients.trail, self._pacs, study, "registered", endpoint
        )
        self._pacs.index.set_study(study.study_uid, state="registered", imaging_study_id=written["id"])
        self._settled[study.study_uid] = study.last_arrival
        _log.info("study is registered", extra={"study": f"ImagingStudy/{written['id']}"})

    async def _report_quarantine(self, quiet_since: float) -> None:
        newest: dict[str, float] = {}
        for row in self._pacs.index.quarantined():
            about = quarantine.subject(row)
            newest[about] = max(row.received_at, newest.get(about, 0.0))
        for about, at in newest.items():
            if at <= quiet_since and self._reported.get(about) != at:
                await quarantine.report(about, self._clients, self._pacs)
                self._reported[about] = at

    async def _ask_for_transcoding(self, study_uid: str) -> None:
        request_id = self._arrivals.request_id_of(study_uid)
        try:
            await asyncio.to_thread(
                self._clients.queue.enqueue, "transcode_study", study_uid, request_id=request_id
            )
        except QueueUnavailableError:
            # The rows are written; the next look, or reconcile, asks again.
            _log.warning("Redis does not answer; transcoding is asked for later")


async def run(settings: SubscriptionsSettings, imaging: ImagingSettings) -> None:
    """Follow until cancelled."""
    async with (
        open_base(settings, "ingest", lambda: None) as clients,
        open_pacs(imaging) as pacs,
        _woken(settings.redis_url) as wake,
    ):
        ingest = Ingest(clients, pacs)
        waiting = ""
        while True:
            log.request_id.set(uuid.uuid4().hex)
            try:
                await ingest.look()
            except _LATER as error:
                code = getattr(error, "code", type(error).__name__)
                if code != waiting:
                    _log.warning("ingest has to wait", extra={"error_code": code}, exc_info=error)
                waiting = code
                await asyncio.sleep(RETRY_EVERY_S)
                continue
            if waiting:
                _log.info("ingest goes on")
                waiting = ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.poll_s):
                    await wake.wait()
            wake.clear()


@contextlib.asynccontextmanager
async def _woken(redis_url: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the receiver says that something new lies in Orthanc."""
    event = asyncio.Event()
    task = asyncio.create_task(_listen(redis_url, event))
    try:
        yield event
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listen(redis_url: str, event: asyncio.Event) -> None:
    while True:
        client = redis.asyncio.Redis.from_url(redis_url, socket_connect_timeout=2)
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(WAKE_CHANNEL)
                async for _ in channel.listen():
                    event.set()
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
            await asyncio.sleep(RETRY_EVERY_S)  # polling goes on meanwhile
        finally:
            await client.aclose()


def main() -> int:
    """Process entry."""
    log.configure("ingest")
    with contextlib.suppress(KeyboardInterrupt):
        imaging = ImagingSettings()
        asyncio.run(run(SubscriptionsSettings.from_environment(), imaging))
    return 0


if __name__ == "__main__":
    sys.exit(main())
