"""The only HTTP client of Orthanc: its REST interface, as version 1.10.1 really answers.

Orthanc's own DICOMweb is not used: 1.10.1 cannot read HTJ2K there and does not decode percent-encoded
queries. Stored bytes come back unchanged from `/instances/{id}/file`, whatever their transfer syntax. Ids are
checked before they get into a path. Sources: Orthanc Book, REST API; measured on Debian's 1.10.1+dfsg-2.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import httpx
from httpx_aiohttp import AiohttpTransport
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from imaging.errors import OrthancError, OrthancNotFoundError, OrthancTemporaryError, ScratchError
from imaging.frames import INTERNAL_ORTHANC, content_uri, is_orthanc_id

_PIECE = 1 << 20
# The slowest that Orthanc may be with a large file.
_SLOWEST_BYTES_PER_S = 5 << 20
_TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Change:
    """One line of the change feed."""

    sequence: int
    kind: str
    orthanc_id: str


@dataclass(frozen=True)
class Changes:
    """A page of the change feed. `last` is where to go on; `done` when nothing newer is there."""

    items: tuple[Change, ...]
    last: int
    done: bool


@dataclass(frozen=True)
class Origin:
    """How an instance came into Orthanc."""

    protocol: str
    aet: str
    called_aet: str
    address: str


@dataclass(frozen=True)
class Stored:
    """Answer to a store: a duplicate is not written again, what was there stays."""

    orthanc_id: str
    status: Literal["Success", "AlreadyStored"]


class OrthancClient:
    """Async context manager around one connection pool. Every method raises OrthancError or a subclass."""

    def __init__(
        self,
        base_url: str,
        user: str,
        password: str,
        *,
        timeout_s: float = 30,
        connections: int = 8,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Accept-Encoding": "identity"}
        self._timeout_s = timeout_s
        # The transport is called directly: httpx's client doubles the processor time of a small request
        # (2.3 against 1.1 ms, measured), and a study makes thousands.
        self._transport = transport or AiohttpTransport(
            verify=False,  # loopback without TLS; this only saves loading the certificate store
            # Orthanc 1.10.1 hangs up after a second of idleness.
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=0.5),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

    async def changes(self, since: int, limit: int = 500) -> Changes:
        """The change feed after `since`, oldest first."""
        body = await self._json("GET", f"/changes?since={int(since)}&limit={int(limit)}")
        items = tuple(Change(item["Seq"], item["ChangeType"], item["ID"]) for item in body["Changes"])
        return Changes(items, int(body["Last"]), bool(body["Done"]))

    async def tags(self, instance: str) -> dict[str, Any]:
        """The header by tag ("0010,0020"), text in UTF-8 as Orthanc converts it."""
        tags: dict[str, Any] = await self._json("GET", f"/instances/{_checked(instance)}/tags?short")
        return tags

    async def origin(self, instance: str) -> Origin:
        """Which protocol, AE title and address it came by (empty text where Orthanc knows nothing)."""
        body = await self._json("GET", f"/instances/{_checked(instance)}/metadata?expand")
        return Origin(
            protocol=body.get("Origin", ""),
            aet=body.get("RemoteAET", ""),
            called_aet=body.get("CalledAET", ""),
            address=body.get("RemoteIP", ""),
        )

    async def exists(self, instance: str) -> bool:
        """Is this instance stored? (HEAD is answered by 404 always, so a small GET asks.)"""
        try:
            await self._send("GET", f"/instances/{_checked(instance)}")
        except OrthancNotFoundError:
            return False
        return True

    async def file(self, instance: str) -> bytes:
        """The stored PS3.10 file, byte for byte, in memory: for small ones (`fetch`)."""
        return (await self._send("GET", f"/instances/{_checked(instance)}/file")).content

    async def fetch(self, instance: str, file: BinaryIO) -> int:
        """The same into an empty file, a piece at a time; its size."""
        await self._send("GET", f"/instances/{_checked(instance)}/file", into=file)
        file.flush()
        return file.tell()

    async def pieces(self, instance: str) -> AsyncIterator[bytes]:
        """The same as it comes, for an answer that is passed on. What breaks off raises in the middle."""
        request = self._request("GET", f"/instances/{_checked(instance)}/file", self._headers, None)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                _check(response)
                async for piece in response.aiter_raw():
                    yield piece
            finally:
                await response.aclose()
        except (httpx.TransportError, TimeoutError, OSError) as error:
            raise OrthancTemporaryError("Orthanc does not answer.") from error

    async def frame(self, instance: str, number: int) -> bytes:
        """One stored frame as it is encoded; counts from 1."""
        return (await self._send("GET", f"/instances/{_checked(instance)}/frames/{number - 1}/raw")).content

    async def content(self, instance: str, path: str) -> bytes:
        """The value of one element (a path of tags and item numbers, `imaging.frames.is_bulk_path`)."""
        _checked(instance)
        return (await self._send("GET", content_uri(instance, path).removeprefix(INTERNAL_ORTHANC))).content

    async def md5(self, instance: str) -> str:
        """MD5 of the stored file, as Orthanc noted it when it was stored."""
        return (await self._send("GET", f"/instances/{_checked(instance)}/attachments/dicom/md5")).text

    async def store(self, data: bytes) -> Stored:
        """Store one PS3.10 file. What exists already is left alone (`OverwriteInstances` is false)."""
        return _stored(await self._send("POST", "/instances", content=data, media_type="application/dicom"))

    async def store_part(self, path: Path, start: int, length: int) -> Stored:
        """The same for a PS3.10 file that lies within another one; it passes in pieces, whatever its size."""

        async def pieces() -> AsyncIterator[bytes]:
            with await asyncio.to_thread(open, path, "rb") as file:
                file.seek(start)
                left = length
                while left and (piece := await asyncio.to_thread(file.read, min(left, _PIECE))):
                    left -= len(piece)
                    yield piece

        return _stored(
            await self._send("POST", "/instances", content=(pieces, length), media_type="application/dicom")
        )

    async def store_file(self, path: Path) -> Stored:
        """The same for a whole file."""
        return await self.store_part(path, 0, await asyncio.to_thread(_size, path))

    async def delete(self, instance: str) -> None:
        """Delete one instance; that it is gone already is no error."""
        try:
            await self._send("DELETE", f"/instances/{_checked(instance)}")
        except OrthancNotFoundError:
            return

    async def put_modality(self, name: str, aet: str, host: str, port: int) -> None:
        """Allow a modality to C-ECHO and C-STORE (and nothing else)."""
        body = {
            "AET": aet,
            "Host": host,
            "Port": port,
            "AllowEcho": True,
            "AllowStore": True,
            "AllowFind": False,
            "AllowGet": False,
            "AllowMove": False,
        }
        await self._send("PUT", f"/modalities/{_name(name)}", content=json.dumps(body).encode())

    async def delete_modality(self, name: str) -> None:
        """Forget a modality."""
        try:
            await self._send("DELETE", f"/modalities/{_name(name)}")
        except OrthancNotFoundError:
            return

    async def modalities(self) -> dict[str, dict[str, Any]]:
        """The modalities that Orthanc knows, by name."""
        found: dict[str, dict[str, Any]] = await self._json("GET", "/modalities?expand")
        return found

    async def instances(self) -> list[str]:
        """Every stored instance's id (for rebuilding and for checks)."""
        found: list[str] = await self._json("GET", "/instances")
        return found

    async def statistics(self) -> Mapping[str, Any]:
        """Counts and sizes."""
        found: Mapping[str, Any] = await self._json("GET", "/statistics")
        return found

    async def _json(self, method: str, path: str) -> Any:
        return (await self._send(method, path)).json()

    async def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | tuple[Callable[[], AsyncIterator[bytes]], int] | None = None,
        media_type: str = "application/json",
        into: BinaryIO | None = None,
    ) -> httpx.Response:
        headers = self._headers if content is None else {**self._headers, "Content-Type": media_type}
        size = 0
        if isinstance(content, tuple):
            size = content[1]
            headers = {**headers, "Content-Length": str(size)}

        def request() -> httpx.Request:
            # Made anew for each attempt: pieces can be read only once.
            sent = content[0]() if isinstance(content, tuple) else content
            return self._request(method, path, headers, sent, size)

        try:
            response = await self._answer(request, into)
        except (httpx.TransportError, TimeoutError, OSError) as error:
            if isinstance(error, OSError) and error.errno in ScratchError.numbers:
                raise ScratchError("A file could not be read or written.") from error
            raise OrthancTemporaryError("Orthanc does not answer.") from error
        _check(response)
        return response

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | AsyncIterator[bytes] | None,
        size: int = 0,
    ) -> httpx.Request:
        # Orthanc answers a store when it has read, hashed and written all of it.
        patience = self._timeout_s + size / _SLOWEST_BYTES_PER_S
        waits = dict.fromkeys(("connect", "write", "pool"), self._timeout_s) | {"read": patience}
        return httpx.Request(
            method, self._base + path, headers=headers, content=content, extensions={"timeout": waits}
        )

    @retry(
        retry=retry_if_exception_type((httpx.NetworkError, httpx.ProtocolError)),
        stop=stop_after_attempt(3),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    async def _answer(
        self, request: Callable[[], httpx.Request], into: BinaryIO | None = None
    ) -> httpx.Response:
        """The whole answer, its body in the response or in a file.

        Asked again when Orthanc hung up, which it does on an idle connection at any moment: a second GET, PUT
        or DELETE changes nothing, and a second POST of a file is `AlreadyStored`.
        """
        response = await self._transport.handle_async_request(request())
        try:
            if into is None or response.is_error:
                await response.aread()
            else:
                into.seek(0)
                into.truncate()
                async for piece in response.aiter_raw():
                    # Page cache takes a piece faster than a thread is switched to.
                    into.write(piece)
        finally:
            await response.aclose()
        return response


def _check(response: httpx.Response) -> None:
    if response.status_code == 404:
        raise OrthancNotFoundError("Orthanc does not have it.")
    if response.status_code in _TEMPORARY:
        raise OrthancTemporaryError(f"Orthanc answered {response.status_code}.")
    if response.is_error:
        raise OrthancError(f"Orthanc answered {response.status_code}.")


def _size(path: Path) -> int:
    return path.stat().st_size


def _stored(response: httpx.Response) -> Stored:
    body = response.json()
    if not isinstance(body, dict) or body.get("Status") not in ("Success", "AlreadyStored"):
        raise OrthancError("Orthanc did not say what it stored.")
    return Stored(_checked(body["ID"]), body["Status"])


def _checked(instance: str) -> str:
    if not is_orthanc_id(instance):
        raise OrthancError("Not an Orthanc identifier.")
    return instance


def _name(name: str) -> str:
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise OrthancError("A modality's name has letters, digits, - and _ only.")
    return name
