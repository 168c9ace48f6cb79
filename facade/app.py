"""Builds the ASGI application: settings, clients, routes, error handlers.

Process entry: `uvicorn facade.app:create --factory`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

from facade import circuit, log, logins, outcome
from facade.arrival import Arrival
from facade.audit.spool import Spool
from facade.cors import CORS
from facade.directory import FacadeDirectory
from facade.hapi import HAPIClient
from facade.load import Load
from facade.routes import dicomweb, documentation, fhir, metadata, notifications, results
from facade.settings import FacadeSettings
from facade.state import Services, State
from smart_auth import routes as auth_routes
from smart_auth.service import SMARTAuth
from smart_auth.settings import SMARTAuthSettings

if TYPE_CHECKING:
    import httpx
    from redis.asyncio import Redis


def create() -> ASGIApp:
    """Return the application of this process, with settings from the environment."""
    log.configure("facade")
    return create_app(FacadeSettings(), SMARTAuthSettings())


def create_app(
    settings: FacadeSettings,
    auth_settings: SMARTAuthSettings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    redis: Redis | None = None,
) -> ASGIApp:
    """Return the application; `transport` and `redis` are for tests."""
    spool = Spool(settings.spool_dir, "facade")
    redis = redis or circuit.redis(settings)
    auth = SMARTAuth(
        auth_settings, redis=redis, on_event=logins.recorder(spool), report_key=settings.signing_key
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        settings.spool_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await auth.start()
        async with HAPIClient(
            settings.hapi_url,
            settings.hapi_secret.get_secret_value(),
            timeout_s=settings.hapi_timeout_s,
            connections=settings.hapi_connections,
            transport=transport,
            breaker=circuit.of_hapi(settings),
            answer_max_bytes=settings.answer_max_bytes,
            exact=True,
        ) as hapi:
            services = Services(settings, hapi, auth, spool, redis, circuit.of_pixels(settings))
            auth.directory = FacadeDirectory(services)
            yield State(services=services)
        await auth.stop()
        spool.close()
        await redis.aclose()

    routes: list[BaseRoute] = [
        *metadata.routes,
        *fhir.routes,
        *dicomweb.routes,
        *results.routes,
        *notifications.routes,
        Mount("/auth", routes=auth_routes.build(auth)),
    ]
    routes += documentation.build(routes)
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers=outcome.HANDLERS,
        middleware=[Middleware(CORS, auth.feed), Middleware(Load, settings.in_flight_max)],
    )
    # A redirect to the same path without a slash would answer before anybody has decided.
    app.router.redirect_slashes = False
    return Arrival(app)
