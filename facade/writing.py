"""Create, update and delete (way c): old and new are both checked, nothing is overwritten unseen.

An intent record is durable before HAPI is asked to change anything, an outcome record before the answer.
Sources: FHIR R4 http.html (create, conditional create, update, delete, "Managing Resource Contention");
RFC 6585 section 3 (428).
"""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from facade import answer, names, references, rules
from facade.errors import (
    BadRequestError,
    ConflictError,
    HAPIConflictError,
    HAPIPermanentError,
    InvalidResourceError,
    MultipleMatchesError,
    NotFoundError,
    ReferencedError,
    RefusedError,
    StaleVersionError,
    UnresolvedReferenceError,
    VersionRequiredError,
)
from facade.gate import Gate
from facade.hapi import encode
from facade.reading import patient_reference
from facade.validation import validate
from smart_auth.interaction import Decision, Interaction

# HAPI-1094: a reference to what is not there; HAPI-1096: to what was deleted.
_DANGLING = ("HAPI-1094", "HAPI-1096")
_MRN = re.compile(r"[^|$,\\\s]{1,64}")


async def create(
    gate: Gate,
    decision: Decision,
    interaction: Interaction,
    body: dict[str, Any],
    prefer: str | None,
    tag: str | None = None,
) -> tuple[Response, str]:
    """Store a new resource and return the answer and the Location.

    `interaction.parameters` is If-None-Exist; `tag` marks the resource of one Idempotency-Key.
    """
    type_ = str(interaction.type)
    body.pop("id", None)
    await _prepare(gate, decision, body, None)
    criteria = [*interaction.parameters]
    is_ours, found = False, None
    if type_ == "Patient" and (mrn := rules.mrn(body)) is not None:
        # An MRN stands for one patient: a second registration finds the first, whatever else it asks for.
        by_mrn = ("identifier", f"{names.MRN}|{_checked_mrn(mrn)}")
        if criteria != [by_mrn]:
            found = await _existing(gate, type_, [*criteria, *decision.narrow]) if criteria else None
            criteria, is_ours = [by_mrn], True
    if tag is not None and not criteria:
        body.setdefault("meta", {}).setdefault("tag", []).append({"system": names.IDEMPOTENCY, "code": tag})
        criteria = [("_tag", f"{names.IDEMPOTENCY}|{tag}")]
    await gate.record(interaction, what=[type_], detail={"phase": "intent"})
    condition = encode([*criteria, *decision.narrow]) if criteria else None
    try:
        stored, is_new = (
            (found, False)
            if found is not None
            else await gate.hapi.create_or_find(body, if_none_exist=condition)
        )
    except HAPIPermanentError as error:
        raise _translated(error) from None
    if not is_new:
        right = gate.may(Interaction("read", type_, stored["id"]))
        if not right.allowed or not await gate.confirm(right, stored):
            raise ConflictError() if is_ours else NotFoundError()
    reference = f"{type_}/{stored['id']}"
    await gate.record(interaction, what=[reference], patients=[patient_reference(stored)])
    version = stored.get("meta", {}).get("versionId", "1")
    location = f"{gate.services.settings.base_url}/fhir/{reference}/_history/{version}"
    status = 201 if is_new else 200
    return answer.resource(stored, status, location=location, prefer=prefer), location


async def update(
    gate: Gate,
    decision: Decision,
    interaction: Interaction,
    body: dict[str, Any],
    version: str | None,
    prefer: str | None,
) -> Response:
    """Store the next version; `version` is the one that the caller has seen."""
    type_, id_ = str(interaction.type), str(interaction.id)
    if body.get("id") != id_:
        raise BadRequestError("the id in the body is not the id of the address")
    old = await _current(gate, decision, type_, id_)
    _check_version(old, version)
    await _prepare(gate, decision, body, old)
    patients = [patient_reference(old), patient_reference(body)]
    await gate.record(interaction, what=[f"{type_}/{id_}"], patients=patients, detail={"phase": "intent"})
    try:
        stored = await gate.hapi.update(body, if_match=version)
    except HAPIPermanentError as error:
        raise _translated(error) from None
    versioned = f"{type_}/{id_}/_history/{stored.get('meta', {}).get('versionId', '')}"
    await gate.record(interaction, what=[versioned], patients=patients)
    return answer.resource(stored, prefer=prefer)


async def delete(gate: Gate, decision: Decision, interaction: Interaction, version: str | None) -> Response:
    """Delete; the facade compares the version because HAPI does not."""
    type_, id_ = str(interaction.type), str(interaction.id)
    old = await _current(gate, decision, type_, id_)
    _check_version(old, version)
    patients = [patient_reference(old)]
    await gate.record(interaction, what=[f"{type_}/{id_}"], patients=patients, detail={"phase": "intent"})
    try:
        await gate.hapi.delete(type_, id_)
    except HAPIConflictError:
        raise ReferencedError() from None
    await gate.record(interaction, what=[f"{type_}/{id_}"], patients=patients)
    return Response(status_code=204, headers=answer.HEADERS)


async def _current(gate: Gate, decision: Decision, type_: str, id_: str) -> dict[str, Any]:
    """Return the stored version, if it may be written; what may only be read is told apart from nothing."""
    seen = await gate.visible(type_, id_)
    try:
        return await gate.read(decision, type_, id_)
    except NotFoundError:
        if seen is not None:
            raise RefusedError("ERR_004", "this resource may be read only") from None
        raise


def _check_version(old: dict[str, Any], version: str | None) -> None:
    if version is None:
        raise VersionRequiredError()
    if version != old.get("meta", {}).get("versionId"):
        raise StaleVersionError()


async def _prepare(gate: Gate, decision: Decision, body: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Check everything that can be checked before HAPI sees the new version."""
    rules.clean(body, old)
    validate(body)
    rules.check(body, old)
    await references.resolve(gate, body, old)
    if body["resourceType"] == "Task" and old is None:
        await _take_subject(gate, body)
    if old is not None and body["resourceType"] == "Observation":
        await rules.check_observation(gate.hapi, body, old)
    if old is not None and body["resourceType"] == "Patient":
        await _check_mrn(gate, body, old)
    if not await gate.confirm(decision, body):
        raise RefusedError("ERR_004", "the new version is outside the caller's rights")


async def _existing(gate: Gate, type_: str, criteria: list[tuple[str, str]]) -> dict[str, Any] | None:
    """Return the one resource that fulfils a client's condition, or None."""
    entries = (await gate.hapi.search(type_, criteria, count=2)).get("entry", [])
    if len(entries) > 1:
        raise MultipleMatchesError()
    resource: dict[str, Any] | None = entries[0]["resource"] if entries else None
    return resource


async def _take_subject(gate: Gate, task: dict[str, Any]) -> None:
    """Give an AI task the subject of its study: that is where a result's subject comes from, always."""
    study = await gate.visible(*task["focus"]["reference"].split("/")[:2])
    subject = (study or {}).get("subject")
    if subject is None or task.get("for", subject).get("reference") != subject.get("reference"):
        raise InvalidResourceError("not the subject of the study", expression="Task.for")
    task["for"] = subject


async def _check_mrn(gate: Gate, body: dict[str, Any], old: dict[str, Any]) -> None:
    """Raise if an update would give a Patient the MRN of another."""
    mrn = rules.mrn(body)
    if mrn is None or mrn == rules.mrn(old):
        return
    page = await gate.hapi.search("Patient", [("identifier", f"{names.MRN}|{_checked_mrn(mrn)}")], count=2)
    if any(entry["resource"]["id"] != old["id"] for entry in page.get("entry", [])):
        raise ConflictError("another patient has this MRN", expression="Patient.identifier")


def _checked_mrn(mrn: str) -> str:
    """Return an MRN that means the same in a search."""
    if not _MRN.fullmatch(mrn):
        raise InvalidResourceError("an MRN has no spaces, commas or bars", expression="Patient.identifier")
    return mrn


def _translated(error: HAPIPermanentError) -> Exception:
    """Return what HAPI's refusal of a write means to the caller."""
    if isinstance(error, HAPIConflictError):
        if error.status == 412 and not error.is_stale:
            return MultipleMatchesError()
        # A version that was current a moment ago: somebody else was first.
        return StaleVersionError() if error.is_stale or error.hapi_code == "HAPI-0823" else ConflictError()
    if error.hapi_code in _DANGLING:
        return UnresolvedReferenceError()
    if error.status in (400, 422):
        return InvalidResourceError("the record store does not accept a value")
    return error
