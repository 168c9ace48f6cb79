"""Finds what was left undone, by comparing what HAPI and the stored rows say with what has been done.

HAPI gives a notification up after a minute and forgets its queue when it is killed, and Redis may come back
empty: nothing may depend on either. So every few seconds, and once over everything at the start:
- studies with pending instances, or complete and not yet available -> transcode_study
- available studies without a proposal -> propose_inference
- Tasks that wait or whose worker has died -> run_inference; one that failed for good is closed
- patients, staff, encounters, orders, signed reports that OpenEMR does not have yet -> sync_openemr
- notifications whose worker has died -> notify

Changes are read by `_lastUpdated` with an overlap: HAPI sets it before the commit, and a naive watermark
missed 12 to 17 % of the rows; 3 s and de-duplication missed none (measured). The watermark lives in memory
only: what it has passed stays in the list of open subjects until it is done.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from facade.errors import HAPIError
from imaging.index import Index
from subscriptions import tasks
from subscriptions.catalogue import NOTIFY
from subscriptions.clients import Clients
from subscriptions.errors import SubscriptionsError
from subscriptions.queue import Enqueued
from subscriptions.topics import SIGNED

OVERLAP_S = 3
"""Longer than the longest transaction: lateness was at most 0.32 s."""

_log = logging.getLogger(__name__)
Resource = dict[str, Any]


@dataclass
class Watch:
    """Follows one type: which subjects are new since the last round, and which are not done yet."""

    type: str
    params: tuple[tuple[str, str], ...] = ()
    watermark: datetime | None = None
    seen: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    open: dict[str, Resource] = field(default_factory=dict)

    def query(self) -> Sequence[tuple[str, str]]:
        """Everything at first, then what changed since the watermark less the overlap."""
        if self.watermark is None:
            return self.params
        since = (self.watermark - timedelta(seconds=OVERLAP_S)).isoformat(timespec="milliseconds")
        return (*self.params, ("_lastUpdated", f"ge{since}"))

    def take(self, resource: Resource) -> None:
        """One result of the query; the same version is taken once."""
        version, at = resource["meta"]["versionId"], datetime.fromisoformat(resource["meta"]["lastUpdated"])
        if self.watermark is None or at > self.watermark:
            self.watermark = at
        if self.seen.get(resource["id"], ("", at))[0] != version:
            self.seen[resource["id"]] = (version, at)
            # The content is not needed, and not kept in memory.
            self.open[resource["id"]] = {key: resource[key] for key in ("resourceType", "id", "meta")}

    def forget(self) -> None:
        """Drop what the overlap can no longer bring back."""
        if self.watermark is not None:
            oldest = self.watermark - timedelta(seconds=2 * OVERLAP_S)
            self.seen = {id_: kept for id_, kept in self.seen.items() if kept[1] >= oldest}


class Reconciler:
    """One round after another."""

    def __init__(self, clients: Clients, index: Index, complete_after_s: float) -> None:
        self._clients = clients
        self._index = index
        self._complete_after_s = complete_after_s
        self._studies = Watch("ImagingStudy", (("status", "available"),))
        self._synced = [
            Watch("Practitioner"),
            Watch("Patient"),
            Watch("Encounter"),
            Watch("ServiceRequest"),
            Watch("DiagnosticReport", (("status", SIGNED),)),
        ]

    async def round(self) -> int:
        """Look everywhere once; returns how many jobs had to be asked for. What fails is looked at next
        time.
        """
        asked = 0
        for name, look in (
            ("images", self._images),
            ("tasks", self._tasks),
            ("studies", self._proposals),
            ("openemr", self._openemr),
            ("notify", self._notifications),
        ):
            asked += await self._safely(name, look)
        if asked:
            _log.info("reconcile asked for work that was left undone", extra={"jobs": asked})
        return asked

    async def _safely(self, name: str, look: Callable[[], Awaitable[int]]) -> int:
        try:
            return await look()
        except (HAPIError, SubscriptionsError) as error:
            _log.warning("reconcile has to wait", extra={"part": name, "error_code": error.code})
            return 0

    async def _images(self) -> int:
        quiet_since = time.time() - self._complete_after_s
        complete = [
            study.study_uid
            for study in self._index.studies("registered")
            if self._index.is_quiet(study.study_uid, quiet_since)
        ]
        undone = {*self._index.pending_studies(), *complete}
        return sum([await self._ask("transcode_study", study_uid) for study_uid in sorted(undone)])

    async def _tasks(self) -> int:
        asked = 0
        params = (("code", tasks.AI_CODE), ("status", ",".join(tasks.OPEN)))
        async for task in self._clients.hapi.search_all("Task", params):
            outcome = await self._enqueue("run_inference", task["id"])
            asked += outcome in (Enqueued.QUEUED, Enqueued.TAKEN_OVER)
            if outcome is Enqueued.DEAD:
                await tasks.advance(
                    self._clients.hapi, self._clients.trail, task, "failed", reason=tasks.GAVE_UP
                )
        return asked

    async def _proposals(self) -> int:
        return await self._follow(self._studies, "propose_inference", self._is_proposed, with_type=False)

    async def _openemr(self) -> int:
        asked = 0
        for watch in self._synced:
            asked += await self._follow(watch, "sync_openemr", None, with_type=True)
        return asked

    async def _notifications(self) -> int:
        """HAPI does not know who was told of what: only Redis knows of a notification whose worker died."""
        return await asyncio.to_thread(self._clients.queue.take_over, NOTIFY)

    async def _follow(
        self,
        watch: Watch,
        job: str,
        is_done: Callable[[Resource], Awaitable[bool]] | None,
        *,
        with_type: bool,
    ) -> int:
        async for resource in self._clients.hapi.search_all(watch.type, watch.query()):
            watch.take(resource)
        watch.forget()
        asked = 0
        for id_, resource in list(watch.open.items()):
            arguments = (*((watch.type,) if with_type else ()), id_, resource["meta"]["versionId"])
            marked = await asyncio.to_thread(self._clients.queue.is_done, job, *arguments)
            if marked or (is_done is not None and await is_done(resource)):
                del watch.open[id_]
                continue
            outcome = await self._enqueue(job, *arguments)
            asked += outcome in (Enqueued.QUEUED, Enqueued.TAKEN_OVER)
            if outcome is Enqueued.DEAD:
                del watch.open[id_]  # an operator has it now
        return asked

    async def _is_proposed(self, study: Resource) -> bool:
        """A Task written after this version of the study answers for it; a withdrawn one does not."""
        since = ("_lastUpdated", f"ge{study['meta']['lastUpdated']}")
        valid = ("status", ",".join((*tasks.OPEN, "completed", "failed", "rejected")))
        params = (("focus", f"ImagingStudy/{study['id']}"), ("code", tasks.AI_CODE), valid, since)
        bundle = await self._clients.hapi.search("Task", params, count=1)
        return bool(bundle.get("entry"))

    async def _ask(self, job: str, *arguments: str) -> int:
        return int(await self._enqueue(job, *arguments) in (Enqueued.QUEUED, Enqueued.TAKEN_OVER))

    async def _enqueue(self, job: str, *arguments: str) -> Enqueued:
        return await asyncio.to_thread(self._clients.queue.enqueue, job, *arguments)
