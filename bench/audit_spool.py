"""Durable audit records: files with group commit against a Redis stream with `appendfsync always`.

`python -m bench.audit_spool [FOLDER]` runs both on the same disk, side by side in rounds, for 1, 8 and 64
concurrent writers, and prints median figures. Redis gets a socket and a data folder of its own; the record is
a typical one. Either way a write returns when the record is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import redis.asyncio

from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool, encode

WRITERS = (1, 8, 64)
ROUNDS = 5
WRITES = 1500
EVENT = audit_event(
    interaction="read",
    action="R",
    who=Who("Practitioner/d1", "doctor", "viewer", "0f" * 16, "127.0.0.1"),
    patient="Patient/p1",
    what=["ImagingStudy/s1"],
    request_id="ab" * 16,
    passed=True,
)

Write = Callable[[], Awaitable[object]]


async def measure(write: Write, writers: int) -> tuple[float, float, float]:
    """p50 and p99 in milliseconds, and writes a second."""
    times: list[float] = []

    async def one() -> None:
        for _ in range(WRITES // writers):
            begin = time.perf_counter()
            await write()
            times.append((time.perf_counter() - begin) * 1000)

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(writers)))
    took = time.perf_counter() - begin
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)], len(times) / took


async def compare(folder: Path) -> None:
    """Print the table; Redis listens on `redis.sock` in `folder`."""
    spool = Spool(folder / "spool", "bench")
    client = redis.asyncio.Redis(unix_socket_path=str(folder / "redis.sock"), max_connections=128)
    try:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
                    if await client.ping():
                        break
                await asyncio.sleep(0.05)
        ways: dict[str, Write] = {
            "file, group commit": lambda: spool.write(EVENT),
            "Redis stream": lambda: client.xadd("audit", {"r": encode(EVENT, time.time())}),
        }
        print(f"{len(encode(EVENT, 0.0))} bytes a record, median of {ROUNDS} rounds of {WRITES} writes")
        print(f"{'writers':>8}  {'way':<20}{'p50 ms':>9}{'p99 ms':>9}{'writes/s':>10}")
        for writers in WRITERS:
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, write in ways.items():
                    found[name].append(await measure(write, writers))
            for name, rounds in found.items():
                p50, p99, rate = (median(one[index] for one in rounds) for index in range(3))
                print(f"{writers:>8}  {name:<20}{p50:>9.3f}{p99:>9.3f}{rate:>10.0f}")
    finally:
        spool.close()
        await client.aclose()


def main() -> None:
    """Run in a folder of the disk that matters (default: the working folder's)."""
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()
    with tempfile.TemporaryDirectory(dir=where, prefix=".audit-bench-") as folder:
        server = subprocess.Popen(
            [
                *("redis-server", "--port", "0", "--unixsocket", f"{folder}/redis.sock", "--dir", folder),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            asyncio.run(compare(Path(folder)))
        finally:
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    main()
