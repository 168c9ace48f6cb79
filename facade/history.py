"""Histories: every version that is visible, of what is visible now; pages count visible versions only.

A caller who sees part of a type gets the histories of the resources that it sees now, put together: the work
depends on these alone, and what was deleted or has left the compartment is not in it. Who sees all of a type
gets the store's own history, deletions included.
Source: FHIR R4 http.html (history).
"""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from facade import answer
from facade.chains import is_open
from facade.errors import BadRequestError, TooCostlyError
from facade.gate import Gate
from facade.reading import patient_reference
from facade.request import Request
from smart_auth import policy
from smart_auth.interaction import Decision

MOST_INSTANCES = 200
MOST_VERSIONS = 2000
_PAGE = 200
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)

Entry = dict[str, Any]


async def history(gate: Gate, decision: Decision, asked: Request) -> Response:
    """Answer the history of an instance or of a type."""
    interaction, controls = asked.interaction, asked.controls
    type_, id_ = str(interaction.type), interaction.id
    count = gate.services.settings.page_default if controls.count is None else max(1, controls.count)
    since = [("_since", instant(controls.since))] if controls.since is not None else []
    if id_ is not None:
        await gate.read(decision, type_, id_)
    if is_open(decision):
        page, has_more = await _whole(gate, type_, id_, since, controls.offset, count)
    else:
        ids = [id_] if id_ is not None else await _visible_ids(gate, decision, type_)
        versions = [entry for one in ids for entry in await _versions(gate, decision, type_, one, since)]
        versions.sort(key=_when, reverse=True)
        page = versions[controls.offset : controls.offset + count]
        has_more = len(versions) > controls.offset + count
    resources = [entry["resource"] for entry in page if "resource" in entry]
    await gate.record(
        interaction,
        what=[f"{type_}/{id_}"] if id_ else [],
        patients=[patient_reference(resource) for resource in resources],
    )
    base = f"{gate.services.settings.base_url}/fhir"
    path = f"{type_}/{id_}/_history" if id_ else f"{type_}/_history"
    entries = [_entry(base, entry, decision, type_) for entry in page]
    found = answer.links(f"{base}/{path}", asked.client, controls, count, has_more=has_more)
    return answer.bundle(answer.searchset(entries, found, kind="history"))


def instant(text: str) -> str:
    """Return a checked `_since`."""
    if not _INSTANT.fullmatch(text):
        raise BadRequestError("_since is an instant")
    return text


async def _whole(
    gate: Gate, type_: str, id_: str | None, since: list[tuple[str, str]], offset: int, count: int
) -> tuple[list[Entry], bool]:
    """Return a page of the store's own history."""
    params = [("_count", str(count)), ("_offset", str(offset)), *since]
    page = (
        await gate.hapi.instance_history(type_, id_, params)
        if id_ is not None
        else await gate.hapi.history(type_, params)
    )
    return page.get("entry", []), any(link.get("relation") == "next" for link in page.get("link", []))


async def _visible_ids(gate: Gate, decision: Decision, type_: str) -> list[str]:
    """Return what is visible now."""
    found: list[str] = []
    seen = 0
    async for resource in gate.matches(decision, type_, decision.narrow):
        seen += 1
        if seen > MOST_INSTANCES * 25 or len(found) > MOST_INSTANCES:
            raise TooCostlyError()
        if await gate.confirm(decision, resource):
            found.append(resource["id"])
    return found


async def _versions(
    gate: Gate, decision: Decision, type_: str, id_: str, since: list[tuple[str, str]]
) -> list[Entry]:
    """Return every visible version of one resource that is visible now."""
    found: list[Entry] = []
    for offset in range(0, MOST_VERSIONS, _PAGE):
        entries, has_more = await _whole(gate, type_, id_, since, offset, _PAGE)
        for entry in entries:
            resource = entry.get("resource")
            if resource is not None and await gate.confirm(decision, resource, linked=True):
                found.append(entry)
        if not has_more:
            return found
    raise TooCostlyError()


def _when(entry: Entry) -> str:
    return str(entry["resource"].get("meta", {}).get("lastUpdated", ""))


def _entry(base: str, entry: Entry, decision: Decision, type_: str) -> Entry:
    """Rebuild one entry from what is known; HAPI's urls and diagnostics stay behind."""
    resource = entry.get("resource")
    id_ = resource["id"] if resource else str(entry.get("fullUrl", "")).rpartition("/")[2]
    built: Entry = {"fullUrl": f"{base}/{type_}/{id_}"}
    if resource is not None:
        built["resource"] = policy.project(decision, resource)
    method = entry.get("request", {}).get("method", "PUT")
    built["request"] = {"method": method, "url": f"{type_}/{id_}" if method != "POST" else type_}
    response = entry.get("response", {})
    built["response"] = {k: response[k] for k in ("status", "etag", "lastModified") if k in response}
    return built
