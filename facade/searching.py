"""Searches (way b): narrowed, confirmed entry by entry, includes too; totals and pages of what may be seen.

A caller who sees part of a type gets pages that are counted over the visible matches: a hole in a page, or a
`next` link behind it, would tell that something hidden matches.
Sources: FHIR R4 search.html (_include, _total, _summary=count, paging).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from facade import answer, chains
from facade.errors import RefusedError, TooCostlyError
from facade.gate import Gate
from facade.hapi import Params, encode
from facade.parameters import TABLE
from facade.reading import patient_reference
from facade.request import Include, Request
from facade.shaping import shape
from smart_auth import policy
from smart_auth.interaction import Decision, Interaction

MOST_WALKED = 5000
MOST_INCLUDED = 1000
_WALK_PAGE = 200

Resource = dict[str, Any]


async def search(gate: Gate, decision: Decision, asked: Request) -> Response:
    """Answer a search by GET or POST."""
    type_, controls = str(asked.interaction.type), asked.controls
    rights = _include_rights(gate, controls.includes)
    params = [*await chains.resolve(gate, type_, asked.search), *decision.narrow]
    params.append(("_sort", f"{controls.sort},_id" if controls.sort else "_id"))
    count = gate.services.settings.page_default if controls.count is None else controls.count
    is_counted = controls.summary == "count" or count == 0
    total = None
    if is_counted or controls.total == "accurate":
        total = await _total(gate, decision, type_, params)
    matches, has_more = (
        ([], False) if is_counted else await _page(gate, decision, type_, params, controls.offset, count)
    )
    included = await _included(gate, type_, matches, controls.includes, rights) if matches else []
    disclosed = [*matches, *(resource for resource, _ in included)]
    await gate.record(
        asked.interaction,
        patients=[patient_reference(resource) for resource in disclosed],
        detail={"query": f"{type_}?{encode(asked.client)}"},
    )
    base = f"{gate.services.settings.base_url}/fhir"
    entries = [_entry(base, shape(policy.project(decision, r), controls), "match") for r in matches]
    entries += [_entry(base, policy.project(right, r), "include") for r, right in included]
    if asked.ignored:
        entries.append(_warning(asked.ignored))
    found = answer.links(f"{base}/{type_}", asked.client, controls, count, has_more=has_more)
    return answer.bundle(answer.searchset(entries, found, total=total))


async def _page(
    gate: Gate, decision: Decision, type_: str, params: Params, offset: int, count: int
) -> tuple[list[Resource], bool]:
    """Return the visible matches of one page, and whether there are more."""
    if not decision.confirm or decision.exact or chains.is_open(decision):
        page = await gate.hapi.search(type_, params, count=count, offset=offset)
        entries = [entry["resource"] for entry in page.get("entry", []) if "resource" in entry]
        has_more = any(link.get("relation") == "next" for link in page.get("link", []))
        return [r for r in entries if not decision.confirm or await gate.confirm(decision, r)], has_more
    visible: list[Resource] = []
    async for resource in _walk(gate, decision, type_, params):
        visible.append(resource)
        if len(visible) > offset + count:
            return visible[offset : offset + count], True
    return visible[offset : offset + count], False


async def _total(gate: Gate, decision: Decision, type_: str, params: Params) -> int:
    """Return how many visible resources match."""
    if not decision.confirm or decision.exact or chains.is_open(decision):
        page = await gate.hapi.search(type_, [*params, ("_total", "accurate"), ("_summary", "count")])
        return int(page.get("total", 0))
    return sum([1 async for _ in _walk(gate, decision, type_, params)])


async def _walk(gate: Gate, decision: Decision, type_: str, params: Params) -> Any:
    """Yield the visible matches from the first on, within a bound."""
    seen = 0
    async for resource in gate.hapi.search_all(type_, params, page=_WALK_PAGE):
        seen += 1
        if seen > MOST_WALKED:
            raise TooCostlyError()
        if await gate.confirm(decision, resource):
            yield resource


def _include_rights(gate: Gate, includes: Sequence[Include]) -> dict[str, Decision]:
    """Return the decision for each type that may be added; an include that can add nothing is refused."""
    rights: dict[str, Decision] = {}
    for include in includes:
        row = TABLE[include.source][include.parameter]
        if include.reverse:
            # It finds what was not asked for by id: that is a search.
            asked = {include.source: Interaction("search", include.source, parameters=(("_id", "-"),))}
            if include.source == "Provenance":
                asked = {"Provenance": Interaction("search", "Provenance", parameters=(("target", "-"),))}
        else:
            types = [include.target] if include.target else row["targets"]
            # One reference is followed, as a read of the target would.
            asked = {type_: Interaction("read", type_, "-") for type_ in types}
        decisions = {type_: gate.may(interaction) for type_, interaction in asked.items()}
        if not any(decision.allowed for decision in decisions.values()):
            refused = next(iter(decisions.values()), None)
            raise RefusedError((refused.code if refused else None) or "ERR_004", "include")
        rights |= {type_: decision for type_, decision in decisions.items() if decision.allowed}
    return rights


async def _included(
    gate: Gate,
    type_: str,
    matches: Sequence[Resource],
    includes: Sequence[Include],
    rights: Mapping[str, Decision],
) -> list[tuple[Resource, Decision]]:
    """Return what the includes add to the visible matches, each confirmed by its own right."""
    if not includes:
        return []
    ids = ",".join(resource["id"] for resource in matches)
    page = await gate.hapi.search(
        type_, [("_id", ids), *(include.pair() for include in includes)], count=len(matches)
    )
    candidates = [
        entry["resource"]
        for entry in page.get("entry", [])
        if entry.get("search", {}).get("mode") == "include"
    ]
    if len(candidates) > MOST_INCLUDED:
        raise TooCostlyError()
    found: list[tuple[Resource, Decision]] = []
    reached = {reference for resource in matches for reference in references(resource)}
    left = [c for c in candidates if c["resourceType"] in rights]
    # A name is shown because something visible refers to it, and that may itself be an included resource.
    while True:
        confirmed = []
        for candidate in left:
            right = rights[candidate["resourceType"]]
            is_reached = f"{candidate['resourceType']}/{candidate['id']}" in reached
            if right.depends == "referenced":
                is_visible = is_reached and policy.confirm(right, candidate, linked=True)
            else:
                is_visible = await gate.confirm(right, candidate)
            if is_visible:
                confirmed.append(candidate)
                found.append((candidate, right))
        if not confirmed:
            return found
        left = [c for c in left if c not in confirmed]
        reached |= {reference for resource in confirmed for reference in references(resource)}


def references(value: Any) -> Iterator[str]:
    """Yield `Type/id` of every literal reference in a resource."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, Mapping):
        text = value.get("reference")
        if isinstance(text, str) and "/" in text:
            yield "/".join(text.split("/")[:2])
        for item in value.values():
            if isinstance(item, list | dict):
                yield from references(item)


def _entry(base: str, resource: Mapping[str, Any], mode: str) -> dict[str, Any]:
    url = f"{base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}


def _warning(ignored: Sequence[str]) -> dict[str, Any]:
    """Return the entry that says what was left out (R4 search.html, "Handling Errors")."""
    issue = [
        {"severity": "warning", "code": "not-supported", "details": {"text": f"ignored: {name}"}}
        for name in ignored
    ]
    return {"resource": {"resourceType": "OperationOutcome", "issue": issue}, "search": {"mode": "outcome"}}
