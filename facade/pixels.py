"""Clients of the product's own processes: `pixels` on its unix socket, and the receiver that wakes ingest.

An upload of thousands of instances takes minutes, so a time-out cannot tell a busy process from one that
hangs: while an answer is waited for, the process is asked whether it lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from aiobreaker import CircuitBreaker, CircuitBreakerError

from facade.errors import BadRequestError, DependencyError, NotAcceptableError

_LOG = logging.getLogger(__name__)
# One upload may hold thousands of instances; each is read and stored.
_TIMEOUT = httpx.Timeout(600, connect=5)


class Pixels:
    """The pixels process. An async context manager; a connection on a unix socket costs next to nothing."""

    patience_s = 5.0
    """How long nothing is asked, and how long the process then has to say that it lives."""

    def __init__(
        self, socket: Path, circuit: CircuitBreaker, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`circuit` is the one of all callers of this facade process."""
        self._circuit = circuit
        self._client = httpx.AsyncClient(
            base_url="http://pixels",
            # Without TLS: not to load the certificate authorities saves 20 ms of the event loop.
            transport=transport or httpx.AsyncHTTPTransport(uds=str(socket), verify=False),
            timeout=_TIMEOUT,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def inspect(self, name: str, content_type: str) -> list[dict[str, Any]]:
        """What lies in each part of a spooled upload. BadRequestError if it is not complete multipart."""
        return await self._parts("/stow/inspect", {"name": name, "content_type": content_type})

    async def store(
        self, name: str, parts: Sequence[dict[str, int]], about: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Store these parts of it; `about` says who sent them."""
        return await self._parts("/stow/store", {"name": name, "parts": list(parts), **about})

    async def instances(
        self, wanted: Sequence[tuple[str, str, bool]], form: str
    ) -> tuple[str, AsyncIterator[bytes]]:
        """Whole instances, bare or in an envelope: the media type and the body as it comes.

        NotAcceptableError if the only one cannot be decoded.

        :param wanted: Orthanc id, stored transfer syntax, and whether it is to be decoded to Explicit VR
            Little Endian
        """
        return await self._streamed("/instances", {"instances": list(wanted), "form": form})

    async def rendered(
        self, pictures: Sequence[tuple[str, int]], display: str, form: str
    ) -> tuple[str, AsyncIterator[bytes]]:
        """Frames (Orthanc id, number) as pictures, as `display` says, bare or in an envelope.

        NotAcceptableError if the first of them cannot be shown.
        """
        return await self._streamed(
            "/rendered", {"pictures": list(pictures), "display": display, "form": form}
        )

    async def _streamed(self, path: str, body: dict[str, Any]) -> tuple[str, AsyncIterator[bytes]]:
        request = self._client.build_request("POST", path, json=body)
        response = await self._answer(lambda: self._client.send(request, stream=True))
        if response.status_code != 200:
            await response.aclose()
            raise NotAcceptableError("pixels") if response.status_code == 406 else DependencyError("pixels")

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in response.aiter_raw():
                    yield chunk
            finally:
                await response.aclose()

        return response.headers["content-type"], chunks()

    async def _parts(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        response = await self._answer(lambda: self._client.post(path, json=body))
        if response.status_code == 400:
            raise BadRequestError("multipart/related")
        if response.status_code != 200:
            raise DependencyError("pixels")
        parts: list[dict[str, Any]] = response.json()["parts"]
        return parts

    async def _answer(self, ask: Callable[[], Coroutine[Any, Any, httpx.Response]]) -> httpx.Response:
        """Return the answer of a process that lives; DependencyError at once while the circuit is open."""
        try:
            response: httpx.Response = await self._circuit.call_async(self._watched, ask)
        except (CircuitBreakerError, httpx.TransportError, TimeoutError):
            raise DependencyError("pixels") from None
        return response

    async def _watched(self, ask: Callable[[], Coroutine[Any, Any, httpx.Response]]) -> httpx.Response:
        task = asyncio.create_task(ask())
        try:
            while not (await asyncio.wait({task}, timeout=self.patience_s))[0]:
                async with asyncio.timeout(self.patience_s):
                    await self._client.get("/health")  # whatever it says, it says something
            return await task
        finally:
            task.cancel()


async def wake_ingest(
    receiver_url: str, secret: str, *, transport: httpx.AsyncBaseTransport | None = None
) -> None:
    """Tell ingest that something new lies in Orthanc. It looks by itself too, so a failure is logged only."""
    through = transport or httpx.AsyncHTTPTransport(verify=False)  # loopback without TLS, as above
    try:
        async with httpx.AsyncClient(timeout=2, transport=through, trust_env=False) as client:
            response = await client.post(f"{receiver_url}/wake", headers={"X-NeuroNova-Secret": secret})
            response.raise_for_status()
    except httpx.HTTPError as error:
        _LOG.warning("ingest was not woken", extra={"error": type(error).__name__})
