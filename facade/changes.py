"""One write, checked: what will be stored in which place, under which version or condition.

Everything that can be checked before HAPI changes anything is checked here, for a single request and for an
entry of a transaction alike; `facade.writing` and `facade.transaction` carry it out.
Sources: FHIR R4 http.html (create, update, patch, delete, conditional interactions).
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

from facade import json_patch, names, references, rules
from facade.errors import (
    BadRequestError,
    BusinessRuleError,
    ConflictError,
    FacadeError,
    HAPIConflictError,
    HAPIPermanentError,
    InvalidResourceError,
    MultipleMatchesError,
    NotFoundError,
    RefusedError,
    StaleVersionError,
    UnresolvedReferenceError,
    VersionRequiredError,
    raise_together,
)
from facade.gate import Gate
from facade.hapi import encode
from facade.matching import Criteria, condition, matching
from facade.reading import patient_reference
from facade.validation import validate
from smart_auth import policy
from smart_auth.interaction import Decision, Interaction

Resource = dict[str, Any]
# HAPI-1094: a reference to what is not there; HAPI-1096: to what was deleted.
_DANGLING = ("HAPI-1094", "HAPI-1096")
_MRN = re.compile(r"[^|$,\\\s]{1,64}")


@dataclass
class Change:
    """A checked write. `found`: a conditional create that found what is there, and changes nothing."""

    interaction: Interaction
    body: Resource | None = None
    old: Resource | None = None
    version: str | None = None
    """The version that is replaced."""
    condition: str | None = None
    """If-None-Exist, as HAPI is to be asked."""
    is_ours: bool = False
    """The condition is the product's (a Patient's MRN), not the caller's."""
    found: Resource | None = None

    @property
    def patients(self) -> list[str | None]:
        """Whose record is touched: of the old and of the new version."""
        return [patient_reference(r) for r in (self.old, self.body, self.found) if r is not None]

    @property
    def reference(self) -> str:
        """`Type/id`, or the type of what has no id yet."""
        known = self.interaction.id or (self.found or {}).get("id")
        return f"{self.interaction.type}/{known}" if known else str(self.interaction.type)


async def create(
    gate: Gate, decision: Decision, interaction: Interaction, body: Resource, tag: str | None = None
) -> Change:
    """Check a create; `interaction.parameters` is If-None-Exist, `tag` marks one Idempotency-Key."""
    type_ = str(interaction.type)
    body.pop("id", None)
    await prepare(gate, decision, body, None)
    change = Change(interaction, body)
    criteria: Criteria = interaction.parameters
    by_mrn = [("identifier", f"{names.MRN}|{checked_mrn(mrn)}")] if (mrn := _mrn(body)) else None
    if criteria:
        change.found = await matching(gate, type_, criteria)
    if by_mrn is not None:
        # An MRN stands for one patient: a second registration finds the first, whatever else it asks for.
        change.condition, change.is_ours = encode(by_mrn), tuple(by_mrn) != tuple(criteria)
    elif criteria:
        change.condition = condition(gate, type_, criteria, body)
    elif tag is not None:
        body.setdefault("meta", {}).setdefault("tag", []).append({"system": names.IDEMPOTENCY, "code": tag})
        change.condition = encode([("_tag", f"{names.IDEMPOTENCY}|{tag}")])
    return change


async def update(
    gate: Gate, decision: Decision, interaction: Interaction, body: Resource, version: str | None
) -> Change:
    """Check an update; `version` is the one that the caller has seen."""
    type_, id_ = str(interaction.type), str(interaction.id)
    if body.get("id") != id_:
        raise BadRequestError("the id in the body is not the id of the address")
    old = await _current(gate, decision, type_, id_)
    _check_version(old, version)
    await prepare(gate, decision, body, old)
    return Change(interaction, body, old, version)


async def patch(
    gate: Gate, decision: Decision, interaction: Interaction, steps: json_patch.Patch, version: str | None
) -> Change:
    """Check a JSON Patch, applied to the version that the caller has seen: it becomes a versioned update."""
    type_, id_ = str(interaction.type), str(interaction.id)
    # The answer shows the whole resource, and a `test` asks for any value of it: that is a read as well.
    gate.decide(Interaction("read", type_, id_))
    old = await _current(gate, decision, type_, id_)
    if await gate.visible(type_, id_) is None:
        raise NotFoundError()
    _check_version(old, version)
    body = json_patch.apply(steps, old, gate.services.settings.body_max_bytes)
    await prepare(gate, decision, body, old)
    return Change(interaction, body, old, version)


async def delete(gate: Gate, decision: Decision, interaction: Interaction, version: str | None) -> Change:
    """Check a delete; the facade compares the version because HAPI does not."""
    old = await _current(gate, decision, str(interaction.type), str(interaction.id))
    _check_version(old, version)
    return Change(interaction, None, old, version)


async def located(
    gate: Gate, interaction: Interaction, version: str | None
) -> tuple[Interaction, str | None] | None:
    """Return what a conditional write is about, as a write by id with the version that was found; or None."""
    type_ = str(interaction.type)
    found = await matching(gate, type_, interaction.parameters)
    if found is None:
        return None
    asked = Interaction(interaction.kind, type_, found["id"])
    seen = found.get("meta", {}).get("versionId")
    # A delete keeps to a version that a person has looked at.
    return asked, version if version is not None or interaction.kind == "delete" else seen


async def prepare(gate: Gate, decision: Decision, body: Resource, old: Resource | None) -> None:
    """Check everything that can be checked before HAPI sees the new version."""
    rules.clean(body, old)
    await check(gate, body, old)
    if body["resourceType"] == "Task" and old is None:
        await _take_subject(gate, body)
    if old is not None and body["resourceType"] == "Observation":
        await rules.check_observation(gate.hapi, body, old)
    if old is not None and body["resourceType"] == "Patient":
        await _check_mrn(gate, body, old)
    if not await gate.confirm(decision, body):
        code = "ERR_004" if policy.is_of_allowed_category(decision, body) else "ERR_014"
        raise RefusedError(code, "the new version is outside the caller's rights")


async def check(gate: Gate, body: Resource, old: Resource | None) -> None:
    """Raise with everything that is wrong with a new version: structure, product rules and references."""
    found: list[FacadeError] = []
    try:
        validate(body)
    except InvalidResourceError as error:
        found.append(error)
    # What cannot be read as its type is not asked for more: rules and references see the rest.
    broken = (
        {re.split(r"[.\[]", place)[1] for place, _ in found[0].issues if "." in place} if found else set()
    )
    rest = (
        copied({name: value for name, value in body.items() if not _is_broken(name, broken)})
        if found
        else body
    )
    try:
        rules.check(rest, old)
    except FacadeError as error:
        found += _about_others(error, broken)
    try:
        await references.resolve(gate, rest, old)
    except (UnresolvedReferenceError, BusinessRuleError) as error:
        found += _about_others(error, broken)
    raise_together(found)


def _is_broken(name: str, broken: set[str]) -> bool:
    bare = name.removeprefix("_")
    # The place of a choice is its bare name: `value` of `valueQuantity`.
    return any(bare.startswith(one) and not bare[len(one) : len(one) + 1].islower() for one in broken)


def _about_others(error: FacadeError, broken: set[str]) -> list[FacadeError]:
    """Return the errors that are not about an element which cannot be read anyway."""
    kept = []
    for one in (error, *error.beside):
        issues = tuple(row for row in one.issues if not {re.split(r"[.\[]", row[0] + ".")[1]} & broken)
        one.beside = ()
        if issues or not one.issues:
            one.issues = issues
            kept.append(one)
    return kept


def translated(error: HAPIPermanentError) -> Exception:
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


def copied(body: Resource) -> Resource:
    """Return a copy for one more try: checking writes into the body."""
    return copy.deepcopy(body)


async def _current(gate: Gate, decision: Decision, type_: str, id_: str) -> Resource:
    """Return the stored version, if it may be written; what may only be read is told apart from nothing."""
    seen = await gate.visible(type_, id_)
    try:
        return await gate.read(decision, type_, id_)
    except NotFoundError:
        if seen is not None:
            raise RefusedError("ERR_004", "this resource may be read only") from None
        raise


def _check_version(old: Resource, version: str | None) -> None:
    if version is None:
        raise VersionRequiredError()
    if version != old.get("meta", {}).get("versionId"):
        raise StaleVersionError()


async def _take_subject(gate: Gate, task: Resource) -> None:
    """Give an AI task the subject of its study: that is where a result's subject comes from, always."""
    study = await gate.visible(*task["focus"]["reference"].split("/")[:2])
    subject = (study or {}).get("subject")
    if subject is None or task.get("for", subject).get("reference") != subject.get("reference"):
        raise InvalidResourceError("not the subject of the study", expression="Task.for")
    task["for"] = subject


async def _check_mrn(gate: Gate, body: Resource, old: Resource) -> None:
    """Raise if an update would give a Patient the MRN of another."""
    mrn = rules.mrn(body)
    if mrn is None or mrn == rules.mrn(old):
        return
    page = await gate.hapi.search("Patient", [("identifier", f"{names.MRN}|{checked_mrn(mrn)}")], count=2)
    if any(entry["resource"]["id"] != old["id"] for entry in page.get("entry", [])):
        raise ConflictError("another patient has this MRN", expression="Patient.identifier")


def _mrn(body: Resource) -> str | None:
    return rules.mrn(body) if body["resourceType"] == "Patient" else None


def checked_mrn(mrn: str) -> str:
    """Return an MRN that means the same in a search."""
    if not _MRN.fullmatch(mrn):
        raise InvalidResourceError("an MRN has no spaces, commas or bars", expression="Patient.identifier")
    return mrn
