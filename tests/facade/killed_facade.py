"""A second facade process that ends by kill -9 between two of its steps: `python -m ... '{settings}'`.

Whatever is asked of HAPI, of Redis or of the spool is a step; the process is killed before or after the one
with the number that stdin names (`NUMBER SOCKET`). What lies between two steps changes nothing outside. For
each line the process forks, so that the modules are loaded once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from facade import idempotency
from facade.app import create_app
from facade.audit.spool import Spool
from facade.hapi import HAPIClient
from smart_auth import key_ring
from smart_auth.keys import Keys
from tests.facade.world import settings_of
from tests.smart_auth.flow import settings_for
from tests.smart_auth.quick import ReadOnce


class Steps:
    """Counts while a request is answered, and kills at the number."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0
        self.counts = False

    def step(self) -> None:
        """One more moment at which the process may end."""
        if self.counts:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str) -> None:
        """Make two steps of a method: before it and after it."""
        inner: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def outer(*args: Any, **options: Any) -> Any:
            self.step()
            answer = await inner(*args, **options)
            self.step()
            return answer

        setattr(owner, name, outer)


def serve(given: dict[str, Any], last: int, socket: str) -> None:
    """Answer on the socket until killed."""
    steps = Steps(last)
    steps.around(HAPIClient, "_send")
    steps.around(Redis, "execute_command")
    steps.around(Spool, "write")
    directory = Path(given["directory"])
    settings = settings_of(
        directory,
        hapi_url=given["hapi_url"],
        hapi_secret=given["hapi_secret"],
        spool_dir=Path(given["spool_dir"]),
    )
    auth_settings = settings_for(directory, "unix:///unused", keys_dir=Path(given["keys_dir"]))
    redis = Redis.from_url(given["redis_url"], db=given["redis_db"])
    inner: ASGIApp = create_app(settings, auth_settings, redis=redis)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        steps.counts = scope["type"] == "http" and scope["path"].startswith("/fhir/")
        await inner(scope, receive, send)

    uvicorn.run(app, uds=socket, log_level="error")


if __name__ == "__main__":
    idempotency._PENDING_S = 1
    known = json.loads(sys.argv[1])
    key_ring.RSAKey = ReadOnce  # type: ignore[misc]
    Keys(Path(known["keys_dir"]))  # read here, and in no fork
    for line in sys.stdin:
        number, path = line.split()
        if (child := os.fork()) == 0:
            serve(known, int(number), path)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the test ends it by its number
