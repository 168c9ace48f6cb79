"""Bodies of requests: how large, in which format, and read once.

Sources: FHIR R4 http.html#mime-type; RFC 9110 section 8.3.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from facade import exact, json_patch
from facade.errors import BadRequestError, BodyTooLargeError, InvalidResourceError, MediaTypeError
from facade.request import JSON_FORMATS

FORM = "application/x-www-form-urlencoded"


async def read(request: Request, limit: int) -> bytes:
    """Return the body, or raise BodyTooLargeError as soon as it is known to be over the limit."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLargeError()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BodyTooLargeError()
        parts.append(part)
    return b"".join(parts)


async def form(request: Request, limit: int) -> bytes:
    """Return the form body of a `_search`."""
    text = await read(request, limit)
    if text and _media_type(request) != FORM:
        raise MediaTypeError()
    return text


async def resource(request: Request, limit: int, type_: str | None) -> dict[str, Any]:
    """Return the resource in the body; `type_` is what its resourceType has to be."""
    if _media_type(request) not in JSON_FORMATS or request.headers.get("content-encoding"):
        raise MediaTypeError()
    text = await read(request, limit)
    if not text:
        raise BadRequestError("there is no body")
    body = exact.loads_strict(text)
    if type_ is not None and body.get("resourceType") != type_:
        raise InvalidResourceError("resourceType is not the type of the address", expression="resourceType")
    return body


async def patch(request: Request, limit: int) -> json_patch.Patch:
    """Return the JSON Patch in the body; every other kind of patch is refused."""
    if _media_type(request) != json_patch.MEDIA_TYPE or request.headers.get("content-encoding"):
        raise MediaTypeError()
    return json_patch.read(await read(request, limit))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
