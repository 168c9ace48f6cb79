"""What the AI found in one study, for the panel beside the images: `GET /viewer/studies/{study}/results`.

Who may open the study may ask. Each part (Task, DiagnosticReport, Observations, Device) is decided and
confirmed for the caller like a read of its own, so a draft does not exist for patients and partners.
`content` is the fingerprint that `$review` and `$sign` take, `operations` what refuses them to this caller
(null: nothing). Source: the product's design, sections 4 (life of a report) and 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from facade import exact, names, reports
from facade.access import audited
from facade.errors import HAPIGoneError, HAPINotFoundError, InvalidResourceError, NotFoundError
from facade.gate import Gate
from facade.outcome import code_of, language
from facade.reports import Resource
from facade.routes.images import view
from smart_auth import compartment, policy
from smart_auth.interaction import Interaction
from smart_auth.released import WITHDRAWN

PATH = "/viewer/studies/{study}/results"
MOST = 20
"""Newest results of a study that are shown; a study has one for each bundle and change of its images."""

_READ = Interaction("read", "DiagnosticReport")


async def results(request: Request) -> Response:
    """The AI results of one study, the newest first, as far as the caller may see them."""
    seen = await view(request, request.path_params["study"])
    gate, study = seen.gate, f"ImagingStudy/{seen.resource['id']}"
    async with audited(gate, _READ):
        found = [
            shown for task in await _tasks(gate, study) if (shown := await _shown(gate, seen.resource, task))
        ]
        disclosed = [_reference(part) for one in found for part in _parts(one)]
        await gate.record(
            _READ,
            what=disclosed or [study],
            patients=[seen.patient],
            detail={"results": seen.study.study_uid},
        )
    body = {
        "language": language(request.headers.get("accept-language")),
        "study": {"reference": study, "status": seen.resource.get("status")},
        "results": found,
    }
    headers = {"Cache-Control": "private, no-store", "Vary": "Accept-Language"}
    return Response(exact.dumps(body), media_type="application/json", headers=headers)


async def _tasks(gate: Gate, study: str) -> list[Resource]:
    asked = [("focus", study), ("code", f"{names.TASK}|{names.TASK_CODE}"), ("_sort", "-_lastUpdated")]
    page = await gate.hapi.search("Task", asked, count=MOST)
    found = [entry["resource"] for entry in page.get("entry", [])]
    # What was found for a patient whose images these are not any more is no result of this study.
    return [task for task in found if task["status"] != WITHDRAWN]


async def _shown(gate: Gate, study: Mapping[str, Any], task: Resource) -> dict[str, Any] | None:
    """One result as this caller sees it; None where nothing of it is the caller's."""
    report, observations, content, problem = None, [], None, None
    is_whole = False
    if reports.report_of(task) is not None:
        try:
            found = await reports.of_task(gate, task)
            if compartment.patient_of(found.report) != compartment.patient_of(study):
                raise InvalidResourceError("about another patient", expression="DiagnosticReport.subject")
        except (InvalidResourceError, HAPINotFoundError, HAPIGoneError) as error:
            problem = code_of(error)  # a part is missing or another patient's: said, never shown
        else:
            report = await _visible(gate, found.report)
            observations = [one for part in found.observations if (one := await _visible(gate, part))]
            content, is_whole = found.content, len(observations) == len(found.observations)
    seen = await _visible(gate, task)
    if seen is None and report is None:
        return None
    return {
        "task": seen,
        "report": report,
        "observations": observations if report else [],
        "device": await _device(gate, observations) if report else None,
        # Who sees a part of it only has nothing to approve or sign.
        "content": content if seen and is_whole else None,
        "operations": _operations(gate, seen, report) if seen and report and is_whole else {},
        "problem": problem if seen else None,
    }


async def _visible(gate: Gate, resource: Resource, *, linked: bool = False) -> Resource | None:
    decision = gate.may(Interaction("result-read", resource["resourceType"], resource["id"]))
    if not await gate.confirm(decision, resource, linked=linked):
        return None
    return policy.project(decision, resource)


async def _device(gate: Gate, observations: Iterable[Resource]) -> Resource | None:
    """The algorithm that the visible Observations name."""
    for observation in observations:
        type_, _, id_ = str(observation.get("device", {}).get("reference", "")).partition("/")
        if type_ != "Device":
            continue
        try:
            return await _visible(gate, await gate.hapi.read("Device", id_), linked=True)
        except (HAPINotFoundError, HAPIGoneError, NotFoundError):
            return None
    return None


def _operations(gate: Gate, task: Resource, report: Resource) -> dict[str, str | None]:
    asked = (("Task", task, "$review"), ("DiagnosticReport", report, "$sign"))
    return {
        operation: gate.may(Interaction("operation", type_, part["id"], operation=operation)).code
        for type_, part, operation in asked
    }


def _parts(result: Mapping[str, Any]) -> list[Resource]:
    return [part for part in (result["task"], result["report"], *result["observations"]) if part]


def _reference(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


routes = [Route(PATH, results, methods=["GET", "HEAD"])]
