"""Two facade processes get the same write at once and one is killed between any two steps: one resource."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis

from facade import idempotency
from tests.facade.world import JSON, World, ids, observation
from tests.servers.stack import Stack, wait_for
from tests.smart_auth.flow import ORIGIN

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]
OTHER = "urn:test:other"
MOST_STEPS = 40
RACES = 5
"""Rounds in which nobody is killed any more: both processes are at it to the end."""


class Second:
    """Starts facade processes that end at a step."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory
        self._ahead: dict[int, tuple[int, Path]] = {}

    def start(self, step: int) -> tuple[int, Path]:
        """Start the process that ends at this step, if it was not; it takes a second until it answers."""
        if step not in self._ahead:
            socket = self._directory / f"{step}-{uuid4().hex[:8]}.sock"
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{step} {socket}\n")
            self._process.stdin.flush()
            self._ahead[step] = int(self._process.stdout.readline()), socket
        return self._ahead[step]

    async def ready(self, step: int) -> None:
        """Wait until the process takes requests; the next one is started meanwhile."""
        _, socket = self.start(step)
        self.start(step + 1)
        await asyncio.to_thread(wait_for, socket.exists, "the second facade")

    def end(self) -> None:
        """Kill what still runs."""
        for child, _ in self._ahead.values():
            os.kill(child, signal.SIGKILL)
        self._process.kill()

    async def ask(self, step: int, method: str, path: str, **sent: Any) -> httpx.Response | None:
        """One request to a new process; None if it was killed at this step."""
        _, socket = self.start(step)
        try:
            transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False, retries=5)
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, timeout=30) as client:
                return await client.request(method, path, **sent)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            return None
        finally:
            child, _ = self._ahead.pop(step)
            os.kill(child, signal.SIGKILL)


@pytest.fixture
def second(
    world: World, hapi: Stack, redis: Redis, keys_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Second]:
    monkeypatch.setattr(idempotency, "_PENDING_S", 1)
    given = {
        "directory": str(world.services.settings.spool_dir.parent),
        "spool_dir": str(tmp_path / "spool"),
        "keys_dir": str(keys_dir),
        "hapi_url": hapi.hapi_url,
        "hapi_secret": hapi.secrets["hapi-facade"],
        "redis_url": hapi.redis_url,
        "redis_db": redis.connection_pool.connection_kwargs["db"],
    }
    command = [sys.executable, "-m", "tests.facade.killed_facade", json.dumps(given)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        second = Second(process, tmp_path)
        yield second
        second.end()


@pytest.mark.parametrize("way", ["If-None-Exist", "PUT", "Idempotency-Key after"])
async def test_a_write_whose_process_is_killed_at_any_step_makes_one_resource(
    world: World, second: Second, people: dict[str, str], way: str
) -> None:
    way, _, after = way.partition(" ")
    killed = survived = 0
    for step in range(1, MOST_STEPS):
        value = uuid4().hex
        body = observation(people["own"], identifier=[{"system": OTHER, "value": value}])
        criteria = f"identifier={OTHER}|{value}"
        conditions = {
            "If-None-Exist": {"If-None-Exist": criteria},
            "Idempotency-Key": {"Idempotency-Key": value},
        }
        headers = world.tokens["doctor"] | JSON | conditions.get(way, {})
        method, path = ("PUT", f"Observation?{criteria}") if way == "PUT" else ("POST", "Observation")

        async def again() -> httpx.Response:
            return await world.ask("doctor", method, path, json=body, headers=headers)  # noqa: B023

        await second.ready(step)
        asked = [second.ask(step, method, f"/fhir/{path}", json=body, headers=headers)]
        other, *_ = await asyncio.gather(*asked, *([] if after else [again()]))
        async with asyncio.timeout(30):
            while (last := await again()).status_code not in (200, 201):
                assert last.status_code == 409, last.text
                await asyncio.sleep(0.05)
        found = await world.ask("doctor", "GET", f"Observation?{criteria}")
        assert ids(found) == {f"Observation/{last.json()['id']}"}, (way, step)
        if other is not None:
            assert other.status_code in (200, 201, 409), other.text
            survived += 1
            if survived == RACES:
                break
        killed += other is None
    else:
        raise AssertionError("a request has no end of steps")
    assert killed >= 6, "intent, store and outcome, each before and after"
