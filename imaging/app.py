"""The pixels process: checks uploads and answers what needs decoding or packing. ASGI on a unix socket.

Only the facade (POST) and nginx's internal location (GET) reach it; it decides no rights. DICOM is parsed in
children without secrets. Sources: PS3.18 10.4 (retrieve), 10.5 (store), 8.7 (media types).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from imaging import stow
from imaging.child import Children
from imaging.display import MOST_PICTURES, Display
from imaging.errors import (
    ChildDiedError,
    DICOMError,
    ImagingError,
    MultipartError,
    OrthancNotFoundError,
    OrthancTemporaryError,
    ScratchError,
)
from imaging.fetched import fetched, nameless
from imaging.frames import EXPLICIT_LE, frame_media_type, is_orthanc_id
from imaging.index import Index, InstanceRow
from imaging.metadata import metadata_path
from imaging.multipart import closing, part_header
from imaging.orthanc import OrthancClient
from imaging.settings import ImagingSettings

OCTETS = "application/octet-stream"
DICOM = "application/dicom"
PIECE = 1 << 20


@dataclass(frozen=True)
class Services:
    """What the process holds."""

    settings: ImagingSettings
    index: Index
    orthanc: OrthancClient
    children: Children


class State(TypedDict):
    """The lifespan's state."""

    services: Services


def create(settings: ImagingSettings | None = None) -> Starlette:
    """The ASGI application; settings come from the environment unless a test gives them."""
    used = settings or ImagingSettings()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        used.stow_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        stow.forget_stale(used.stow_dir)
        password = used.orthanc_password.get_secret_value()
        async with (
            OrthancClient(used.orthanc_url, used.orthanc_user, password) as orthanc,
            Children(
                used.children, timeout_s=used.child_timeout_s, memory_bytes=used.child_memory_bytes
            ) as children,
        ):
            yield {"services": Services(used, Index(used.data_dir), orthanc, children)}

    return Starlette(
        routes=[
            Route("/stow/inspect", inspect, methods=["POST"]),
            Route("/stow/store", store, methods=["POST"]),
            Route("/instances", instances, methods=["POST"]),
            Route("/rendered", rendered, methods=["POST"]),
            Route("/instances/{oid}/frames/{frames}", frames, methods=["GET"]),
            Route("/instances/{oid}/content/{path}", content, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={ImagingError: _failed},
    )


def _services(request: Request) -> Services:
    return cast(Services, request.state.services)


async def _failed(request: Request, error: Exception) -> Response:
    match error:
        case MultipartError():
            status = 400
        case OrthancNotFoundError():
            status = 404
        case OrthancTemporaryError() | ScratchError():
            status = 503
        case DICOMError() | ChildDiedError():
            status = 406  # it is stored, but cannot be had in this form
        case _:
            status = 500
    code = error.code if isinstance(error, ImagingError) else "imaging"
    return JSONResponse({"code": code, "text": str(error)}, status)


async def inspect(request: Request) -> Response:
    """Step one of an upload."""
    here, body = _services(request), await request.json()
    path = stow.spooled(here.settings.stow_dir, body["name"])
    return JSONResponse({"parts": await stow.inspect(here.children, path, body["content_type"])})


async def store(request: Request) -> Response:
    """Step two: store the parts that the facade let in."""
    here, body = _services(request), await request.json()
    path = stow.spooled(here.settings.stow_dir, body["name"])
    return JSONResponse({"parts": await stow.store(here.index, here.orthanc, here.children, path, body)})


async def frames(request: Request) -> Response:
    """Frames of one instance (`all`, or numbers), bare (`form=single`) or packed; decoded, or as stored in
    syntax `stored`. One at a time, so that many take no more memory than one.
    """
    here = _services(request)
    oid = _oid(request.path_params["oid"])
    form, stored = request.query_params.get("form"), request.query_params.get("stored")
    media_type = frame_media_type(stored or EXPLICIT_LE)
    if (text := request.path_params["frames"]) == "all":
        numbers: Sequence[int] = range(1, _row(here, oid).frames + 1)
    else:
        numbers = [int(number) for number in text.split(",")]

    async def one(number: int) -> bytes:
        if stored is None:
            return await _from_frame(here, oid, number, "frame", {})
        # Nothing is parsed here: the facade knows the syntax from the row.
        return await here.orthanc.frame(oid, number)

    if form == "single":
        return Response(await one(numbers[0]), media_type=media_type)
    return await _packed(media_type, [partial(one, number) for number in numbers])


async def content(request: Request) -> Response:
    """One large value of an instance as multipart/related of one part."""
    here = _services(request)
    oid, path = _oid(request.path_params["oid"]), request.path_params["path"]
    return await _packed(OCTETS, [partial(here.orthanc.content, oid, path)])


async def _packed(media_type: str, parts: Sequence[Callable[[], Awaitable[bytes]]]) -> Response:
    """multipart/related; the first part is made before the answer begins: its error is the answer's."""
    first, mark = await parts[0](), secrets.token_hex(16)

    async def body() -> AsyncIterator[bytes]:
        yield part_header(mark, media_type) + first + b"\r\n"
        for part in parts[1:]:
            yield part_header(mark, media_type) + await part() + b"\r\n"
        yield closing(mark)

    kind = media_type.partition(";")[0]
    return StreamingResponse(body(), media_type=f'multipart/related; type="{kind}"; boundary={mark}')


async def rendered(request: Request) -> Response:
    """Frames as pictures: `{"pictures": [[Orthanc id, frame], ...], "display": …, "form": …}`."""
    here, body = _services(request), await request.json()
    how = Display.from_json(body["display"])
    pictures = [(_oid(oid), int(number)) for oid, number in body["pictures"]]
    if not 0 < len(pictures) <= MOST_PICTURES:
        raise MultipartError("Too many pictures for one answer.")

    async def picture(oid: str, number: int) -> bytes:
        about = {"number": number, "display": how.to_json()}
        return await _from_frame(here, oid, number, "render", about)

    if body["form"] == "single":
        return Response(await picture(*pictures[0]), media_type=how.media_type)
    return await _packed(how.media_type, [partial(picture, *one) for one in pictures])


def _row(here: Services, oid: str) -> InstanceRow:
    row = here.index.by_orthanc_id(oid)
    if row is None:
        raise OrthancNotFoundError("There is no such instance.")
    return row


async def _from_frame(here: Services, oid: str, number: int, task: str, about: dict[str, object]) -> bytes:
    """What a child makes of one stored frame and the header: the file may be far larger than memory."""
    row = await asyncio.to_thread(_row, here, oid)
    if number > row.frames:
        raise OrthancNotFoundError("There is no such frame.")
    path = metadata_path(here.settings.data_dir, row.study_uid, row.series_uid, row.sop_uid)
    header = await asyncio.to_thread(path.read_bytes)
    reply = await here.children.call(
        task, {"syntax": row.transfer_syntax, **about}, header, await here.orthanc.frame(oid, number)
    )
    return reply.parts[0]


async def instances(request: Request) -> Response:
    """Whole instances: `{"instances": [[Orthanc id, stored transfer syntax, decoded], ...], "form": …}`.

    `decoded`: as Explicit VR Little Endian. A single one that cannot be decoded is 406; among several it goes
    out as it is stored, and its part says so.
    """
    here, body = _services(request), await request.json()
    wanted = [(_oid(oid), str(syntax), bool(decoded)) for oid, syntax, decoded in body["instances"]]
    is_single = body["form"] == "single"
    files = [_file(here, *one, strict=len(wanted) == 1) for one in wanted]
    media_type, first = await anext(files[0])  # its error is the answer's
    if is_single:
        return StreamingResponse(_after(first, files[0]), media_type=media_type)
    mark = secrets.token_hex(16)

    async def parts() -> AsyncIterator[bytes]:
        yield part_header(mark, media_type) + first
        async for _, piece in files[0]:
            yield piece
        for file in files[1:]:
            kind, piece = await anext(file)
            yield b"\r\n" + part_header(mark, kind) + piece
            async for _, piece in file:
                yield piece
        yield b"\r\n" + closing(mark)

    return StreamingResponse(parts(), media_type=f'multipart/related; type="{DICOM}"; boundary={mark}')


async def _after(first: bytes, file: AsyncIterator[tuple[str, bytes]]) -> AsyncIterator[bytes]:
    yield first
    async for _, piece in file:
        yield piece


async def _file(
    here: Services, oid: str, syntax: str, decoded: bool, *, strict: bool
) -> AsyncIterator[tuple[str, bytes]]:
    """Media type and pieces of one instance; on disk while it is decoded, nowhere else."""
    if decoded:
        async with fetched(here.orthanc, oid, here.settings.stow_dir) as path:
            with nameless(here.settings.stow_dir) as target:
                try:
                    await here.children.to_explicit(path, target)
                    path, syntax = target, EXPLICIT_LE
                except (DICOMError, ChildDiedError):
                    if strict:
                        raise
                async for piece in _pieces(path):
                    yield _labelled(syntax), piece
        return
    async for piece in here.orthanc.pieces(oid):
        yield _labelled(syntax), piece


def _labelled(syntax: str) -> str:
    return f"{DICOM}; transfer-syntax={syntax}"


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(open, path, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


async def health(request: Request) -> Response:
    """Ready when Orthanc answers."""
    await _services(request).orthanc.statistics()
    return JSONResponse({"status": "ok"})


def _oid(text: str) -> str:
    if not is_orthanc_id(text):
        raise OrthancNotFoundError("Not an Orthanc identifier.")
    return text
