"""What the forms of WADO-RS share: the row that is asked for, tags, and the ways in which bytes go out.

Sources: PS3.18 10.4; RFC 9110 8.8.3 and 13 (ETag, If-None-Match); nginx X-Accel-Redirect.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from facade.errors import BadRequestError, DependencyError, NotFoundError
from facade.pixels import Pixels
from facade.routes.images import View, view
from imaging.index import InstanceRow

_FRAMES = re.compile(r"[1-9][0-9]{0,5}(,[1-9][0-9]{0,5}){0,499}")
# Stored bytes of one instance may change form (transcoding), and rights may end: ask again each time.
CACHE: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, Cookie"}


async def one_instance(request: Request) -> tuple[View, InstanceRow]:
    """The instance of the address, if the caller may see it and its stored form is certain."""
    params = request.path_params
    seen = await view(request, params["study"])
    row = seen.instance(params["series"], params["instance"])
    check_settled(row)
    return seen, row


def check_header(seen: View) -> None:
    """The header of a stored file may name another patient where an operator said whose the study is.

    Staff may see that; a patient or another hospital gets metadata, frames and pictures of it only.
    """
    if seen.decision.released_only and seen.is_corrected:
        raise NotFoundError


async def asked_rows(request: Request) -> tuple[View, list[InstanceRow]]:
    """The instances of the address of a study, series or instance that the caller may see; never none."""
    params = request.path_params
    seen = await view(request, params["study"])
    if "instance" in params:
        return seen, [seen.instance(params["series"], params["instance"])]
    rows = seen.instances(params.get("series"))
    if not rows:
        raise NotFoundError
    return seen, rows


def check_settled(row: InstanceRow) -> None:
    """While an instance is being replaced its bytes and our label may differ: ask again in a second."""
    if row.in_change:
        raise DependencyError("the instance is being converted")


def frame_numbers(text: str, count: int) -> list[int]:
    """A list of frames (from 1) of an instance that has this many."""
    if not _FRAMES.fullmatch(text):
        raise BadRequestError("frames")
    numbers = [int(number) for number in text.split(",")]
    if any(number > count for number in numbers):
        raise NotFoundError
    return numbers


async def streamed(
    seen: View, ask: Callable[[Pixels], Awaitable[tuple[str, AsyncIterator[bytes]]]], tag: str = ""
) -> Response:
    """What `pixels` answers, passed on as it comes."""
    async with AsyncExitStack() as stack:
        here = seen.gate.services
        pixels = await stack.enter_async_context(Pixels(here.settings.pixels_socket, here.pixels_circuit))
        media_type, body = await ask(pixels)
        still_open = stack.pop_all()

    async def chunks() -> AsyncIterator[bytes]:
        async with still_open:
            async for chunk in body:
                yield chunk

    headers = {**CACHE, **({"ETag": tag} if tag else {})}
    return StreamingResponse(chunks(), media_type=media_type, headers=headers)


def accelerated(uri: str, media_type: str, tag: str) -> Response:
    """An answer whose body nginx fetches."""
    return Response(headers={**CACHE, "X-Accel-Redirect": uri, "Content-Type": media_type, "ETag": tag})


def etag(*parts: str) -> str:
    """The tag of what these parts determine."""
    return f'"{hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Does the client have this already (If-None-Match)?"""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in given.split(",")}


def unchanged(tag: str) -> Response:
    """304; only after the decision and its record."""
    return Response(status_code=304, headers={**CACHE, "ETag": tag})
