"""Reads of one resource: the current version, or an old one. Ways a and b of a request.

Sources: FHIR R4 http.html (read, vread, conditional read).
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from facade import answer
from facade.errors import HAPIGoneError, HAPINotFoundError, NotFoundError
from facade.gate import Gate
from facade.outcome import MEDIA_TYPE
from facade.parameters import ID
from facade.preconditions import Preconditions, is_unchanged
from facade.request import Request
from facade.shaping import shape
from smart_auth import compartment, policy
from smart_auth.interaction import Decision

INTERNAL = "/internal-hapi"


async def read(
    gate: Gate, decision: Decision, asked: Request, conditions: Preconditions, *, may_pass: bool = False
) -> Response:
    """Answer a read; `may_pass`: nginx is there to carry the answer."""
    interaction = asked.interaction
    type_, id_ = str(interaction.type), str(interaction.id)
    patients = [f"Patient/{id_}"] if type_ == "Patient" else []
    if may_pass and not conditions.is_conditional_read and _can_pass(gate, decision, asked):
        gate.hapi.check()
        await gate.record(interaction, what=[f"{type_}/{id_}"], patients=patients, passed=True)
        uri = f"{INTERNAL}/{type_}/{_checked(id_)}"
        return Response(headers={**answer.HEADERS, "X-Accel-Redirect": uri}, media_type=MEDIA_TYPE)
    resource = await gate.read(decision, type_, id_)
    unchanged = conditions.is_conditional_read and is_unchanged(conditions, resource)
    await gate.record(interaction, what=[f"{type_}/{id_}"], patients=[patient_reference(resource)])
    version = answer.etag(resource)
    if unchanged:
        return Response(status_code=304, headers={**answer.HEADERS, "ETag": version})
    return answer.resource(shape(policy.project(decision, resource), asked.controls), version=version)


async def vread(gate: Gate, decision: Decision, asked: Request, conditions: Preconditions) -> Response:
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
    unchanged = conditions.is_conditional_read and is_unchanged(conditions, old)
    await gate.record(interaction, what=[what], patients=[patient_reference(old)])
    if unchanged:
        return Response(status_code=304, headers={**answer.HEADERS, "ETag": answer.etag(old)})
    return answer.resource(shape(policy.project(decision, old), asked.controls), version=answer.etag(old))


def patient_reference(resource: dict[str, Any]) -> str | None:
    """Return `Patient/x` of whose record the resource is part."""
    patient = compartment.patient_of(resource)
    return f"Patient/{patient}" if patient else None


def _can_pass(gate: Gate, decision: Decision, asked: Request) -> bool:
    """Whether nginx may carry the answer: nothing to look at, and the patient is known from the request."""
    type_ = asked.interaction.type
    return (
        gate.services.settings.accel
        and not decision.confirm
        and not asked.controls.elements
        and asked.controls.summary in (None, "false")
        and (type_ == "Patient" or type_ in compartment.WITHOUT_PATIENT)
    )


def _checked(id_: str) -> str:
    """Return the id once more checked, because it becomes part of an internal address."""
    if not ID.fullmatch(id_) or id_ in (".", ".."):
        raise NotFoundError()
    return id_
