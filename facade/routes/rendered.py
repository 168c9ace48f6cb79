"""Pictures of stored images: /rendered and /thumbnail of a study, series, instance or frames (WADO-RS).

`pixels` decodes and draws; the bodies are small and pass through here, so that its refusal can be answered.
Sources: PS3.18 8.3.5 (parameters), 8.7.4 (media types), 10.4.1.1.3 and 10.4.1.1.4 (rendered, thumbnail).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from facade.errors import (
    BadRequestError,
    BodyTooLargeError,
    NotAcceptableError,
    UnknownParameterError,
)
from facade.routes import accept
from facade.routes.images import View
from facade.routes.retrieved import (
    asked_rows,
    check_settled,
    etag,
    frame_numbers,
    is_known,
    streamed,
    unchanged,
)
from imaging.display import MOST_PICTURES, MOST_PIXELS, Display, display
from imaging.index import InstanceRow

Picture = tuple[InstanceRow, int]
_PARAMETERS = frozenset({"quality", "viewport", "window"})


async def rendered(request: Request) -> Response:
    """Images as JPEG or PNG: one bare, several as multipart."""
    how = _display(request, thumbnail=False)
    seen, rows = await _rows(request)
    pictures = [(row, number) for row in rows for number in _numbers(request, row)]
    return await _answer(request, seen, pictures, how)


async def thumbnail(request: Request) -> Response:
    """One small picture: the middle image of the first series of what is asked for."""
    how = _display(request, thumbnail=True)
    seen, rows = await _rows(request)
    rows = [row for row in rows if row.series_uid == rows[0].series_uid]
    row = rows[len(rows) // 2]
    numbers = _numbers(request, row)
    return await _answer(request, seen, [(row, numbers[len(numbers) // 2])], how)


async def _rows(request: Request) -> tuple[View, list[InstanceRow]]:
    """The images of the address; segmentations are no pictures of their own in a study or series."""
    seen, rows = await asked_rows(request)
    if "instance" not in request.path_params:
        drawn_over = {one.series_uid for one in seen.series if one.modality == "SEG"}
        rows = [row for row in rows if row.series_uid not in drawn_over]
    rows = [row for row in rows if row.frames]
    if not rows:
        raise NotAcceptableError("there is no image")
    for row in rows:
        check_settled(row)
    return seen, rows


def _numbers(request: Request, row: InstanceRow) -> Sequence[int]:
    given = request.path_params.get("frames")
    return range(1, row.frames + 1) if given is None else frame_numbers(given, row.frames)


async def _answer(request: Request, seen: View, pictures: Sequence[Picture], how: Display) -> Response:
    media_type, is_multipart = accept.picture_form(_accept(request), several=len(pictures) > 1)
    how = replace(how, media_type=media_type)
    if len(pictures) > MOST_PICTURES or any(row.rows * row.columns > MOST_PIXELS for row, _ in pictures):
        raise BodyTooLargeError("rendered")
    names = [f"{row.digest} {row.sop_uid} {number}" for row, number in pictures]
    tag = etag(*names, how.to_json(), str(is_multipart))
    for series_uid in sorted({row.series_uid for row, _ in pictures}):
        await seen.record_viewing(series_uid)
    if is_known(request, tag):
        return unchanged(tag)
    wanted = [(row.orthanc_id, number) for row, number in pictures]
    form = "multipart" if is_multipart else "single"
    return await streamed(seen, lambda pixels: pixels.rendered(wanted, how.to_json(), form), tag)


def _accept(request: Request) -> str | None:
    """The parameter `accept` stands in place of the header (8.3.3.1): an address bar can send no header."""
    return request.query_params.get("accept") or request.headers.get("accept")


def _display(request: Request, *, thumbnail: bool) -> Display:
    """The parameters; what can never be a picture is refused before anything is looked for."""
    accept.picture_form(_accept(request), several=False)
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name == "accept":
            continue
        if name not in _PARAMETERS:
            raise UnknownParameterError(name[:64])
        if name in given:
            raise BadRequestError(name)
        given[name] = value
    try:
        return display(given, thumbnail=thumbnail)
    except ValueError as error:
        raise BadRequestError(str(error)) from error
