"""Reads of one resource: current, one version, its history. Ways a and b of a request.

Sources: FHIR R4 http.html (read, vread, history, conditional read).
"""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from facade import answer
from facade.chains import is_open
from facade.errors import BadRequestError, HAPIGoneError, HAPINotFoundError, MethodError, NotFoundError
from facade.gate import Gate
from facade.outcome import MEDIA_TYPE
from facade.parameters import ID
from facade.request import Request
from facade.shaping import shape
from smart_auth import compartment, policy
from smart_auth.interaction import Decision

INTERNAL = "/internal-hapi"
_SINCE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


async def read(
    gate: Gate, decision: Decision, asked: Request, if_none_match: str | None, *, is_get: bool = True
) -> Response:
    """Answer a read."""
    interaction = asked.interaction
    type_, id_ = str(interaction.type), str(interaction.id)
    patients = [f"Patient/{id_}"] if type_ == "Patient" else []
    if is_get and _can_pass(gate, decision, asked, if_none_match):
        await gate.record(interaction, what=[f"{type_}/{id_}"], patients=patients, passed=True)
        uri = f"{INTERNAL}/{type_}/{_checked(id_)}"
        return Response(headers={**answer.HEADERS, "X-Accel-Redirect": uri}, media_type=MEDIA_TYPE)
    resource = await gate.read(decision, type_, id_)
    await gate.record(interaction, what=[f"{type_}/{id_}"], patients=[patient_reference(resource)])
    version = answer.etag(resource)
    if if_none_match is not None and version in if_none_match:
        return Response(status_code=304, headers={**answer.HEADERS, "ETag": version})
    return answer.resource(shape(policy.project(decision, resource), asked.controls), version=version)


async def vread(gate: Gate, decision: Decision, asked: Request) -> Response:
    """Answer a read of one version: the current version has to be visible as well as the old one."""
    interaction = asked.interaction
    type_, id_ = str(interaction.type), str(interaction.id)
    await gate.read(decision, type_, id_)
    try:
        old = await gate.hapi.vread(type_, id_, str(interaction.version))
    except (HAPINotFoundError, HAPIGoneError):
        raise NotFoundError() from None
    if not await gate.confirm(decision, old, linked=True):
        raise NotFoundError()
    what = f"{type_}/{id_}/_history/{interaction.version}"
    await gate.record(interaction, what=[what], patients=[patient_reference(old)])
    return answer.resource(shape(policy.project(decision, old), asked.controls), version=answer.etag(old))


async def history(gate: Gate, decision: Decision, asked: Request) -> Response:
    """Answer a history: of an instance that is visible now, or of a type that is visible whole."""
    interaction, controls = asked.interaction, asked.controls
    type_ = str(interaction.type)
    if interaction.id is not None:
        await gate.read(decision, type_, interaction.id)
    elif not is_open(decision):
        # Which deleted resources were whose cannot be told any more.
        raise MethodError("the history of a type is for those who see all of it")
    path = f"{type_}/{interaction.id}/_history" if interaction.id else f"{type_}/_history"
    count = gate.services.settings.page_default if controls.count is None else controls.count
    params = [("_count", str(max(1, count))), ("_offset", str(controls.offset))]
    if controls.since is not None:
        if not _SINCE.fullmatch(controls.since):
            raise BadRequestError("_since is an instant")
        params.append(("_since", controls.since))
    if interaction.id is not None:
        page = await gate.hapi.instance_history(type_, interaction.id, params)
    else:
        page = await gate.hapi.history(type_, params)
    entries, patients = [], []
    for entry in page.get("entry", []):
        resource = entry.get("resource")
        if resource is not None:
            if not await gate.confirm(decision, resource, linked=True):
                continue
            patients.append(patient_reference(resource))
        entries.append(_history_entry(gate, entry, decision, type_))
    what = [f"{type_}/{interaction.id}"] if interaction.id else []
    await gate.record(interaction, what=what, patients=patients)
    address = f"{gate.services.settings.base_url}/fhir/{path}"
    has_more = any(link.get("relation") == "next" for link in page.get("link", []))
    found = answer.links(address, asked.client, controls, max(1, count), has_more=has_more)
    return answer.bundle(answer.searchset(entries, found, kind="history"))


def patient_reference(resource: dict[str, Any]) -> str | None:
    """Return `Patient/x` of whose record the resource is part."""
    patient = compartment.patient_of(resource)
    return f"Patient/{patient}" if patient else None


def _history_entry(gate: Gate, entry: dict[str, Any], decision: Decision, type_: str) -> dict[str, Any]:
    """Rebuild one entry from what is known; HAPI's urls and diagnostics stay behind."""
    resource = entry.get("resource")
    id_ = resource["id"] if resource else str(entry.get("fullUrl", "")).rpartition("/")[2]
    built: dict[str, Any] = {"fullUrl": f"{gate.services.settings.base_url}/fhir/{type_}/{id_}"}
    if resource is not None:
        built["resource"] = policy.project(decision, resource)
    method = entry.get("request", {}).get("method", "PUT")
    built["request"] = {"method": method, "url": f"{type_}/{id_}" if method != "POST" else type_}
    response = entry.get("response", {})
    built["response"] = {k: response[k] for k in ("status", "etag", "lastModified") if k in response}
    return built


def _can_pass(gate: Gate, decision: Decision, asked: Request, if_none_match: str | None) -> bool:
    """Whether nginx may carry the answer: nothing to look at, and the patient is known from the request."""
    type_ = asked.interaction.type
    return (
        gate.services.settings.accel
        and not decision.confirm
        and if_none_match is None
        and not asked.controls.elements
        and asked.controls.summary in (None, "false")
        and (type_ == "Patient" or type_ in compartment.WITHOUT_PATIENT)
    )


def _checked(id_: str) -> str:
    """Return the id once more checked, because it becomes part of an internal address."""
    if not ID.fullmatch(id_) or id_ in (".", ".."):
        raise NotFoundError()
    return id_
