"""The scheduler process: `python -m subscriptions.scheduler`. Ends pauses of failed jobs, and reconciles.

A plain loop, not RQ's cron: it has to work when Redis has lost everything, its own schedule included.
"""

import asyncio
import contextlib
import logging
import sys
import time
import uuid

from facade import log
from imaging.index import Index
from imaging.settings import ImagingSettings
from subscriptions.clients import open_base
from subscriptions.errors import QueueUnavailableError
from subscriptions.pacs import open_pacs
from subscriptions.queue import RetryClock
from subscriptions.reconcile import Reconciler
from subscriptions.settings import SubscriptionsSettings

TICK_S = 0.5
"""How late a job may start after its pause."""

RETENTION_EVERY_S = 3600

_log = logging.getLogger(__name__)


async def run(settings: SubscriptionsSettings, imaging: ImagingSettings) -> None:
    """Tick and reconcile until cancelled."""
    async with open_base(settings, "scheduler", lambda: None) as clients, open_pacs(imaging) as pacs:
        clock = RetryClock(clients.redis, "neuronova")
        reconciler = Reconciler(clients, Index(imaging.data_dir), imaging.complete_after_s)
        reconciled_at = retained_at = float("-inf")
        is_waiting = False
        while True:
            log.request_id.set(uuid.uuid4().hex)
            try:
                await asyncio.to_thread(clock.tick)
                if is_waiting:
                    _log.info("Redis answers again")
                is_waiting = False
            except QueueUnavailableError:
                if not is_waiting:
                    _log.warning("waiting for Redis")
                is_waiting = True
            if not is_waiting and time.monotonic() - reconciled_at >= settings.reconcile_s:
                await reconciler.round()
                reconciled_at = time.monotonic()
            if time.monotonic() - retained_at >= RETENTION_EVERY_S:
                removed = pacs.replacer.forget_originals(time.time())
                if removed:
                    _log.info("kept originals have reached their age", extra={"removed": removed})
                retained_at = time.monotonic()
            await asyncio.sleep(TICK_S)


def main() -> int:
    """Process entry."""
    log.configure("scheduler")
    logging.getLogger("rq").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        imaging = ImagingSettings()
        asyncio.run(run(SubscriptionsSettings.from_environment(), imaging))
    return 0


if __name__ == "__main__":
    sys.exit(main())
