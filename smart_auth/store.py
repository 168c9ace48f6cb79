"""What lives for minutes, in Redis: authorization requests, codes, sessions, tickets, used assertions.

Keys hold SHA-256 of the secret, values are JSON. A Redis that lost its content ends codes and sessions and
gives nothing back: `born` remembers since when it remembers, and older assertions are refused.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from smart_auth.errors import StoreUnavailableError
from smart_auth.secret import digest, new_secret

__all__ = ["Redis", "Store", "connect"]

PREFIX = "smart_auth"


def connect(url: str) -> Redis:
    """A client of the Redis at this address."""
    return Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)


class Store:
    """One-time and short-lived values."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock

    async def put(self, kind: str, value: Mapping[str, Any], *, lifetime_s: int) -> str:
        """Keep a value under a new secret; returns the secret."""
        secret = new_secret()
        await self.put_as(kind, secret, value, lifetime_s=lifetime_s)
        return secret

    async def put_as(self, kind: str, secret: str, value: Mapping[str, Any], *, lifetime_s: int) -> None:
        """Keep a value under a given secret."""
        await self._do(self._redis.set(_key(kind, secret), json.dumps(value), ex=max(1, lifetime_s)))

    async def replace(self, kind: str, secret: str, value: Mapping[str, Any]) -> bool:
        """Change a value that is still there, within its lifetime; False when it is gone."""
        key = _key(kind, secret)
        return bool(await self._do(self._redis.set(key, json.dumps(value), xx=True, keepttl=True)))

    async def get(self, kind: str, secret: str) -> dict[str, Any] | None:
        """Look a value up."""
        return _read(await self._do(self._redis.get(_key(kind, secret))))

    async def take(self, kind: str, secret: str) -> dict[str, Any] | None:
        """Look a value up and remove it: of two who come together one gets it."""
        return _read(await self._do(self._redis.getdel(_key(kind, secret))))

    async def remove(self, kind: str, digest_: str) -> None:
        """Forget the value whose secret has this digest."""
        await self._do(self._redis.delete(f"{PREFIX}:{kind}:{digest_}"))

    async def remove_where(self, kind: str, is_meant: Callable[[dict[str, Any]], bool]) -> int:
        """Forget every value of a kind that is meant; returns how many there were."""
        found, cursor = 0, 0
        while True:
            cursor, keys = await self._do(self._redis.scan(cursor, match=f"{PREFIX}:{kind}:*", count=500))
            for key in keys:
                value = _read(await self._do(self._redis.get(key)))
                if value is not None and is_meant(value):
                    found += int(await self._do(self._redis.delete(key)))
            if cursor == 0:
                return found

    async def use_once(self, kind: str, value: str, *, lifetime_s: int) -> bool:
        """True the first time."""
        return bool(await self._do(self._redis.set(_key(kind, value), "1", nx=True, ex=max(1, lifetime_s))))

    async def count(self, kind: str, value: str, *, lifetime_s: int) -> int:
        """How often this happened since the first time, `lifetime_s` ago at most."""
        key = _key(kind, value)
        await self._do(self._redis.set(key, 0, nx=True, ex=max(1, lifetime_s)))
        return int(await self._do(self._redis.incr(key)))

    async def has(self, kind: str, value: str) -> bool:
        """Whether a mark is there."""
        return bool(await self._do(self._redis.exists(_key(kind, value))))

    async def note(self, list_: str, key: str, value: int, *, lifetime_s: int) -> None:
        """Keep a number under a key of a list; the list lives as long as its newest note."""
        name = f"{PREFIX}:{list_}"
        await self._do(self._redis.hset(name, key, str(value)))
        await self._do(self._redis.expire(name, max(1, lifetime_s)))

    async def noted(self, list_: str) -> dict[str, int]:
        """Every note of a list."""
        found = await self._do(self._redis.hgetall(f"{PREFIX}:{list_}"))
        return {key.decode(): int(value) for key, value in found.items()}

    async def unnote(self, list_: str, *keys: str) -> None:
        """Forget notes."""
        if keys:
            await self._do(self._redis.hdel(f"{PREFIX}:{list_}", *keys))

    async def remembers_since(self) -> int:
        """Since when (seconds, rounded up) this Redis has its content."""
        now = math.ceil(self._clock())
        if await self._do(self._redis.set(f"{PREFIX}:born", now, nx=True)):
            return now
        return int(cast(bytes, await self._do(self._redis.get(f"{PREFIX}:born"))) or now)

    @staticmethod
    async def _do(command: Any) -> Any:
        try:
            return await command
        except (RedisError, OSError) as error:
            raise StoreUnavailableError from error


def _key(kind: str, secret: str) -> str:
    return f"{PREFIX}:{kind}:{digest(secret)}"


def _read(value: Any) -> dict[str, Any] | None:
    return None if value is None else cast(dict[str, Any], json.loads(value))
