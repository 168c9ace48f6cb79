"""How much may be asked at a time: requests in flight (load shedding) and requests of one principal (rates).

Two bounds with different aims. `Load` protects the product: when a system behind it is slow, requests pile up
here, and beyond a bound they are told to come back instead of waiting. FHIR and DICOMweb count apart, login
and health are never counted, so a slow store cannot take the viewer or the login with it. `Rates` protects
everybody else from one caller: per principal, so that a hospital behind one address is not one caller.
Sources: RFC 9110 section 15.6.4 and 10.2.3 (503, Retry-After); draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from facade.errors import BusyError
from facade.outcome import response

_GROUPS = ("/fhir", "/dicom-web", "/viewer")
# Answered from memory, and needed by whoever wants to find out what is wrong.
_OPEN = ("/fhir/metadata", "/fhir/.well-known/smart-configuration")
_MOST_KEPT = 10_000


class Load:
    """ASGI middleware: at most `most` requests of a group at a time, the next ones are 503; 0: no bound."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        """`app` is everything behind it."""
        self.app = app
        self._most = most
        self._in_flight = dict.fromkeys(_GROUPS, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, or refuse."""
        group = _group(scope)
        if group is None or not self._most:
            await self.app(scope, receive, send)
            return
        if self._in_flight[group] >= self._most:
            language = dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1")
            await response(BusyError(), language)(scope, receive, send)
            return
        self._in_flight[group] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._in_flight[group] -= 1


def _group(scope: Scope) -> str | None:
    path = scope["path"] if scope["type"] == "http" else ""
    if path in _OPEN:
        return None
    return next((group for group in _GROUPS if path == group or path.startswith(f"{group}/")), None)


@dataclass(frozen=True)
class Share:
    """What is left of a principal's rate after a request."""

    policy: str
    per_second: int
    burst: int
    left: int
    reset_s: int
    is_over: bool
    is_first: bool = False
    """The first refusal since the last request that was let through: this one goes on record."""

    def headers(self) -> dict[str, str]:
        """As the draft writes it: the quota and its window, and what remains of it."""
        window = max(1, math.ceil(self.burst / self.per_second))
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.burst};w={window}',
            "RateLimit": f'"{self.policy}";r={self.left};t={self.reset_s}',
        }


class Rates:
    """A bucket for each principal: `per_second` on the long run, two seconds' worth at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is kept longer than it takes to fill up again."""
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float, bool]] = OrderedDict()

    def take(self, policy: str, key: str, per_second: int) -> Share:
        """Count one request of `key`."""
        burst = 2 * per_second
        now = self._clock()
        left, at, was_over = self._buckets.pop((policy, key), (float(burst), now, False))
        left = min(float(burst), left + (now - at) * per_second)
        is_over = left < 1
        left = left if is_over else left - 1
        self._buckets[policy, key] = (left, now, is_over)
        while len(self._buckets) > _MOST_KEPT:
            self._buckets.popitem(last=False)
        # Until the next request may come, or until the bucket is full.
        reset = (1 - left) / per_second if is_over else (burst - left) / per_second
        return Share(
            policy, per_second, burst, int(left), math.ceil(reset), is_over, is_over and not was_over
        )
