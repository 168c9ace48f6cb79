"""QIDO-RS: studies from HAPI, series and instances of a study from the stored rows.

The compartment goes into the search of studies, and every hit is confirmed again. Matching keys that are not
listed in `_STUDY_KEYS` are refused, because a filter that is silently ignored shows too much. Queries are
decoded once, here.

Sources: PS3.18 10.6 and tables 10.6.1-5, 10.6.3-3 to -5; PS3.4 C.2.2.2 (matching).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from facade.access import audited, enter
from facade.errors import BadRequestError, UnknownParameterError
from facade.gate import Gate
from facade.identify import token
from facade.routes import accept
from facade.routes.images import Images, belong_together, images, is_shown, view
from imaging import names
from imaging.frames import is_uid
from imaging.index import InstanceRow, SeriesRow, StudyRow
from imaging.metadata import read_tags
from imaging.study import study_identifier
from smart_auth.interaction import Decision, Interaction

Pairs = Sequence[tuple[str, str]]
Resource = Mapping[str, Any]

_CONTROL = frozenset({"limit", "offset", "includefield", "fuzzymatching"})
_MOST = 200
_KEYS = {
    "0020000D": "StudyInstanceUID",
    "00100010": "PatientName",
    "00100020": "PatientID",
    "00080020": "StudyDate",
    "00080050": "AccessionNumber",
    "00080061": "ModalitiesInStudy",
    "0020000E": "SeriesInstanceUID",
    "00080060": "Modality",
    "00200011": "SeriesNumber",
    "00080018": "SOPInstanceUID",
    "00080016": "SOPClassUID",
    "00200013": "InstanceNumber",
}
_STUDY_KEYS = frozenset(
    {"StudyInstanceUID", "PatientName", "PatientID", "StudyDate", "AccessionNumber", "ModalitiesInStudy"}
)
_SERIES_KEYS = frozenset({"SeriesInstanceUID", "Modality", "SeriesNumber"})
_INSTANCE_KEYS = frozenset({"SOPInstanceUID", "SOPClassUID", "InstanceNumber"})
# What is answered without being asked for, besides what is computed.
_STUDY_TAGS = (
    "00080005", "00080020", "00080030", "00080050", "00080090", "00080201", "00081030",
    "00100010", "00100020", "00100021", "00100030", "00100040", "0020000D", "00200010",
)  # fmt: skip
_SERIES_TAGS = (
    "00080005", "00080021", "00080031", "00080060", "00080070", "0008103E", "00180015", "00180024",
    "0020000D", "0020000E", "00200011", "00200052", "00200060", "00400244", "00400245",
)  # fmt: skip
_INSTANCE_TAGS = (
    "00080005", "00080016", "00080018", "00080060", "0020000D", "0020000E", "00200013",
    "00280008", "00280010", "00280011", "00280100",
)  # fmt: skip
_DAY = re.compile(r"\d{8}")


async def studies(request: Request) -> Response:
    """GET /studies."""
    accept.takes_json(request.headers.get("accept"))
    asked = Interaction("dicomweb-read", "ImagingStudy")
    gate = await enter(request, asked)
    async with audited(gate, asked):
        decision = gate.decide(asked)
        limit, offset = _page(request)
        search = _study_search(_matching(request, _STUDY_KEYS))
        page = await gate.hapi.search(
            "ImagingStudy",
            [*search, *decision.narrow, ("_sort", "-started,_id")],
            count=limit,
            offset=offset,
        )
        here = images(request)
        found = [
            (row, resource)
            for resource in (entry["resource"] for entry in page.get("entry", []))
            if (row := await _seen(here, gate, decision, resource)) is not None
        ]
        base = gate.services.settings.base_url
        answers = await asyncio.gather(*(_study(here, decision, row, base) for row, _ in found))
        await gate.record(
            asked,
            what=[f"ImagingStudy/{resource['id']}" for _, resource in found],
            patients={row.patient_ref for row, _ in found},
        )
    return _json([answer for answer in answers if answer is not None])


async def series(request: Request) -> Response:
    """GET /studies/{study}/series."""
    accept.takes_json(request.headers.get("accept"))
    seen = await view(request, request.path_params["study"])
    keys = _matching(request, _SERIES_KEYS)
    limit, offset = _page(request)
    extra = _included(request)
    answers = []
    for row in seen.series:
        instances_ = seen.instances(row.series_uid)
        wanted = {"SeriesInstanceUID": row.series_uid, "Modality": row.modality, "SeriesNumber": row.number}
        if instances_ and _matches(keys, wanted):
            answers.append(_series(seen.images, row, instances_, extra, seen.gate.services.settings.base_url))
    await seen.record(detail={"series": str(len(answers))})
    return _json(answers[offset : offset + limit])


async def instances(request: Request) -> Response:
    """GET /studies/{study}/instances and /studies/{study}/series/{series}/instances."""
    accept.takes_json(request.headers.get("accept"))
    seen = await view(request, request.path_params["study"])
    keys = _matching(request, _INSTANCE_KEYS)
    limit, offset = _page(request)
    extra = _included(request)
    rows = [
        row
        for row in seen.instances(request.path_params.get("series"))
        if _matches(
            keys,
            {
                "SOPInstanceUID": row.sop_uid,
                "SOPClassUID": row.sop_class,
                "InstanceNumber": row.instance_number,
            },
        )
    ]
    await seen.record(detail={"instances": str(len(rows))})
    base = seen.gate.services.settings.base_url
    page = rows[offset : offset + limit]
    return _json(await asyncio.to_thread(lambda: [_instance(seen.images, row, extra, base) for row in page]))


async def _seen(here: Images, gate: Gate, decision: Decision, resource: Resource) -> StudyRow | None:
    """The stored row of a hit that this caller may see."""
    uid = next(
        (
            identifier["value"].removeprefix("urn:oid:")
            for identifier in resource.get("identifier", [])
            if identifier.get("system") == names.DICOM_UID
        ),
        "",
    )
    row = here.index.study(uid) if here.index is not None else None
    if row is None or not belong_together(row, resource):
        return None
    return row if await gate.confirm(decision, resource) else None


async def _study(here: Images, decision: Decision, row: StudyRow, base: str) -> dict[str, Any] | None:
    if here.index is None:
        return None
    shown = [one for one in here.index.series(row.study_uid) if await is_shown(here, decision, one)]
    uids = {one.series_uid for one in shown}
    rows = [one for one in here.index.instances(row.study_uid) if one.series_uid in uids]
    if not rows:
        return None
    tags = _tags(here, rows[0])
    answer = {tag: tags[tag] for tag in _STUDY_TAGS if tag in tags}
    answer["00080056"] = _element("CS", "ONLINE")
    answer["00080061"] = {"vr": "CS", "Value": sorted({one.modality for one in shown})}
    answer["00201206"] = _element("IS", len(shown))
    answer["00201208"] = _element("IS", len(rows))
    answer["00081190"] = _element("UR", f"{base}/dicom-web/studies/{row.study_uid}")
    return answer


def _series(
    here: Images, row: SeriesRow, rows: Sequence[InstanceRow], extra: Iterable[str], base: str
) -> dict[str, Any]:
    tags = _tags(here, rows[0])
    answer = {tag: tags[tag] for tag in (*_SERIES_TAGS, *extra) if tag in tags}
    answer["00201209"] = _element("IS", len(rows))
    answer["00081190"] = _element("UR", f"{base}/dicom-web/studies/{row.study_uid}/series/{row.series_uid}")
    return answer


def _instance(here: Images, row: InstanceRow, extra: Sequence[str], base: str) -> dict[str, Any]:
    tags = _tags(here, row)
    wanted = tags if "all" in extra else {tag: tags[tag] for tag in (*_INSTANCE_TAGS, *extra) if tag in tags}
    path = f"studies/{row.study_uid}/series/{row.series_uid}/instances/{row.sop_uid}"
    return {
        **wanted,
        "00083002": _element("UI", row.transfer_syntax),
        "00081190": _element("UR", f"{base}/dicom-web/{path}"),
    }


def _tags(here: Images, row: InstanceRow) -> dict[str, Any]:
    return read_tags(here.data_dir, row.study_uid, row.series_uid, row.sop_uid)


# --- the query ----------------------------------------------------------------------------------


def _matching(request: Request, allowed: frozenset[str]) -> dict[str, str]:
    """Matching keys by keyword; UnknownParameterError for any other, BadRequestError for one given twice."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in _CONTROL:
            continue
        keyword = _KEYS.get(name.upper(), name)
        if keyword not in allowed:
            raise UnknownParameterError(name[:64])
        if keyword in found:
            raise BadRequestError(keyword)
        if value.strip():  # an empty key matches everything (universal matching)
            found[keyword] = value.strip()
    return found


def _page(request: Request) -> tuple[int, int]:
    numbers = []
    for name, default, most in (("limit", _MOST, _MOST), ("offset", 0, 100_000)):
        text = request.query_params.get(name, str(default))
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
            raise BadRequestError(name)
        numbers.append(min(int(text), most))
    return max(1, numbers[0]), numbers[1]


def _included(request: Request) -> list[str]:
    """Tags of `includefield` (repeated or with commas); `all` stays; keywords that are unknown here are
    skipped.
    """
    tags = {keyword: tag for tag, keyword in _KEYS.items()}
    given = [part for text in request.query_params.getlist("includefield") for part in text.split(",")]
    return [tags.get(part, part.upper() if part != "all" else part) for part in given]


def _study_search(keys: Mapping[str, str]) -> list[tuple[str, str]]:
    """Keys as a search of HAPI's ImagingStudy."""
    found: list[tuple[str, str]] = []
    for keyword, value in keys.items():
        match keyword:
            case "StudyInstanceUID":
                uids = re.split(r"[,\\]", value)
                if not all(is_uid(uid) for uid in uids):
                    raise BadRequestError(keyword)
                found.append(("identifier", ",".join(study_identifier(uid) for uid in uids)))
            case "AccessionNumber":
                found.append(("identifier", token(names.ACCESSION, value)))
            case "PatientID":
                found.append(("patient.identifier", token(None, value)))
            case "PatientName":
                found += _name(value)
            case "StudyDate":
                found += _dates(value)
            case "ModalitiesInStudy":
                codes = re.split(r"[,\\]", value)
                found.append(("modality", ",".join(token(names.DCM, code) for code in codes)))
    return found


def _name(value: str) -> list[tuple[str, str]]:
    """PatientName as HAPI can match it: the beginning of each part of a name, so that a last `*` is implied.

    A `*` or `?` elsewhere is refused: HAPI's `:contains` costs a scan and is off.
    """
    found = []
    for part in filter(None, re.split(r"[\^=\s]+", value)):
        text = part.removesuffix("*")
        if not text or "*" in text or "?" in text:
            raise BadRequestError("PatientName")
        found.append(("patient.name", text.replace("\\", "\\\\").replace(",", "\\,")))
    return found


def _dates(value: str) -> list[tuple[str, str]]:
    start, dash, end = value.partition("-")
    if not dash:
        end = start
    found = []
    for prefix, text in (("ge", start), ("le", end)):
        if text and not _DAY.fullmatch(text):
            raise BadRequestError("StudyDate")
        if text:
            found.append(("started", f"{prefix}{text[:4]}-{text[4:6]}-{text[6:]}"))
    return found


def _matches(keys: Mapping[str, str], row: Mapping[str, object]) -> bool:
    return all(str(row[keyword]) in re.split(r"[,\\]", value) for keyword, value in keys.items())


def _element(vr: str, value: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


def _json(answers: Sequence[Mapping[str, Any]]) -> Response:
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, Cookie"}
    return Response(orjson.dumps(list(answers)), 200, headers, "application/dicom+json")
