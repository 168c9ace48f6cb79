"""`Idempotency-Key` on create: a retry after a lost answer finds the resource that the first try made.

Redis keeps the hash of the body and the Location for a day, nothing of the content; a replay reads again
under present rights. What Redis forgets, the store still knows: the resource carries the key's hash as a tag,
and is created on the condition that none has it.
Source: IETF draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from facade import exact
from facade.errors import BadRequestError, ConflictError, DependencyError, IdempotencyError
from smart_auth.interaction import Principal

_KEY = re.compile(r"[\x21-\x7e]{1,128}")
# Longer than a create can take; after that the first try is known to be over.
_PENDING_S = 60


class Idempotency:
    """The memory of one key of one caller."""

    def __init__(
        self, redis: Redis, principal: Principal, type_: str, key: str, body: Any, keep_s: int
    ) -> None:
        """`body` is hashed as it was parsed, so that white space does not count."""
        if not _KEY.fullmatch(key):
            raise BadRequestError("Idempotency-Key")
        whose = [principal.client_id, principal.user_id or "", type_, key]
        self.tag = hashlib.sha256(orjson.dumps(whose)).hexdigest()
        self._name = f"facade:idempotency:{self.tag}"
        self._hash = hashlib.sha256(exact.dumps(body)).hexdigest()
        self._redis = redis
        self._keep_s = keep_s

    async def begin(self) -> str | None:
        """Return the Location of an earlier try, or None when this one is the first."""
        mine = orjson.dumps({"hash": self._hash})
        try:
            if await self._redis.set(self._name, mine, nx=True, ex=_PENDING_S):
                return None
            stored = await self._redis.get(self._name)
        except RedisError:
            raise DependencyError() from None
        earlier = orjson.loads(stored) if stored else {"hash": self._hash}
        if earlier["hash"] != self._hash:
            raise IdempotencyError()
        if "location" not in earlier:
            raise ConflictError("the first request with this Idempotency-Key is still at work")
        return str(earlier["location"])

    async def done(self, location: str) -> None:
        """Remember where the resource is."""
        kept = orjson.dumps({"hash": self._hash, "location": location})
        try:
            await self._redis.set(self._name, kept, ex=self._keep_s)
        except RedisError:
            raise DependencyError() from None

    async def forget(self) -> None:
        """Let the caller try again: nothing was made."""
        try:
            await self._redis.delete(self._name)
        except RedisError:
            return  # it ends by itself
