"""Argon2 off the event loop: few computations at a time, and few that wait for their turn.

Each takes a core for about 0.1 s and 46 MB. A place is taken before anything is counted or looked up, so who
is sent away has not failed, and is sent away the same whether the name is known or not.
Sources: OWASP Denial of Service cheat sheet (bounded queues), RFC 9110 15.6.4 and 10.2.3 (503, Retry-After).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread

from smart_auth.errors import SMARTAuthError

THREADS = 2  # more at once would only starve the request path
PLACES = 50  # the last one waits about two seconds

InPlace = Callable[..., Awaitable[Any]]


class BusyError(SMARTAuthError):
    """More passwords wait to be checked than this process takes; nothing was counted."""

    code = "ERR_015"
    temporary = True
    status = 503
    sentence = "too many people are logging in at this moment"
    retry_after_s = 2


class Hashing:
    """The places of one process."""

    def __init__(self, *, threads: int = THREADS, places: int = PLACES) -> None:
        self._limiter = CapacityLimiter(threads)
        self._free = places

    @contextmanager
    def place(self) -> Iterator[InPlace]:
        """What runs a function that hashes; BusyError when every place is taken."""
        if not self._free:
            raise BusyError
        self._free -= 1
        try:
            yield self._run
        finally:
            self._free += 1

    async def _run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._limiter)
