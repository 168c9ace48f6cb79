"""A real Redis of its own for the queue tests: it may be killed, restarted and emptied without hurting
others.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from subscriptions.lease import Leases
from subscriptions.queue import JobQueue, connect


class RedisProcess:
    """redis-server on a unix socket, with an append-only file so that a restart keeps what it had."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"unix://{directory}/r.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                "redis-server", "--port", "0", "--unixsocket", str(self.directory / "r.sock"),
                "--dir", str(self.directory), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        connection = connect(self.url)
        eventually(lambda: _answers(connection))
        connection.close()

    def kill(self, *, empty: bool = False) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        (self.directory / "r.sock").unlink(missing_ok=True)
        if empty:
            shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)


def _answers(connection: redis.Redis) -> bool:
    try:
        return bool(connection.ping())
    except redis.exceptions.ConnectionError:
        return False


def eventually(condition: Callable[[], object], timeout_s: float = 20) -> object:
    """Wait for a condition; fails with its name when it does not come true."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {timeout_s} s: {condition}"
        time.sleep(0.02)
    return value


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., object]:
    return eventually


@pytest.fixture(scope="session")
def own_redis() -> Iterator[RedisProcess]:
    directory = Path(tempfile.mkdtemp(prefix="nn-redis-"))
    server = RedisProcess(directory)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(directory)


@pytest.fixture
def connection(own_redis: RedisProcess) -> Iterator[redis.Redis]:
    connection = connect(own_redis.url)
    connection.flushall()
    yield connection
    connection.close()


@pytest.fixture
def leases(connection: redis.Redis) -> Leases:
    return Leases(connection, ttl_s=3)


@pytest.fixture
def queue(connection: redis.Redis, leases: Leases) -> JobQueue:
    return JobQueue(connection, leases)
