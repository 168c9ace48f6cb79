"""`$everything` of a Patient or an Encounter: searches that are each decided, confirmed and paged.

The order is fixed (type by type, then id), so that pages follow each other; with each page comes what its
resources refer to (people, places, devices, medication) and their Provenance. The trail is not part of it.
Sources: FHIR R4 patient-operation-everything, encounter-operation-everything.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from facade import answer, including
from facade.controls import Include
from facade.errors import TooCostlyError
from facade.gate import Gate
from facade.hapi import encode
from facade.history import instant
from facade.parameters import TABLE
from facade.reading import patient_reference
from facade.request import Request
from smart_auth import compartment, policy
from smart_auth.interaction import Decision, Interaction

_MOST_SEEN = 5000
_NOT_OF_THE_RECORD = frozenset({"Patient", "AuditEvent", "Device"})
_BESIDE = compartment.WITHOUT_PATIENT | {"Device"}

Shown = tuple[dict[str, Any], Decision]


async def everything(gate: Gate, decision: Decision, asked: Request) -> Response:
    """Answer one page."""
    interaction, controls = asked.interaction, asked.controls
    type_, id_ = str(interaction.type), str(interaction.id)
    focus = await gate.read(decision, type_, id_)
    count = gate.services.settings.page_default if controls.count is None else max(1, controls.count)
    found = await _found(gate, asked, focus, decision, controls.offset + count + 1)
    page = found[controls.offset : controls.offset + count]
    beside = await _beside(gate, page, controls.types)
    await gate.record(
        interaction,
        what=[f"{type_}/{id_}"],
        patients=[patient_reference(resource) for resource, _ in [*page, *beside]],
        detail={"operation": "$everything", "query": f"{type_}/$everything?{encode(asked.client)}"},
    )
    base = f"{gate.services.settings.base_url}/fhir"
    entries = [_entry(base, shown, "match") for shown in page] + [_entry(base, s, "include") for s in beside]
    has_more = len(found) > controls.offset + count
    address = f"{base}/{type_}/{id_}/$everything"
    links = answer.links(address, asked.client, controls, count, has_more=has_more)
    return answer.bundle(answer.searchset(entries, links))


async def _found(
    gate: Gate, asked: Request, focus: dict[str, Any], decision: Decision, enough: int
) -> list[Shown]:
    """Return the first visible resources of the record, in its order."""
    types = asked.controls.types
    type_ = str(asked.interaction.type)
    found: list[Shown] = [(focus, decision)] if not types or type_ in types else []
    since = asked.controls.since
    bounds = [("_lastUpdated", f"ge{instant(since)}")] if since is not None else []
    seen = 0
    for other, parameter in _members(type_):
        if types and other not in types:
            continue
        tie = (parameter, f"{type_}/{focus['id']}")
        right = gate.may(Interaction("search", other, parameters=(tie,)))
        if not right.allowed:
            continue
        async for resource in gate.matches(right, other, [tie, *bounds, *right.narrow]):
            seen += 1
            if seen > _MOST_SEEN:
                raise TooCostlyError()
            if await gate.confirm(right, resource):
                found.append((resource, right))
            if len(found) >= enough:
                return found
    return found


def _members(type_: str) -> list[tuple[str, str]]:
    """Return (type, search parameter) of what belongs to a Patient, or happened in an Encounter."""
    if type_ == "Patient":
        return [
            (other, subject.parameter)
            for other, subject in sorted(compartment.SUBJECTS.items())
            if other not in _NOT_OF_THE_RECORD
        ]
    return [
        (other, name)
        for other, table in sorted(TABLE.items())
        for name in ("encounter", "context")
        if other not in _NOT_OF_THE_RECORD and "Encounter" in table.get(name, {}).get("targets", [])
    ]


async def _beside(gate: Gate, page: list[Shown], types: tuple[str, ...]) -> list[Shown]:
    """Return what the page's resources refer to, and their Provenance."""
    wanted = [
        Include(source, name, target, reverse=False, iterate=False, is_wildcard=True)
        for source in sorted({str(resource["resourceType"]) for resource, _ in page})
        for name, row in TABLE[source].items()
        if row["type"] == "reference"
        for target in row["targets"]
        if target in _BESIDE or (source == "Encounter" and target == "Patient")
    ]
    wanted.append(Include("Provenance", "target", None, reverse=True, iterate=False, is_wildcard=True))
    wanted = [i for i in wanted if not types or (i.source if i.reverse else i.target) in types]
    rights = including.rights(gate, wanted)
    return await including.included(gate, [resource for resource, _ in page], wanted, rights)


def _entry(base: str, shown: Shown, mode: str) -> dict[str, Any]:
    resource, right = shown
    return {
        "fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}",
        "resource": policy.project(right, resource),
        "search": {"mode": mode},
    }
