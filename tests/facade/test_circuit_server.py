"""What hangs (SIGSTOP) is asked no more for a while, each system by itself: Redis and the pixels process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiobreaker import CircuitBreaker
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from facade import circuit
from facade.errors import DependencyError
from facade.pixels import Pixels
from facade.settings import FacadeSettings
from tests.facade.world import settings_of
from tests.servers.stack import wait_for

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
            process.send_signal(signal.SIGCONT)
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
        server.send_signal(signal.SIGSTOP)
        for _ in range(FAILURES):
            with pytest.raises(RedisError):
                await redis.set("a", "b")
        # Nobody waits now, however long Redis would be given.
        redis.connection_pool.connection_kwargs["socket_timeout"] = None
        async with asyncio.timeout(LIMIT_S):
            answers = await asyncio.gather(*(redis.set("a", "b") for _ in range(20)), return_exceptions=True)
        assert all(isinstance(answer, RedisConnectionError) for answer in answers)
        server.send_signal(signal.SIGCONT)
        await closed_again(lambda: redis.set("a", "b"))
        assert await redis.get("a") == b"b"


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[tuple[Path, asyncio.subprocess.Process]]:
    """A process that answers as pixels does, each upload after longer than Pixels is patient."""
    path = tmp_path / "pixels.sock"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.facade.test_circuit_server", path
    )
    wait_for(lambda: _answers(path), "the pixels process")
    yield path, child
    child.send_signal(signal.SIGCONT)
    child.kill()
    await child.wait()


async def test_a_slow_upload_is_waited_for_and_a_hung_process_is_not(
    process: tuple[Path, asyncio.subprocess.Process],
    settings: FacadeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, child = process
    monkeypatch.setattr(Pixels, "patience_s", 0.3)
    breaker: CircuitBreaker = circuit.of_pixels(settings)
    async with Pixels(path, breaker) as pixels:
        assert await pixels.inspect("a.stow", "x") == [{"slow": 1}]
        child.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(LIMIT_S):
            for _ in range(FAILURES):
                with pytest.raises(DependencyError):
                    await pixels.inspect("a.stow", "x")
        monkeypatch.setattr(Pixels, "patience_s", 600.0)
        async with asyncio.timeout(LIMIT_S):
            for _ in range(20):
                with pytest.raises(DependencyError):
                    await pixels.inspect("a.stow", "x")
        os.kill(child.pid, signal.SIGCONT)
        await closed_again(lambda: pixels.inspect("a.stow", "x"))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return path.exists() and client.connect_ex(str(path)) == 0


async def _slow(_: Request) -> Response:
    await asyncio.sleep(1)  # longer than a patient caller waits without asking
    return JSONResponse({"parts": [{"slow": 1}]})


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


if __name__ == "__main__":
    routes = [Route("/stow/inspect", _slow, methods=["POST"]), Route("/health", _health)]
    uvicorn.run(Starlette(routes=routes), uds=sys.argv[1], log_level="error")
