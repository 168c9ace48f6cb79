"""A worker process as in production, with a few jobs of its own that can be watched and stopped in the
middle.

They leave lines in a file: what started, what ended. `nap` works until a file named "go" appears.
"""

import asyncio
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from subscriptions import catalogue, jobs, worker
from subscriptions.errors import InputChangedError, QueueUnavailableError

HERE = Path(os.environ["TEST_DIR"])


def _say(text: str) -> None:
    with (HERE / "said").open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


async def nap(subject: str, *, clients: Any) -> None:
    _say(f"start {subject} {os.getpid()}")
    while not (HERE / "go").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.02)
    clients.check()
    _say(f"end {subject}")


async def fail_permanently(subject: str, *, clients: Any) -> None:
    _say(f"start {subject}")
    raise InputChangedError


async def fail_temporarily(subject: str, *, clients: Any) -> None:
    _say(f"start {subject}")
    if not (HERE / "go").exists():
        raise QueueUnavailableError


async def fail_oddly(subject: str, *, clients: Any) -> None:
    _say(f"start {subject}")
    raise ValueError("시험^환자 must not be stored or logged")


async def oversleep(subject: str, *, clients: Any) -> None:
    _say(f"start {subject}")
    await asyncio.sleep(60)


async def be_killed(subject: str, *, clients: Any) -> None:
    _say(f"start {subject}")
    os.kill(os.getpid(), 9)


for function in (nap, fail_permanently, fail_temporarily, fail_oddly, oversleep, be_killed):
    name = function.__name__
    catalogue.JOBS[name] = dataclasses.replace(
        catalogue.JOBS["run_inference"],
        name=name,
        queue="notify",
        arguments=("subject",),
        timeout_s=1 if function is oversleep else 60,
    )
    setattr(jobs, name, function)

if __name__ == "__main__":
    sys.exit(worker.main(["notify"]))
