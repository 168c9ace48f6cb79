"""What hangs (SIGSTOP) is asked no more for a while, each system by itself: Redis and the pixels process."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiobreaker import CircuitBreaker
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from facade import circuit
from facade.errors import DependencyError
from facade.pixels import Pixels
from facade.settings import FacadeSettings
from tests.facade.world import settings_of
from tests.imaging.builders import mr_file, multipart
from tests.servers.stack import Stack, wait_for
from tests.servers.standing import standing_still

pytestmark = pytest.mark.server
FAILURES = 2
LIMIT_S = 30


@pytest.fixture
def settings(tmp_path: Path) -> FacadeSettings:
    """Circuits that open after two failures, for a second."""
    return settings_of(
        tmp_path, redis_url=f"unix://{tmp_path}/r.sock", breaker_failures=FAILURES, breaker_open_s=1.0
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis of the test's own, to be stopped and continued."""
    path = tmp_path / "r.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(path.exists, "Redis' socket")
            yield process
        finally:
            process.terminate()


async def closed_again(ask: Any) -> None:
    """Wait until the circuit lets one through and it succeeds."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await ask()
            except (RedisError, DependencyError):
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_hung_redis_holds_nobody_once_its_circuit_is_open(
    server: subprocess.Popen[bytes], settings: FacadeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit, "_REDIS_TIMEOUT_S", 0.2)
    async with circuit.redis(settings) as redis:
        await closed_again(redis.ping)
        await redis.set("text", "x")
        with pytest.raises(ResponseError):  # an answer that says no is an answer
            await redis.incr("text")
        with standing_still(server.pid):
            for _ in range(FAILURES):
                with pytest.raises(RedisError):
                    await redis.set("a", "b")
            # Nobody waits now, however long Redis would be given.
            redis.connection_pool.connection_kwargs["socket_timeout"] = None
            async with asyncio.timeout(LIMIT_S):
                asked = (redis.set("a", "b") for _ in range(20))
                answers = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(answer, RedisConnectionError) for answer in answers)
        await closed_again(lambda: redis.set("a", "b"))
        assert await redis.get("a") == b"b"


@pytest.fixture
async def upload(servers: Stack) -> AsyncIterator[tuple[str, str]]:
    """An upload before the real pixels process: its name, and its Content-Type."""
    folder = servers.need("pixels").var / "stow"
    # As many as are read side by side: every reader has started when it is answered.
    body, content_type = multipart(*(mr_file(number=number) for number in range(1, 5)))
    name = f"{uuid4().hex}.stow"
    (folder / name).write_bytes(body)
    yield name, content_type
    for path in folder.glob(f"{name.removesuffix('.stow')}.*"):
        path.unlink()


@contextmanager
def standing(pids: Sequence[int]) -> Iterator[None]:
    """Processes that do nothing for a while."""
    with ExitStack() as stack:
        for pid in pids:
            stack.enter_context(standing_still(pid))
        yield


def readers(process: int) -> list[int]:
    """The processes that read files for it."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


async def test_a_slow_upload_is_waited_for_and_a_hung_process_is_not(
    servers: Stack,
    upload: tuple[str, str],
    settings: FacadeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    breaker: CircuitBreaker = circuit.of_pixels(settings)
    async with Pixels(servers.var / "run" / "pixels.sock", breaker) as pixels:
        read = await pixels.inspect(*upload)
        assert [part["failure"] for part in read] == [None] * 4
        process = servers.pid("pixels")
        monkeypatch.setattr(Pixels, "patience_s", 1.0)
        with standing(readers(process)):
            slow = asyncio.create_task(pixels.inspect(*upload))
            await asyncio.sleep(2.5)  # longer than anybody waits without asking
            assert not slow.done()
        assert await slow == read
        with standing([process]):
            async with asyncio.timeout(LIMIT_S):
                for _ in range(FAILURES):
                    with pytest.raises(DependencyError):
                        await pixels.inspect(*upload)
            monkeypatch.setattr(Pixels, "patience_s", 600.0)
            async with asyncio.timeout(LIMIT_S):
                for _ in range(20):
                    with pytest.raises(DependencyError):
                        await pixels.inspect(*upload)
        monkeypatch.setattr(Pixels, "patience_s", 5.0)
        await closed_again(lambda: pixels.inspect(*upload))
