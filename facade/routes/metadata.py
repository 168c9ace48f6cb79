"""What is open to everybody: CapabilityStatement, SMART configuration, health.

Sources: FHIR R4 http.html#capabilities; SMART App Launch 2.2.0 "Conformance".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import orjson
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from facade import capabilities
from facade.audit.spool import RECORD_BYTES
from facade.errors import HAPIError
from facade.outcome import MEDIA_TYPE
from facade.request import accepts_json
from facade.state import Services, services
from smart_auth.discovery import smart_configuration
from smart_auth.errors import SMARTAuthError

_PATIENCE_S = 2.0
_OPEN = {"Cache-Control": "public, max-age=60"}
_STARTED = datetime.now(UTC).isoformat(timespec="seconds")


async def metadata(request: Request) -> Response:
    """Answer GET /fhir/metadata."""
    accepts_json(request.headers.get("accept"))
    here = services(request)
    smart_body = smart_configuration(here.auth.settings)
    body = capabilities.statement(here.settings.base_url, smart_body, _STARTED)
    return Response(orjson.dumps(body), headers=_OPEN, media_type=MEDIA_TYPE)


async def smart(request: Request) -> Response:
    """Answer GET /fhir/.well-known/smart-configuration."""
    body = smart_configuration(services(request).auth.settings)
    return Response(orjson.dumps(body), headers=_OPEN, media_type="application/json")


async def live(_: Request) -> Response:
    """Answer that the process runs."""
    return _health(200, {"status": "live"})


async def ready(request: Request) -> Response:
    """Answer whether every system that requests need can be used, each by its name."""
    here = services(request)
    checks: dict[str, Callable[[], Awaitable[bool]]] = {
        "hapi": lambda: _hapi(here),
        "redis": lambda: _redis(here),
        "auth": lambda: _auth(here),
        "audit": lambda: _audit(here),
    }
    states = await asyncio.gather(*(_checked(check) for check in checks.values()))
    found = dict(zip(checks, states, strict=True))
    is_ready = all(state == "ok" for state in states)
    status = {"status": "ready" if is_ready else "not ready", "dependencies": found}
    return _health(200 if is_ready else 503, status)


async def _checked(check: Callable[[], Awaitable[bool]]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return "ok" if await check() else "down"
    except (HAPIError, RedisError, SMARTAuthError, TimeoutError, OSError):
        return "down"


async def _hapi(here: Services) -> bool:
    await here.hapi.search("Patient", [("_id", "-")], count=1)
    return True


async def _redis(here: Services) -> bool:
    return bool(await here.redis.ping())


async def _auth(here: Services) -> bool:
    return here.auth.feed.state is not None


async def _audit(here: Services) -> bool:
    spool = here.settings.spool_dir
    free = os.statvfs(spool)
    return os.access(spool, os.W_OK | os.X_OK) and free.f_bavail * free.f_frsize >= RECORD_BYTES


def _health(status: int, body: Mapping[str, object]) -> Response:
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "5"} if status == 503 else {})
    return Response(orjson.dumps(body), status, headers, "application/json")


routes = [
    Route("/fhir/metadata", metadata, methods=["GET"]),
    Route("/fhir/.well-known/smart-configuration", smart, methods=["GET"]),
    Route("/health/live", live, methods=["GET"]),
    Route("/health/ready", ready, methods=["GET"]),
]
