"""The receiver process: `uvicorn subscriptions.app:create --factory`, on the loopback interface only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypedDict

import redis
from fastapi import FastAPI

from facade import log
from facade.hapi import HAPIClient
from subscriptions.lease import Leases
from subscriptions.queue import JobQueue, connect
from subscriptions.receiver import router
from subscriptions.registration import keep_registered
from subscriptions.settings import SubscriptionsSettings


class State(TypedDict):
    """What the endpoints find in `request.state`."""

    secret: bytes
    redis: redis.Redis
    queue: JobQueue


def create(settings: SubscriptionsSettings | None = None) -> FastAPI:
    """Build the application; without settings they come from the environment."""
    if settings is None:
        log.configure("receiver")
        settings = SubscriptionsSettings.from_environment()
    chosen = settings

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        secret = chosen.receiver_secret.get_secret_value()
        connection = connect(chosen.redis_url)
        async with HAPIClient(chosen.hapi_url, chosen.hapi_secret.get_secret_value(), connections=4) as hapi:
            registering = asyncio.create_task(keep_registered(hapi, chosen.receiver_url, secret))
            try:
                yield {
                    "secret": secret.encode("latin-1"),
                    "redis": connection,
                    "queue": JobQueue(connection, Leases(connection, chosen.lease_s)),
                }
            finally:
                registering.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await registering
                connection.close()

    application = FastAPI(
        title="NeuroNova receiver", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    application.include_router(router)
    return application
