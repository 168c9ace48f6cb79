"""STOW-RS: an upload is spooled, read by `pixels`, decided instance by instance, recorded, and stored.

A person of this house may upload what the identity rules cannot match: it is stored, answered with a warning
and set aside by ingest (quarantine). An external hospital gets a refusal for that, in the same words as for a
patient that is not shared with it. Nothing reaches Orthanc before the record of it is durable.

Sources: PS3.18 10.5 and table I.2-2, PS3.7 annex C (failure reasons).
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from facade import log
from facade.access import audited, enter
from facade.errors import BadRequestError, BodyTooLargeError, MediaTypeError, NotFoundError
from facade.gate import Gate
from facade.identify import Identities
from facade.pixels import Pixels, wake_ingest
from facade.routes import accept
from facade.routes.images import images
from facade.state import services
from imaging.errors import OtherPixelsError, UIDConflictError
from imaging.frames import is_uid
from imaging.identity import IdentityTags, Quarantine, Source
from imaging.index import Index, InstanceRow
from imaging.reasons import (
    DUPLICATE_INSTANCE,
    NOT_AUTHORISED,
    OTHER_STUDY,
    PROCESSING_FAILURE,
    WARNING_HELD,
)
from smart_auth.interaction import Decision, Interaction

_UPLOAD = Interaction("dicom-upload", "ImagingStudy")


@dataclass
class Part:
    """One part of an upload on its way through: `failure` or `warning` once there is one."""

    start: int
    length: int
    inspection: Mapping[str, Any] | None
    failure: int | None = None
    warning: int | None = None
    patient: str | None = None
    is_known: bool = False

    def uid(self, name: str) -> str:
        """A UID of what was read in it, or empty text."""
        return str(self.inspection[name]) if self.inspection else ""


async def upload(request: Request) -> Response:
    """POST /studies and /studies/{study}."""
    gate = await enter(request, _UPLOAD)
    async with audited(gate, _UPLOAD):
        decision = gate.decide(_UPLOAD)
        accept.takes_json(request.headers.get("accept"))
        study_uid = request.path_params.get("study")
        if study_uid is not None and not is_uid(study_uid):
            raise NotFoundError
        content_type = request.headers.get("content-type", "")
        if not content_type.lower().startswith("multipart/related"):
            raise MediaTypeError
        if "dicom+" in content_type.lower():  # metadata and bulk data in parts of their own
            raise MediaTypeError
        settings = services(request).settings
        name = f"{uuid.uuid4().hex}.stow"
        path = settings.stow_dir / name
        try:
            await _spool(request, path, settings.stow_max_bytes)
            async with Pixels(settings.pixels_socket, services(request).pixels_circuit) as pixels:
                parts = _parts(await pixels.inspect(name, content_type))
                await _decide(request, gate, decision, parts, study_uid)
                await _store(request, gate, pixels, name, parts)
        finally:
            for leftover in (path, path.with_suffix(".read")):
                leftover.unlink(missing_ok=True)
    await wake_ingest(settings.receiver_url, settings.receiver_secret.get_secret_value())
    return _answer(settings.base_url, parts)


async def _spool(request: Request, path: Path, limit: int) -> None:
    """The body to disk as it comes; BodyTooLargeError over the limit, whatever Content-Length says."""
    if int(request.headers.get("content-length") or 0) > limit:
        raise BodyTooLargeError
    size = 0
    with await asyncio.to_thread(_create, path) as file:
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise BodyTooLargeError
                # Page cache takes a chunk faster than a thread is switched to.
                file.write(chunk)
        except ClientDisconnect as error:
            raise BadRequestError("the body ended early") from error


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _parts(found: Sequence[Mapping[str, Any]]) -> list[Part]:
    if not found:
        raise BadRequestError("there is no part")
    return [
        Part(int(part["start"]), int(part["length"]), part.get("inspection"), part.get("failure"))
        for part in found
    ]


async def _decide(
    request: Request, gate: Gate, decision: Decision, parts: Sequence[Part], study_uid: str | None
) -> None:
    """Rights, identity and UIDs, for each part that could be read."""
    organization = gate.principal.organization
    is_outside = gate.principal.role == "external"
    source = Source(
        "stow",
        _uploader(gate),
        f"Organization/{organization}" if organization else None,
        staff=not is_outside,
    )
    identities = Identities(gate.hapi)
    index = images(request).index
    for part in parts:
        if part.inspection is None or part.failure is not None:
            continue
        if study_uid is not None and part.uid("study_uid") != study_uid:
            part.failure = OTHER_STUDY
            continue
        matched = await identities.identify(IdentityTags(**part.inspection["tags"]), source)
        if isinstance(matched, Quarantine):
            part.failure = NOT_AUTHORISED if is_outside else None
            part.warning = None if is_outside else WARNING_HELD
            continue
        study = {"resourceType": "ImagingStudy", "subject": {"reference": matched.patient_ref}}
        if not await gate.confirm(decision, study):
            part.failure = NOT_AUTHORISED
            continue
        part.patient = matched.patient_ref
        if index is not None:
            _check_uids(index, part, matched.patient_ref)


def _check_uids(index: Index, part: Part, patient_ref: str) -> None:
    found = part.inspection or {}
    row = InstanceRow(
        sop_uid=found["sop_uid"],
        series_uid=found["series_uid"],
        study_uid=found["study_uid"],
        patient_ref=patient_ref,
        orthanc_id=found["orthanc_id"],
        sop_class=found["sop_class"],
        transfer_syntax=found["transfer_syntax"],
        digest=found["digest"],
    )
    try:
        part.is_known = index.check(row) == "known"
    except UIDConflictError:
        part.failure = (
            PROCESSING_FAILURE  # says no more: the other patient may not be the caller's to know of
        )
    except OtherPixelsError:
        part.failure = DUPLICATE_INSTANCE


async def _store(request: Request, gate: Gate, pixels: Pixels, name: str, parts: Sequence[Part]) -> None:
    """Record, then store what was let in. What is there already with equal pixels is not sent again."""
    wanted = [part for part in parts if part.failure is None and not part.is_known]
    refused = [part for part in parts if part.failure is not None]
    await _record(gate, [part for part in parts if part.failure is None], len(refused))
    if not wanted:
        return
    about = {
        "uploader": _uploader(gate),
        "organization": f"Organization/{gate.principal.organization}"
        if gate.principal.organization
        else None,
        "staff": gate.principal.role != "external",
        "address": gate.who.address,
        "request_id": log.request_id.get() or "",
    }
    answers = await pixels.store(name, [{"start": p.start, "length": p.length} for p in wanted], about)
    by_start = {answer["start"]: answer for answer in answers}
    for part in wanted:
        answer = by_start.get(part.start, {})
        if answer.get("status") not in ("stored", "duplicate"):
            part.failure = int(answer.get("failure", PROCESSING_FAILURE))
    failed = [part for part in wanted if part.failure is not None]
    if failed:
        await gate.record(
            _UPLOAD,
            what=_uids(failed),
            patients={part.patient for part in failed},
            outcome="8",
            reason="not stored",
            detail={"instances": str(len(failed))},
        )


async def _record(gate: Gate, let_in: Sequence[Part], refused: int) -> None:
    """One event for each patient, one for what belongs to nobody yet, one for what is refused."""
    for patient in sorted({part.patient or "" for part in let_in}):
        parts = [part for part in let_in if (part.patient or "") == patient]
        await gate.record(
            _UPLOAD,
            what=_uids(parts),
            patients=[patient] if patient else [],
            reason=None if patient else "held until somebody assigns it",
            detail={"instances": str(len(parts))},
        )
    if refused:
        detail = {"instances": str(refused)}
        await gate.record(_UPLOAD, outcome="4", reason="refused instances", detail=detail)


def _uids(parts: Sequence[Part]) -> list[str]:
    return [f"urn:oid:{uid}" for uid in sorted({part.uid("study_uid") for part in parts})]


def _uploader(gate: Gate) -> str:
    return gate.principal.fhir_user or gate.principal.client_id


def _answer(base_url: str, parts: Sequence[Part]) -> Response:
    """PS3.18 table 10.5.3-1: 200 all stored, 202 some or with warnings, 409 none."""
    stored = [part for part in parts if part.failure is None]
    failed = [part for part in parts if part.failure is not None]
    body: dict[str, Any] = {}
    studies = {part.uid("study_uid") for part in stored}
    if len(studies) == 1:
        body["00081190"] = _element("UR", f"{base_url}/dicom-web/studies/{studies.pop()}")
    if stored:
        body["00081199"] = {"vr": "SQ", "Value": [_referenced(base_url, part) for part in stored]}
    known = [part for part in failed if part.inspection is not None]
    if known:
        body["00081198"] = {
            "vr": "SQ",
            "Value": [{**_reference(part), "00081197": _element("US", part.failure)} for part in known],
        }
    unread = [part for part in failed if part.inspection is None]
    if unread:
        others = [{"00081197": _element("US", part.failure)} for part in unread]
        body["0008119A"] = {"vr": "SQ", "Value": others}  # Other Failures Sequence
    held = any(part.warning for part in stored)
    status = 200 if not failed and not held else (202 if stored else 409)
    headers = {"Cache-Control": "no-store"}
    if held:
        headers["Warning"] = '299 - "held: whose images these are is not certain"'
    return Response(orjson.dumps(body), status, headers, "application/dicom+json")


def _reference(part: Part) -> dict[str, Any]:
    return {
        "00081150": _element("UI", part.uid("sop_class")),
        "00081155": _element("UI", part.uid("sop_uid")),
    }


def _referenced(base_url: str, part: Part) -> dict[str, Any]:
    item = _reference(part)
    if part.warning is not None:
        item["00081196"] = _element("US", part.warning)
        return item
    path = f"studies/{part.uid('study_uid')}/series/{part.uid('series_uid')}/instances/{part.uid('sop_uid')}"
    item["00081190"] = _element("UR", f"{base_url}/dicom-web/{path}")
    return item


def _element(vr: str, value: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}
