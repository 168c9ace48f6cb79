"""Searches (way b): narrowed, confirmed entry by entry, includes too; totals and pages of what may be seen.

A caller who sees part of a type gets pages that are counted over the visible matches: a hole in a page, or a
`next` link behind it, would tell that something hidden matches.
Sources: FHIR R4 search.html (_include, _total, _summary=count, paging).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from facade import answer, chains, including
from facade.controls import Sort
from facade.errors import RefusedError, TooCostlyError
from facade.gate import Gate
from facade.hapi import Params, encode
from facade.reading import patient_reference
from facade.request import Request
from facade.shaping import shape
from smart_auth import policy
from smart_auth.interaction import Decision, Interaction

MOST_WALKED = 5000
_WALK_PAGE = 200

Resource = dict[str, Any]


async def search(gate: Gate, decision: Decision, asked: Request) -> Response:
    """Answer a search by GET or POST."""
    type_, controls = str(asked.interaction.type), asked.controls
    rights = including.rights(gate, controls.includes)
    order = _order(gate, controls.sort)
    params = [*await chains.resolve(gate, type_, asked.search), *decision.narrow, ("_sort", order)]
    count = gate.services.settings.page_default if controls.count is None else controls.count
    is_counted = controls.summary == "count" or count == 0
    total = None
    if is_counted or controls.total == "accurate":
        total = await _total(gate, decision, type_, params)
    matches, has_more = (
        ([], False) if is_counted else await _page(gate, decision, type_, params, controls.offset, count)
    )
    included = await including.included(gate, matches, controls.includes, rights)
    disclosed = [*matches, *(resource for resource, _ in included)]
    await gate.record(
        asked.interaction,
        patients=[patient_reference(resource) for resource in disclosed],
        query=encode(asked.client) if gate.raw.startswith("POST") else None,
    )
    base = f"{gate.services.settings.base_url}/fhir"
    entries = [_entry(base, shape(policy.project(decision, r), controls), "match") for r in matches]
    entries += [_entry(base, policy.project(right, r), "include") for r, right in included]
    if asked.ignored:
        entries.append(_warning(asked.ignored))
    found = answer.links(f"{base}/{type_}", asked.client, controls, count, has_more=has_more)
    return answer.bundle(answer.searchset(entries, found, total=total))


def _order(gate: Gate, keys: Sequence[Sort]) -> str:
    """Return the order for HAPI; through a reference only where all that it reaches is visible.

    The order of what is shown tells of the values that it is sorted by.
    """
    for key in keys:
        if key.target and not chains.is_open(gate.decide(_sorting(key.target, str(key.last)))):
            raise RefusedError("ERR_008", "sorted by what is seen in part")
    texts = [key.text() for key in keys]
    return ",".join(texts if "_id" in [text.removeprefix("-") for text in texts] else [*texts, "_id"])


def _sorting(type_: str, parameter: str) -> Interaction:
    return Interaction("search", type_, parameters=((parameter, "-"),))


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
    async for resource in gate.matches(decision, type_, params, page=_WALK_PAGE):
        seen += 1
        if seen > MOST_WALKED:
            raise TooCostlyError()
        if await gate.confirm(decision, resource):
            yield resource


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
