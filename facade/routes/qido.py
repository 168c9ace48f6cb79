"""QIDO-RS at every level: HAPI finds the studies, the stored rows and metadata files the rest.

The compartment goes into HAPI's search, every hit is confirmed again, and what HAPI cannot match (wildcards,
attributes that FHIR does not have) is matched on the images' own elements. A search that would read more than
2000 studies is refused: a date or a patient narrows it.
Sources: PS3.18 10.6 and tables 10.6.1-1, 10.6.3-3 to -5; PS3.4 C.2.2.2 (matching).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from facade.access import audited, enter
from facade.errors import TooCostlyError
from facade.gate import Gate
from facade.routes import accept
from facade.routes.images import Images, belong_together, images, is_shown, view
from facade.routes.query import Query, query
from facade.routes.study_search import decided, exact, narrowed
from imaging import names
from imaging.attributes import Level
from imaging.index import InstanceRow, SeriesRow, StudyRow
from imaging.metadata import read_tags
from smart_auth.interaction import Decision, Interaction

Resource = Mapping[str, Any]
Answer = dict[str, Any]
MOST_STUDIES = 2000
_PAGE = 200
_OF_ROWS = frozenset({"SeriesInstanceUID", "Modality", "SOPInstanceUID", "SOPClassUID", "InstanceNumber"})


async def studies(request: Request) -> Response:
    """GET /studies."""
    return await _everywhere(request, ("study",))


async def all_series(request: Request) -> Response:
    """GET /series: series of every study."""
    return await _everywhere(request, ("study", "series"))


async def all_instances(request: Request) -> Response:
    """GET /instances: instances of every study."""
    return await _everywhere(request, ("study", "series", "instance"))


async def series(request: Request) -> Response:
    """GET /studies/{study}/series."""
    return await _within(request, ("series",))


async def instances(request: Request) -> Response:
    """GET /studies/{study}/instances and /studies/{study}/series/{series}/instances."""
    return await _within(
        request, ("instance",) if "series" in request.path_params else ("series", "instance")
    )


async def _within(request: Request, levels: Sequence[Level]) -> Response:
    """Search in one study."""
    accept.takes_json(request.headers.get("accept"))
    seen = await view(request, request.path_params["study"])
    asked = query(request, levels)
    shown = seen.series
    if "series" in request.path_params:
        shown = (seen.one_series(request.path_params["series"]),)
    base = _base(seen.gate)
    most = asked.offset + asked.limit + 1
    found = await asyncio.to_thread(_below, seen.images, seen.study, shown, asked, levels, base, most)
    await seen.record(detail={levels[-1]: str(len(found[asked.offset :][: asked.limit]))})
    return _json(asked, found[asked.offset :])


async def _everywhere(request: Request, levels: Sequence[Level]) -> Response:
    """Search in all studies that the caller may see."""
    accept.takes_json(request.headers.get("accept"))
    interaction = Interaction("dicomweb-read", "ImagingStudy")
    gate = await enter(request, interaction)
    async with audited(gate, interaction):
        decision = gate.decide(interaction)
        asked = query(request, levels)
        here, base = images(request), _base(gate)
        # Where HAPI alone decides what is found, it turns the pages too.
        is_paged = levels == ("study",) and exact(asked)
        skipped = asked.offset if is_paged else 0
        wanted = asked.offset - skipped + asked.limit + 1
        found: list[tuple[Answer, StudyRow, Resource]] = []
        async for row, resource in _studies(here, gate, decision, asked, is_paged=is_paged):
            shown = [one for one in here.rows().series(row.study_uid) if await is_shown(here, decision, one)]
            missing = wanted - len(found)
            answers = await asyncio.to_thread(_below, here, row, shown, asked, levels, base, missing)
            found += [(answer, row, resource) for answer in answers]
            if len(found) >= wanted:
                break
        page = found[asked.offset - skipped :]
        told = page[: asked.limit]
        await gate.record(
            interaction,
            what=sorted({f"ImagingStudy/{resource['id']}" for _, _, resource in told}),
            patients={row.patient_ref for _, row, _ in told},
        )
    return _json(asked, [answer for answer, _, _ in page])


async def _studies(
    here: Images, gate: Gate, decision: Decision, asked: Query, *, is_paged: bool
) -> AsyncIterator[tuple[StudyRow, Resource]]:
    """The studies that HAPI finds and the caller may see, newest first."""
    if here.index is None:
        return
    search = [*narrowed(here.index, asked), *decision.narrow, ("_sort", "-started,_id")]
    starts = [asked.offset] if is_paged else range(0, MOST_STUDIES, _PAGE)
    count = asked.limit + 1 if is_paged else _PAGE
    for start in starts:
        page = await gate.hapi.search("ImagingStudy", search, count=count, offset=start)
        hits = [entry["resource"] for entry in page.get("entry", [])]
        for resource in hits:
            row = here.index.study(_study_uid(resource))
            if row is not None and belong_together(row, resource) and await gate.confirm(decision, resource):
                yield row, resource
        if len(hits) < count or is_paged:
            return
    raise TooCostlyError


def _below(
    here: Images,
    study: StudyRow,
    shown: Sequence[SeriesRow],
    asked: Query,
    levels: Sequence[Level],
    base: str,
    most: int,
) -> Sequence[Answer]:
    """What of one study matches, at the last of these levels; at most this many."""
    by_series = {one.series_uid: here.rows().instances(study.study_uid, one.series_uid) for one in shown}
    filled = [one for one in shown if by_series[one.series_uid]]
    if not filled:
        return []
    if levels[0] == "study":
        answer = _study(here, study, filled, by_series)
        if not asked.matches("study", answer, but=decided(asked)):
            return []
        if levels == ("study",):
            return [asked.answered(levels, answer) | _counted(answer, base, study.study_uid)]
    found: list[Answer] = []
    for one in filled:
        rows = by_series[one.series_uid]
        if "series" in levels and asked.at("series") and not _series_matches(here, asked, one, rows[0]):
            continue
        if levels[-1] == "series":
            found.append(_one_series(here, asked, levels, one, rows, base))
        else:
            found += [
                _one_instance(here, asked, levels, row, base)
                for row in rows
                if not asked.at("instance") or asked.matches("instance", _of_row(row, one))
            ]
        if len(found) >= most:
            break
    return found[:most]


def _study(
    here: Images,
    study: StudyRow,
    shown: Sequence[SeriesRow],
    by_series: Mapping[str, Sequence[InstanceRow]],
) -> Answer:
    tags = _tags(here, by_series[shown[0].series_uid][0])
    return tags | {
        "0020000D": _element("UI", study.study_uid),
        "00080061": {"vr": "CS", "Value": sorted({one.modality for one in shown})},
        "00201206": _element("IS", len(shown)),
        "00201208": _element("IS", sum(len(by_series[one.series_uid]) for one in shown)),
    }


def _counted(answer: Answer, base: str, study_uid: str) -> Answer:
    counted = {tag: answer[tag] for tag in ("00080061", "00201206", "00201208")}
    return counted | {
        "00080056": _element("CS", "ONLINE"),
        "00081190": _element("UR", f"{base}/studies/{study_uid}"),
    }


def _of_row(row: InstanceRow, one: SeriesRow) -> Answer:
    return {
        "0020000E": _element("UI", one.series_uid),
        "00080060": _element("CS", one.modality),
        "00080018": _element("UI", row.sop_uid),
        "00080016": _element("UI", row.sop_class),
        "00200013": _element("IS", row.instance_number),
    }


def _series_matches(here: Images, asked: Query, one: SeriesRow, first: InstanceRow) -> bool:
    known = _of_row(first, one)
    if not all(key.keyword in _OF_ROWS for key in asked.at("series")):
        known = _tags(here, first) | known
    return asked.matches("series", known)


def _one_series(
    here: Images,
    asked: Query,
    levels: Sequence[Level],
    row: SeriesRow,
    rows: Sequence[InstanceRow],
    base: str,
) -> Answer:
    return asked.answered(levels, _tags(here, rows[0])) | {
        "0020000D": _element("UI", row.study_uid),
        "0020000E": _element("UI", row.series_uid),
        "00201209": _element("IS", len(rows)),
        "00081190": _element("UR", f"{base}/studies/{row.study_uid}/series/{row.series_uid}"),
    }


def _one_instance(here: Images, asked: Query, levels: Sequence[Level], row: InstanceRow, base: str) -> Answer:
    path = f"studies/{row.study_uid}/series/{row.series_uid}/instances/{row.sop_uid}"
    return asked.answered(levels, _tags(here, row)) | {
        "0020000D": _element("UI", row.study_uid),
        "0020000E": _element("UI", row.series_uid),
        "00080018": _element("UI", row.sop_uid),
        "00083002": _element("UI", row.transfer_syntax),
        "00081190": _element("UR", f"{base}/{path}"),
    }


def _study_uid(resource: Resource) -> str:
    values = (
        identifier["value"].removeprefix("urn:oid:")
        for identifier in resource.get("identifier", [])
        if identifier.get("system") == names.DICOM_UID
    )
    return next(values, "")


def _tags(here: Images, row: InstanceRow) -> Answer:
    return read_tags(here.data_dir, row.study_uid, row.series_uid, row.sop_uid)


def _base(gate: Gate) -> str:
    return f"{gate.services.settings.base_url}/dicom-web"


def _element(vr: str, value: Any) -> dict[str, Any]:
    return {"vr": vr} if value is None else {"vr": vr, "Value": [value]}


def _json(asked: Query, found: Sequence[Answer]) -> Response:
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, Cookie"}
    warning = asked.warnings(has_more=len(found) > asked.limit)
    if warning is not None:
        headers["Warning"] = warning
    return Response(orjson.dumps(list(found[: asked.limit])), 200, headers, "application/dicom+json")
