"""A circuit for each dependency: what has failed several times in a row is not asked for a while.

HAPI's, Redis' and the pixels process' are separate: one that hangs holds up neither callers nor the others.
A circuit opens after `breaker_failures` and lets one try through after `breaker_open_s`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from aiobreaker import CircuitBreaker, CircuitBreakerError
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from facade.errors import HAPITemporaryError
from facade.settings import FacadeSettings

# What says that HAPI as a whole is in trouble; one query that it fails at is not.
_DOWN = (None, 502, 503, 504)
# A code, a key or a ticket: Redis answers in a millisecond or has a problem.
_REDIS_TIMEOUT_S = 2


def of_hapi(settings: FacadeSettings) -> CircuitBreaker:
    """Return HAPI's circuit: time-outs, lost connections and answers of a server in trouble count."""
    return _circuit(
        settings, lambda error: not (isinstance(error, HAPITemporaryError) and error.status in _DOWN)
    )


def of_pixels(settings: FacadeSettings) -> CircuitBreaker:
    """Return the circuit of the pixels process: whatever it raises is a failure."""
    return _circuit(settings)


def redis(settings: FacadeSettings) -> Redis:
    """Return a client of Redis that gives up soon, and at once while the circuit is open."""
    client: Redis = CircuitRedis.from_url(
        settings.redis_url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
    )
    client.circuit = _circuit(settings, lambda error: isinstance(error, ResponseError))  # type: ignore[attr-defined]
    return client


class CircuitRedis(Redis):
    """Redis' client with every command behind the circuit; an open one is a lost connection to the caller."""

    circuit: CircuitBreaker

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command, or raise at once."""
        try:
            return await self.circuit.call_async(super().execute_command, *args, **options)
        except CircuitBreakerError as error:
            raise error.__cause__ or RedisConnectionError("circuit open") from None


def _circuit(settings: FacadeSettings, *exclude: Callable[[BaseException], bool]) -> CircuitBreaker:
    return CircuitBreaker(
        fail_max=settings.breaker_failures,
        timeout_duration=timedelta(seconds=settings.breaker_open_s),
        exclude=list(exclude),
    )
