"""DICOMweb under /dicom-web: WADO-RS here, pictures in `rendered`, STOW-RS in `stow`, QIDO-RS in `qido`.

Who may see a study is decided in `images`. Frames and files go out by X-Accel-Redirect: nginx fetches them
from Orthanc (as stored) or from `pixels` (decoded or packed), and Python never carries a pixel, but for whole
series and studies, which are streamed. Sources: PS3.18 10.4, 8.7; nginx X-Accel-Redirect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from facade.errors import NotFoundError
from facade.routes import accept, qido, rendered, stow
from facade.routes.images import View
from facade.routes.retrieved import (
    CACHE,
    accelerated,
    asked_rows,
    check_header,
    check_settled,
    etag,
    frame_numbers,
    is_known,
    one_instance,
    streamed,
    unchanged,
)
from imaging.frames import content_uri, file_uri, frame_media_type, frame_uri, is_bulk_path
from imaging.index import InstanceRow
from imaging.metadata import PIXEL_DATA, has_bulk_data, read_metadata

INTERNAL_PIXELS = "/internal-pixels"
DICOM_JSON = "application/dicom+json"


async def frames(request: Request) -> Response:
    """Frames of one instance: as stored (HTJ2K) or decoded, bare or in an envelope, as Accept asks."""
    seen, row = await one_instance(request)
    numbers = frame_numbers(request.path_params["frames"], row.frames)
    form = accept.frame_form(request.headers.get("accept"), row.transfer_syntax, several=len(numbers) > 1)
    tag = etag(row.digest, request.path_params["frames"], form.transfer_syntax, str(form.is_multipart))
    await seen.record_viewing(row.series_uid)
    if is_known(request, tag):
        return unchanged(tag)
    if form.syntax == "stored" and not form.is_multipart:
        uri = frame_uri(row.orthanc_id, numbers[0])
    else:
        file_uri(row.orthanc_id)  # checks the id that goes into the next line
        numbers_text = ",".join(map(str, numbers))
        shape = "multipart" if form.is_multipart else "single"
        uri = f"{INTERNAL_PIXELS}/instances/{row.orthanc_id}/frames/{numbers_text}?form={shape}"
        if form.syntax == "stored":
            uri += f"&stored={form.transfer_syntax}"
    return accelerated(uri, frame_media_type(form.transfer_syntax), tag)


async def bulk_data(request: Request) -> Response:
    """A large value that the metadata point to: of one element, or every frame of the pixel data."""
    seen, row = await one_instance(request)
    path, header = request.path_params["path"], request.headers.get("accept")
    if path == PIXEL_DATA:
        if not row.frames:
            raise NotFoundError
        form = accept.frame_form(header, row.transfer_syntax, several=row.frames > 1)
        uri = f"{INTERNAL_PIXELS}/instances/{row.orthanc_id}/frames/all"
        uri += f"?form={'multipart' if form.is_multipart else 'single'}"
        uri += f"&stored={form.transfer_syntax}" if form.syntax == "stored" else ""
        media_type, is_multipart = frame_media_type(form.transfer_syntax), form.is_multipart
    else:
        place = (row.study_uid, row.series_uid, row.sop_uid, path)
        if not is_bulk_path(path) or not has_bulk_data(seen.images.data_dir, *place):
            raise NotFoundError
        media_type, is_multipart = "application/octet-stream", accept.octets_are_multipart(header)
        uri = content_uri(row.orthanc_id, path)
        if is_multipart:
            uri = f"{INTERNAL_PIXELS}/instances/{row.orthanc_id}/content/{path}"
    file_uri(row.orthanc_id)  # checks the id that went into the address
    tag = etag(row.digest, path, media_type, str(is_multipart))
    await seen.record(detail={"bulkdata": path}, passed=not is_known(request, tag))
    if is_known(request, tag):
        return unchanged(tag)
    return accelerated(uri, media_type, tag)


async def instance(request: Request) -> Response:
    """One whole instance: as Explicit VR Little Endian, or in its stored transfer syntax, as Accept asks."""
    seen, row = await one_instance(request)
    check_header(seen)
    form = accept.instance_form(request.headers.get("accept"), row.transfer_syntax)
    tag = etag(row.digest, form.transfer_syntax, str(row.bytes_after), str(form.is_multipart))
    if is_known(request, tag):
        await seen.record(detail={"instance": row.sop_uid})
        return unchanged(tag)
    is_passed = form.syntax == "stored" and not form.is_multipart
    await seen.record(detail={"instance": row.sop_uid}, passed=is_passed)
    if is_passed:
        media_type = f"application/dicom; transfer-syntax={row.transfer_syntax}"
        return accelerated(file_uri(row.orthanc_id), media_type, tag)
    return await _whole(request, seen, [row], [form], tag)


async def instances(request: Request) -> Response:
    """All instances of a study or series, streamed as multipart, each as Accept asks."""
    seen, rows = await asked_rows(request)
    check_header(seen)
    for row in rows:
        check_settled(row)
    header = request.headers.get("accept")
    forms = [accept.instance_form(header, row.transfer_syntax, several=True) for row in rows]
    await seen.record(detail={"instances": str(len(rows))})
    return await _whole(request, seen, rows, forms)


async def _whole(
    request: Request, seen: View, rows: Sequence[InstanceRow], forms: Sequence[accept.Form], tag: str = ""
) -> Response:
    """Files by way of `pixels`; the body passes through here, so that its refusal can be answered."""
    if request.method == "HEAD":
        return Response(headers=CACHE | ({"ETag": tag} if tag else {}))
    wanted = [
        (row.orthanc_id, row.transfer_syntax, form.syntax == "native")
        for row, form in zip(rows, forms, strict=True)
    ]
    shape = "multipart" if forms[0].is_multipart else "single"
    return await streamed(seen, lambda pixels: pixels.instances(wanted, shape), tag)


async def metadata(request: Request) -> Response:
    """DICOM JSON of a study, series or instance."""
    accept.takes_json(request.headers.get("accept"))
    seen, rows = await asked_rows(request)
    tag = etag(seen.patient, *(f"{row.sop_uid} {row.digest} {row.transfer_syntax}" for row in rows))
    await seen.record(detail={"metadata": str(len(rows))})
    if is_known(request, tag):
        return unchanged(tag)
    body = await asyncio.to_thread(_joined, seen, rows)
    return Response(body, headers={**CACHE, "ETag": tag}, media_type=DICOM_JSON)


def _joined(seen: View, rows: Sequence[InstanceRow]) -> bytes:
    return (
        b"["
        + b",".join(
            read_metadata(
                seen.images.data_dir,
                row.study_uid,
                row.series_uid,
                row.sop_uid,
                row.transfer_syntax,
                f"{seen.gate.services.settings.base_url}/dicom-web/studies/{row.study_uid}"
                f"/series/{row.series_uid}/instances/{row.sop_uid}",
            )
            for row in rows
        )
        + b"]"
    )


_STUDY = "/dicom-web/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"

routes = [
    Route("/dicom-web/studies", qido.studies, methods=["GET"]),
    Route("/dicom-web/series", qido.all_series, methods=["GET"]),
    Route("/dicom-web/instances", qido.all_instances, methods=["GET"]),
    Route("/dicom-web/studies", stow.upload, methods=["POST"]),
    Route(_STUDY, stow.upload, methods=["POST"]),
    Route(_STUDY, instances, methods=["GET"]),
    Route(f"{_STUDY}/metadata", metadata, methods=["GET"]),
    Route(f"{_STUDY}/series", qido.series, methods=["GET"]),
    Route(f"{_STUDY}/instances", qido.instances, methods=["GET"]),
    Route(_SERIES, instances, methods=["GET"]),
    Route(f"{_SERIES}/metadata", metadata, methods=["GET"]),
    Route(f"{_SERIES}/instances", qido.instances, methods=["GET"]),
    Route(_INSTANCE, instance, methods=["GET"]),
    Route(f"{_INSTANCE}/metadata", metadata, methods=["GET"]),
    Route(f"{_INSTANCE}/bulkdata/{{path}}", bulk_data, methods=["GET"]),
    Route(f"{_INSTANCE}/frames/{{frames}}", frames, methods=["GET"]),
    *(
        Route(f"{parent}/{name}", answer, methods=["GET"])
        for parent in (_STUDY, _SERIES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}")
        for name, answer in (("rendered", rendered.rendered), ("thumbnail", rendered.thumbnail))
    ),
]
