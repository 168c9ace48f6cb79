"""The only HTTP client of HAPI: pool, time-outs, conditional create, transactions, paging.

httpx's API on an aiohttp transport that is called directly: httpx's own pool loses throughput as connections
grow (537 requests/s at one connection, 325 at 16; this way 1,345 and 2,050, before a static upstream).
HAPI's behaviour that shapes this file: a stale If-Match is 409, a lost race of conditional creates is 409 and
may be tried again, `_offset` searches are stateless and 2.5 to 3 times faster, diagnostics carry SQL.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
import orjson
from aiobreaker import CircuitBreaker, CircuitBreakerError
from aiobreaker.state import CircuitBreakerState
from httpx_aiohttp import AiohttpTransport
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from facade import exact as exact_json
from facade import log
from facade.errors import (
    HAPIConflictError,
    HAPIError,
    HAPIGoneError,
    HAPINotFoundError,
    HAPIPermanentError,
    HAPITemporaryError,
)

FHIR_JSON = "application/fhir+json"
REQUEST_SOURCE = "urn:neuronova:request:"
"""Prefix of meta.source: the request that wrote a version."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}", re.ASCII)
_LOST_RACE = "HAPI-0826"
"""Two wrote the same row at once."""
_LEADING_CODES = re.compile(r"(?:HAPI-\d{4}: ?)+")
# Above this a search goes as a POST with a form body; Tomcat takes 8 kB of header.
_LONG_QUERY = 4000
# Left readable: these have no meaning of their own inside a query value.
_KEEP = ":/,|"

_T = TypeVar("_T")
Resource = dict[str, Any]
Params = Sequence[tuple[str, str]]


class HAPIClient:
    """HAPI, as one async context manager for each process."""

    def __init__(
        self,
        base_url: str,
        secret: str,
        *,
        timeout_s: float = 10,
        connections: int = 50,
        transport: httpx.AsyncBaseTransport | None = None,
        breaker: CircuitBreaker | None = None,
        answer_max_bytes: int = 64 * 1024**2,
        exact: bool = False,
    ) -> None:
        """Nothing is opened before the first call; `transport` is for tests.

        `exact`: decimals are read as Decimal, so that what is stored again keeps its digits.
        """
        self._base = base_url.rstrip("/")
        self._secret = secret
        self._timeout_s = timeout_s
        self._transport = transport or AiohttpTransport(
            verify=False,  # loopback without TLS; this only saves loading the certificate store
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=5.0),
        )
        self._breaker = breaker
        self._answer_max_bytes = answer_max_bytes
        self._exact = exact

    async def __aenter__(self) -> Self:
        """Open nothing yet: the pool opens by itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pool."""
        await self._transport.aclose()

    def check(self) -> None:
        """Raise HAPITemporaryError while the circuit is open, for what nginx would fetch by itself."""
        if self._breaker is not None and self._breaker.current_state == CircuitBreakerState.OPEN:
            raise HAPITemporaryError("circuit open")

    async def read(self, type_: str, id_: str) -> Resource:
        """Return the current version; raise HAPINotFoundError or HAPIGoneError."""
        return self._body(_checked(await self.send("GET", _path(type_, id_))))

    async def vread(self, type_: str, id_: str, version: str) -> Resource:
        """Return one version."""
        return self._body(_checked(await self.send("GET", f"{_path(type_, id_)}/_history/{_safe(version)}")))

    async def search(self, type_: str, params: Params, *, count: int = 50, offset: int = 0) -> Resource:
        """Return one page as a Bundle; `_offset`, `_count`, `_sort=_id` are added where missing."""
        given = {name for name, _ in params}
        added = [("_offset", str(offset)), ("_count", str(count)), ("_sort", "_id")]
        query = [*params, *(pair for pair in added if pair[0] not in given)]
        encoded = encode(query)
        if len(encoded) <= _LONG_QUERY:
            return self._body(_checked(await self.send("GET", f"{_type(type_)}?{encoded}")))
        return self._body(
            _checked(
                await self.send(
                    "POST",
                    f"{_type(type_)}/_search",
                    content=encoded.encode(),
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                )
            )
        )

    async def search_all(
        self, type_: str, params: Params, *, page: int = 200, included: list[Resource] | None = None
    ) -> AsyncIterator[Resource]:
        """Yield every match, page after page; order by `_id` unless `params` says otherwise.

        What an `_include` adds to a page goes to `included` before the page's matches are given out.
        """
        offset = 0
        while True:
            bundle = await self.search(type_, params, count=page, offset=offset)
            entries = bundle.get("entry", [])
            if included is not None:
                added = [entry for entry in entries if entry.get("search", {}).get("mode") == "include"]
                included += [entry["resource"] for entry in added]
                entries = [entry for entry in entries if entry not in added]
            for entry in entries:
                if "resource" in entry:
                    yield entry["resource"]
            matches = sum(1 for e in entries if e.get("search", {}).get("mode", "match") == "match")
            if matches < page:
                return
            offset += page

    async def create(self, resource: Resource, *, if_none_exist: str | None = None) -> Resource:
        """Store a new resource and return it; with `if_none_exist` the one that is already there, if any."""
        return (await self.create_or_find(resource, if_none_exist=if_none_exist))[0]

    async def create_or_find(
        self, resource: Resource, *, if_none_exist: str | None = None
    ) -> tuple[Resource, bool]:
        """Do the same, and say whether it is new."""
        headers = {"If-None-Exist": if_none_exist} if if_none_exist else {}

        async def once() -> tuple[Resource, bool]:
            path = _type(resource["resourceType"])
            response = _checked(await self.send("POST", path, json=_traced(resource), headers=headers))
            return self._body(response), response.status_code == 201

        return await _retried(once) if if_none_exist else await once()

    async def update(self, resource: Resource, *, if_match: str | None = None) -> Resource:
        """Store the next version; `if_match` is the version it replaces (stale: HAPIConflictError)."""
        headers = {"If-Match": f'W/"{if_match}"'} if if_match else {}
        path = _path(resource["resourceType"], resource["id"])
        return self._body(_checked(await self.send("PUT", path, json=_traced(resource), headers=headers)))

    async def delete(self, type_: str, id_: str) -> None:
        """Delete; what is gone already stays gone. HAPI ignores If-Match here, so callers compare first.

        A lost race is tried again: HAPI's own message to its Subscriptions is in the way of a deletion right
        after the write (409 in 6 of 300 tries).
        """

        async def once() -> None:
            _checked(await self.send("DELETE", _path(type_, id_)))

        try:
            await _retried(once, _LOST_RACE)  # what others refer to is refused without a code
        except (HAPINotFoundError, HAPIGoneError):
            return

    async def transaction(self, bundle: Resource) -> Resource:
        """Run a transaction (or batch) Bundle; a lost race is tried again, a stale `ifMatch` is not."""
        entries = [
            {**entry, "resource": _traced(entry["resource"])} if "resource" in entry else entry
            for entry in bundle.get("entry", [])
        ]
        traced = {**bundle, "entry": entries} if entries else bundle

        async def once() -> Resource:
            return self._body(_checked(await self.send("POST", "", json=traced)))

        return await _retried(once)

    async def history(self, type_: str | None, params: Params) -> Resource:
        """Return one page of the history of a type, or of everything."""
        return await self._history(f"{_type(type_)}/_history" if type_ else "_history", params)

    async def instance_history(self, type_: str, id_: str, params: Params) -> Resource:
        """Return one page of the history of one resource."""
        return await self._history(f"{_path(type_, id_)}/_history", params)

    async def _history(self, path: str, params: Params) -> Resource:
        return self._body(_checked(await self.send("GET", path, params=params)))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Params = (),
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request built from checked values; raise HAPITemporaryError or return HAPI's answer."""
        if self._breaker is None:
            return await self._send(method, path, params, json, content, headers or {})
        try:
            response: httpx.Response = await self._breaker.call_async(
                self._send, method, path, params, json, content, headers or {}
            )
        except CircuitBreakerError as error:
            # The call that opens the circuit carries the real failure as its cause.
            if isinstance(error.__cause__, HAPITemporaryError):
                raise error.__cause__ from None
            raise HAPITemporaryError("circuit open") from None
        return response

    async def _send(
        self,
        method: str,
        path: str,
        params: Params,
        json: Any,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        sent = {"Accept": FHIR_JSON, "Accept-Encoding": "identity", "X-NeuroNova-Secret": self._secret}
        if (request_id := log.request_id.get()) is not None:
            sent["X-Request-ID"] = request_id
        if json is not None:
            content = exact_json.dumps(json)
            sent |= {"Content-Type": FHIR_JSON, "Prefer": "return=representation"}
        sent.update(headers)
        url = f"{self._base}/{path}" if path else self._base
        if params:
            url = f"{url}?{encode(params)}"
        request = httpx.Request(
            method,
            url,
            headers=sent,
            content=content,
            extensions={
                "timeout": {
                    "connect": self._timeout_s,
                    "read": self._timeout_s,
                    "write": self._timeout_s,
                    "pool": self._timeout_s,
                }
            },
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._read(await self._transport.handle_async_request(request))
        except (httpx.TransportError, TimeoutError, OSError) as error:
            raise HAPITemporaryError(type(error).__name__) from None
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise HAPITemporaryError(f"HAPI answered {response.status_code}", status=response.status_code)
        return response

    async def _read(self, response: httpx.Response) -> httpx.Response:
        """Return the response with its body, or raise as soon as the body is known to be over the limit."""
        parts, size = [], 0
        try:
            async for part in _parts(response):
                size += len(part)
                if size > self._answer_max_bytes:
                    raise HAPITemporaryError("answer over the limit", status=507)
                parts.append(part)
        finally:
            await response.aclose()
        return httpx.Response(response.status_code, headers=response.headers, content=b"".join(parts))

    def _body(self, response: httpx.Response) -> Resource:
        try:
            body = exact_json.loads(response.content) if self._exact else orjson.loads(response.content)
        except ValueError:
            raise HAPIError("HAPI's answer is not JSON") from None
        if not isinstance(body, dict):
            raise HAPIError("HAPI's answer is not a resource")
        return body


async def _parts(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.is_stream_consumed:  # a transport that answers from memory
        yield response.content
        return
    async for part in response.aiter_raw():
        yield part


def _traced(resource: Resource) -> Resource:
    """The resource with the request id in meta.source, so that whoever is notified of it can go on under it.

    HAPI itself keeps 16 characters of X-Request-ID; a new source alone makes no new version (measured).
    """
    request_id = log.request_id.get()
    if request_id is None:
        return resource
    return {**resource, "meta": {**resource.get("meta", {}), "source": f"{REQUEST_SOURCE}{request_id}"}}


def encode(params: Params) -> str:
    """Return a query string; what a server could read in two ways is percent-encoded."""
    return urlencode(list(params), quote_via=quote, safe=_KEEP)


def error_of(response: httpx.Response) -> HAPIPermanentError | None:
    """Return what a 4xx means, None for success."""
    status = response.status_code
    if status < 400:
        return None
    kinds = {404: HAPINotFoundError, 410: HAPIGoneError, 409: HAPIConflictError, 412: HAPIConflictError}
    return kinds.get(status, HAPIPermanentError)(status, _hapi_code(response.content))


def _hapi_code(body: bytes) -> str | None:
    """Return the innermost code of the diagnostics: `HAPI-0550: HAPI-0989: ...` is HAPI-0989."""
    found = _LEADING_CODES.search(body[:4000].decode("utf-8", "replace"))
    return re.findall(r"HAPI-\d{4}", found.group())[-1] if found else None


def _checked(response: httpx.Response) -> httpx.Response:
    error = error_of(response)
    if error is not None:
        raise error
    return response


async def _retried(once: Callable[[], Awaitable[_T]], code: str | None = None) -> _T:
    """Run `once` again after a lost race (a conflict with this code); HAPI leaves nothing half done."""

    def lost_race(error: BaseException) -> bool:
        if not isinstance(error, HAPIConflictError) or error.status != 409:
            return False
        return error.hapi_code == code if code else not error.is_stale

    retrying = AsyncRetrying(
        retry=retry_if_exception(lost_race),
        stop=stop_after_attempt(6),
        wait=wait_random_exponential(multiplier=0.05, max=0.5),
        reraise=True,
    )
    return await retrying(once)


def _type(type_: str) -> str:
    if not _TYPE.fullmatch(type_):
        raise HAPINotFoundError(404)
    return type_


def _safe(value: str) -> str:
    if not _ID.fullmatch(value) or value in (".", ".."):
        raise HAPINotFoundError(404)
    return value


def _path(type_: str, id_: str) -> str:
    return f"{_type(type_)}/{_safe(id_)}"
