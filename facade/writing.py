"""Single writes (way c): carry out one checked change, nothing is overwritten unseen.

An intent record is durable before HAPI is asked to change anything, an outcome record before the answer. A
conditional update needs no lock: it is a conditional create or a versioned PUT, each of them one step of the
store, and whoever loses the race looks again. Whatever is killed in between leaves nothing half done.
Sources: FHIR R4 http.html (create, update, patch, delete, conditional interactions, "Managing Resource
Contention"); RFC 6585 section 3 (428).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from starlette.responses import Response

from facade import answer, changes, json_patch
from facade.changes import Change, copied, translated
from facade.errors import (
    BadRequestError,
    ConflictError,
    HAPIConflictError,
    HAPIPermanentError,
    NotFoundError,
    ReferencedError,
    StaleVersionError,
)
from facade.gate import Gate
from facade.reading import patient_reference
from smart_auth.interaction import Decision, Interaction

Resource = dict[str, Any]
_MOST_TRIES = 6


async def create(
    gate: Gate,
    decision: Decision,
    interaction: Interaction,
    body: Resource,
    prefer: str | None,
    tag: str | None = None,
) -> tuple[Response, str]:
    """Store a new resource, or find the one that the condition names; returns the answer and the Location."""
    change = await changes.create(gate, decision, interaction, body, tag)
    stored, is_new = await _create(gate, change)
    where = location(gate, stored)
    return answer.resource(stored, 201 if is_new else 200, location=where, prefer=prefer), where


async def update(
    gate: Gate,
    decision: Decision,
    interaction: Interaction,
    body: Resource,
    version: str | None,
    prefer: str | None,
) -> Response:
    """Store the next version; `version` is the one that the caller has seen."""
    if not interaction.parameters:
        change = await changes.update(gate, decision, interaction, body, version)
        return answer.resource(await _replace(gate, change), prefer=prefer)
    for _ in range(_MOST_TRIES):
        found = await changes.located(gate, interaction, version)
        if found is None:
            if version is not None:
                raise StaleVersionError()
            if "id" in body:
                raise BadRequestError("clients do not choose ids")
            asked = Interaction("create", interaction.type, parameters=interaction.parameters)
            change = await changes.create(gate, gate.decide(asked), asked, copied(body))
            if change.found is None:
                made, is_new = await _create(gate, change)
                if is_new:
                    return answer.resource(made, 201, location=location(gate, made), prefer=prefer)
                if change.is_ours:
                    raise ConflictError("another patient has this MRN", expression="Patient.identifier")
            continue  # somebody else was first: what is there now is to be replaced
        by_id, seen = found
        again = {"id": by_id.id, **copied(body)}
        checked = changes.update(gate, gate.decide(by_id), by_id, again, seen)
        if (stored := await _won(gate, checked, version)) is not None:
            return answer.resource(stored, prefer=prefer)
    raise ConflictError()


async def patch(
    gate: Gate,
    decision: Decision,
    interaction: Interaction,
    steps: json_patch.Patch,
    version: str | None,
    prefer: str | None,
) -> Response:
    """Apply a JSON Patch to the version that the caller has seen, or to the one that the condition finds."""
    if not interaction.parameters:
        change = await changes.patch(gate, decision, interaction, steps, version)
        return answer.resource(await _replace(gate, change), prefer=prefer)
    for _ in range(_MOST_TRIES):
        found = await changes.located(gate, interaction, version)
        if found is None:
            raise NotFoundError()
        by_id, seen = found
        checked = changes.patch(gate, gate.decide(by_id), by_id, copied_steps(steps), seen)
        if (stored := await _won(gate, checked, version)) is not None:
            return answer.resource(stored, prefer=prefer)
    raise ConflictError()


async def delete(gate: Gate, decision: Decision, interaction: Interaction, version: str | None) -> Response:
    """Delete one resource, by id or by a condition that exactly one fulfils."""
    if interaction.parameters:
        found = await changes.located(gate, interaction, version)
        if found is None:
            raise NotFoundError()
        interaction, version = found
        decision = gate.decide(interaction)
    change = await changes.delete(gate, decision, interaction, version)
    await record(gate, change, phase="intent")
    try:
        await gate.hapi.delete(str(interaction.type), str(interaction.id))
    except HAPIConflictError:
        raise ReferencedError() from None
    await record(gate, change)
    return Response(status_code=204, headers=answer.HEADERS)


async def record(
    gate: Gate, change: Change, stored: Resource | None = None, *, phase: str | None = None
) -> None:
    """Make the record of a write durable: the intent before it, the outcome after it."""
    what, patients = change.reference, change.patients
    if stored is not None:
        what = f"{stored['resourceType']}/{stored['id']}"
        if change.old is not None:
            what = f"{what}/_history/{stored.get('meta', {}).get('versionId', '')}"
        patients = [*patients, patient_reference(stored)]
    elif change.found is None and change.old is None:
        patients = []  # nothing is there yet
    detail = {"phase": phase} if phase else None
    await gate.record(change.interaction, what=[what], patients=patients, detail=detail)


def location(gate: Gate, stored: Resource) -> str:
    """Return the versioned address of what is stored."""
    version = stored.get("meta", {}).get("versionId", "1")
    return (
        f"{gate.services.settings.base_url}/fhir/{stored['resourceType']}/{stored['id']}/_history/{version}"
    )


async def check_found(gate: Gate, change: Change, stored: Resource) -> None:
    """Raise unless the caller may read what a conditional create came upon."""
    right = gate.may(Interaction("read", str(change.interaction.type), stored["id"]))
    if not right.allowed or not await gate.confirm(right, stored):
        raise ConflictError() if change.is_ours else NotFoundError()


def copied_steps(steps: json_patch.Patch) -> json_patch.Patch:
    """Return a copy for one more try: values of a patch become part of what is patched."""
    return [copied(step) for step in steps]


async def _won(gate: Gate, checked: Awaitable[Change], version: str | None) -> Resource | None:
    """Check and store; None if somebody else was first, unless the caller has named the version."""
    try:
        return await _replace(gate, await checked)
    except StaleVersionError:
        if version is not None:
            raise
        return None


async def _create(gate: Gate, change: Change) -> tuple[Resource, bool]:
    await record(gate, change, phase="intent")
    stored, is_new = change.found, False
    if stored is None:
        try:
            stored, is_new = await gate.hapi.create_or_find(change.body or {}, if_none_exist=change.condition)
        except HAPIPermanentError as error:
            raise translated(error) from None
    if not is_new:
        await check_found(gate, change, stored)
    await record(gate, change, stored)
    return stored, is_new


async def _replace(gate: Gate, change: Change) -> Resource:
    await record(gate, change, phase="intent")
    try:
        stored = await gate.hapi.update(change.body or {}, if_match=change.version)
    except HAPIPermanentError as error:
        raise translated(error) from None
    await record(gate, change, stored)
    return stored
