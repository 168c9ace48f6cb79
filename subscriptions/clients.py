"""What jobs work with, opened in the child of a worker for one job; loaded before the fork where it is slow.

`prepare` runs once in the worker, before it takes its first job: it reads the settings that this queue needs
and imports its libraries. What it returns opens the connections, which must not cross a fork.
"""

import contextlib
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import redis

from facade.audit.spool import Spool
from facade.hapi import HAPIClient
from subscriptions.catalogue import IMAGING, INFERENCE, OPENEMR
from subscriptions.lease import Leases
from subscriptions.queue import JobQueue, connect
from subscriptions.settings import SubscriptionsSettings
from subscriptions.trail import Trail

if TYPE_CHECKING:
    from subscriptions.bundles import Bundles
    from subscriptions.openemr import AuditedDatabase
    from subscriptions.pacs import Pacs


@dataclass(frozen=True)
class Clients:
    """The outside world of one job. What a queue has no use for is None."""

    settings: SubscriptionsSettings
    hapi: HAPIClient
    redis: redis.Redis
    queue: JobQueue
    trail: Trail
    check: Callable[[], None]
    """Raises LeaseLostError when another worker has taken the job over; called before each write."""
    pacs: "Pacs | None" = None
    bundles: "Bundles | None" = None
    openemr: "AuditedDatabase | None" = None


Open = Callable[[Callable[[], None]], AbstractAsyncContextManager[Clients]]


@contextlib.asynccontextmanager
async def open_base(
    settings: SubscriptionsSettings, process: str, check: Callable[[], None]
) -> AsyncIterator[Clients]:
    """What every job and every process of the pipeline has: HAPI, Redis, the queue, the trail."""
    connection = connect(settings.redis_url)
    spool = Spool(settings.spool_dir, process)
    try:
        async with HAPIClient(
            settings.hapi_url, settings.hapi_secret.get_secret_value(), connections=8
        ) as hapi:
            yield Clients(
                settings=settings,
                hapi=hapi,
                redis=connection,
                queue=JobQueue(connection, Leases(connection, settings.lease_s)),
                trail=Trail(spool, process),
                check=check,
            )
    finally:
        spool.close()
        connection.close()


def prepare(queue_name: str, settings: SubscriptionsSettings) -> Open:
    """Load what the jobs of this queue need, and return how to open their clients."""
    process = f"worker-{queue_name}"
    importlib.import_module("subscriptions.jobs")
    if queue_name == IMAGING:
        return _prepare_imaging(settings, process)
    if queue_name == INFERENCE:
        return _prepare_inference(settings, process)
    if queue_name == OPENEMR:
        return _prepare_openemr(settings, process)
    return lambda check: open_base(settings, process, check)


def _prepare_imaging(settings: SubscriptionsSettings, process: str) -> Open:
    from imaging.settings import ImagingSettings
    from subscriptions.pacs import open_pacs

    importlib.import_module("subscriptions.transcode")
    imaging = ImagingSettings()

    @contextlib.asynccontextmanager
    async def opened(check: Callable[[], None]) -> AsyncIterator[Clients]:
        async with open_base(settings, process, check) as clients, open_pacs(imaging) as pacs:
            yield replace(clients, pacs=pacs)

    return opened


def _prepare_inference(settings: SubscriptionsSettings, process: str) -> Open:
    from imaging.settings import ImagingSettings
    from inference.settings import Settings as InferenceSettings
    from subscriptions.bundles import load
    from subscriptions.pacs import open_pacs

    imaging, inference = ImagingSettings(), InferenceSettings()
    bundles = load(inference.bundles_dir, inference.allowed_bundles, inference.dtype, inference.threads)
    for module in ("subscriptions.propose", "subscriptions.infer"):
        importlib.import_module(module)

    @contextlib.asynccontextmanager
    async def opened(check: Callable[[], None]) -> AsyncIterator[Clients]:
        async with open_base(settings, process, check) as clients, open_pacs(imaging) as pacs:
            yield replace(clients, pacs=pacs, bundles=bundles)

    return opened


def _prepare_openemr(settings: SubscriptionsSettings, process: str) -> Open:
    from mappers.openemr.settings import OpenEMRSettings
    from subscriptions.openemr import connect as connect_openemr

    database = connect_openemr(OpenEMRSettings())

    @contextlib.asynccontextmanager
    async def opened(check: Callable[[], None]) -> AsyncIterator[Clients]:
        async with open_base(settings, process, check) as clients:
            yield replace(clients, openemr=database)

    return opened
