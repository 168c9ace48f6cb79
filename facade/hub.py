"""Changes as the workers announce them on Redis, handed to every open WebSocket of this process.

One subscription for the process, made when the first listener comes. Each listener has a bounded queue: who
does not keep up is told so and is closed, and learns on the next connection what it missed. A gap (the
first subscription, Redis gone and back) puts GAP into every queue: then the listener asks HAPI what it
missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from smart_auth.policy import NOTIFIED

log = logging.getLogger(__name__)

CHANNEL: Final = "notifications"
QUEUE: Final = 200  # changes that a listener may be behind
_BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0)
_POLL_S: Final = 1.0
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Change:
    """What a message of the workers says: nothing of the content."""

    type: str
    id: str
    version: str


GAP: Final = "gap"
Item = Change | Literal["gap"]


def parse(data: Any) -> Change | None:
    """The change that a message announces, or None for anything else."""
    try:
        said = orjson.loads(data)
        change = Change(str(said["type"]), str(said["id"]), str(said["version"]))
    except (KeyError, TypeError, ValueError):
        return None
    return change if change.type in NOTIFIED and _ID.fullmatch(change.id) else None


class Listener:
    """One WebSocket's queue."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.queue: asyncio.Queue[Item] = asyncio.Queue(QUEUE)
        self.is_behind = asyncio.Event()

    def put(self, item: Item) -> None:
        """Hand over, or note that this listener does not keep up."""
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            self.is_behind.set()


class Hub:
    """All listeners of one process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None

    def count(self, owner: str) -> int:
        """How many connections somebody has open here."""
        return sum(listener.owner == owner for listener in self._listeners)

    @asynccontextmanager
    async def listener(self, owner: str) -> AsyncIterator[Listener]:
        """A queue for as long as the block runs; it starts with GAP."""
        listener = Listener(owner)
        listener.put(GAP)
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._task is not None:
                task, self._task = self._task, None
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def publish(self, item: Item) -> None:
        """Hand an item to every listener."""
        for listener in self._listeners:
            listener.put(item)

    async def _follow(self) -> None:
        attempt = 0
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=_POLL_S)
                        if message is None:
                            continue
                        if message["type"] == "subscribe":
                            # What was published before this moment may have been missed.
                            self.publish(GAP)
                            attempt = 0
                        elif (change := parse(message["data"])) is not None:
                            self.publish(change)
            except (RedisError, OSError) as error:
                log.warning("notifications wait for Redis", extra={"reason": type(error).__name__})
                await asyncio.sleep(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)])
                attempt += 1
