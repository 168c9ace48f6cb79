"""One suite for the session: two cases in HAPI and a facade of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from facade.hapi import HAPIClient
from tests.escape.inside import foreign_records, suite
from tests.escape.suite import Suite
from tests.servers.stack import Stack, make_stack
from tests.smart_auth.quick import cheap_secrets  # noqa: F401


@pytest.fixture(scope="session")
def apart() -> Iterator[Stack]:
    """Servers of its own: the suite writes past the facade, AuditEvents too, and counts what it sees."""
    stack = make_stack()
    try:
        yield stack.need("redis", "hapi")
    finally:
        stack.close()


@pytest.fixture(scope="session")
def hapi(apart: Stack) -> Stack:
    """The suite's own store."""
    return apart


@pytest.fixture(scope="session")
def redis_server(apart: Stack) -> Stack:
    """The suite's own Redis."""
    return apart


@pytest.fixture(scope="session")
async def escape(
    hapi: Any, redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Suite]:
    """The suite against the facade in this process."""
    directory: Path = tmp_path_factory.mktemp("escape")
    redis = Redis.from_url(redis_server.redis_url, db=13)
    await redis.flushdb()
    async with suite(hapi, redis, directory, directory / "keys") as running:
        await running.check()
        async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-facade"]) as store:
            before = await foreign_records(store, running)
            yield running
            assert await foreign_records(store, running) == before, "a probe has changed another's record"
    await redis.flushdb()
    await redis.aclose()
