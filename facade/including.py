"""`_include` and `_revinclude`, wildcards and `:iterate`: followed from what is visible, and only from there.

HAPI would also go through what is hidden: a visible resource that is reached only by a hidden one would tell
of it. So each level is taken from the visible resources themselves, fetched, confirmed by its own right, and
is the start of the next one.
Source: FHIR R4 search.html ("Including other resources in result").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from facade.controls import Include
from facade.errors import RefusedError, TooCostlyError
from facade.gate import Gate
from facade.parameters import TABLE
from smart_auth.interaction import Decision, Interaction

Resource = dict[str, Any]
Rights = Mapping[Include, Mapping[str, Decision]]
MOST_INCLUDED = 1000
_MOST_SEEN = 5000
_MOST_LEVELS = 5
_IDS_AT_ONCE = 100


def rights(gate: Gate, includes: Sequence[Include]) -> Rights:
    """Return for each include what it may add; one that can add nothing is refused, unless it is of a `*`."""
    found: dict[Include, dict[str, Decision]] = {}
    for include in includes:
        decisions = {asked.type: gate.may(asked) for asked in _asked(include)}
        found[include] = {str(t): decision for t, decision in decisions.items() if decision.allowed}
        if not found[include] and not include.is_wildcard:
            refused = next(iter(decisions.values()), None)
            raise RefusedError((refused.code if refused else None) or "ERR_004", "include")
    return found


async def included(
    gate: Gate, matches: Sequence[Resource], includes: Sequence[Include], allowed: Rights
) -> list[tuple[Resource, Decision]]:
    """Return what the includes add to the visible matches, each with the right that shows it."""
    found: dict[str, tuple[Resource, Decision]] = {}
    known = {_name(resource) for resource in matches}
    level: Sequence[Resource] = matches
    for depth in range(_MOST_LEVELS):
        reached: list[Resource] = []
        asked = [include for include in includes if depth == 0 or include.iterate]
        for resource, right in [
            *await _pointed_at(gate, level, asked, allowed, known),
            *await _pointing(gate, level, asked, allowed, known),
        ]:
            name = _name(resource)
            if name not in known:
                known.add(name)
                found[name] = (resource, right)
                reached.append(resource)
        if len(found) > MOST_INCLUDED:
            raise TooCostlyError()
        if not reached:
            break
        level = reached
    return list(found.values())


async def _pointed_at(
    gate: Gate, level: Sequence[Resource], includes: Sequence[Include], allowed: Rights, known: set[str]
) -> list[tuple[Resource, Decision]]:
    """Return what the level refers to."""
    wanted: dict[str, dict[str, Decision]] = {}
    for include in includes:
        if include.reverse:
            continue
        paths = TABLE[include.source][include.parameter]["paths"]
        for resource in level:
            if resource["resourceType"] != include.source:
                continue
            for reference in references(resource, paths):
                type_, _, id_ = reference.partition("/")
                right = allowed[include].get(type_)
                if right is not None and reference not in known and include.target in (None, type_):
                    wanted.setdefault(type_, {})[id_] = right
    if sum(len(ids) for ids in wanted.values()) > MOST_INCLUDED:
        raise TooCostlyError()
    found = []
    for type_, by_id in sorted(wanted.items()):
        ids = sorted(by_id)
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[start : start + _IDS_AT_ONCE]
            page = await gate.hapi.search(type_, [("_id", ",".join(some))], count=len(some))
            for entry in page.get("entry", []):
                right = by_id[entry["resource"]["id"]]
                # A name is shown because something visible refers to it: this level does.
                linked = right.depends == "referenced"
                if await gate.confirm(right, entry["resource"], linked=linked):
                    found.append((entry["resource"], right))
    return found


async def _pointing(
    gate: Gate, level: Sequence[Resource], includes: Sequence[Include], allowed: Rights, known: set[str]
) -> list[tuple[Resource, Decision]]:
    """Return what refers to the level."""
    found: list[tuple[Resource, Decision]] = []
    for include in includes:
        right = allowed[include].get(include.source) if include.reverse else None
        if right is None:
            continue
        targets = [include.target] if include.target else TABLE[include.source][include.parameter]["targets"]
        names = sorted(_name(resource) for resource in level if resource["resourceType"] in targets)
        for start in range(0, len(names), _IDS_AT_ONCE):
            asked = [(include.parameter, ",".join(names[start : start + _IDS_AT_ONCE])), *right.narrow]
            seen = 0
            async for resource in gate.matches(right, include.source, asked):
                seen += 1
                if seen > _MOST_SEEN or len(found) > MOST_INCLUDED:
                    raise TooCostlyError()
                if _name(resource) not in known and await gate.confirm(right, resource):
                    found.append((resource, right))
    return found


def references(resource: Mapping[str, Any], paths: Sequence[str]) -> Iterator[str]:
    """Yield `Type/id` of the literal references at these element paths."""
    for path in paths:
        level: list[Any] = [resource]
        for name in path.split("."):
            level = [
                value
                for item in level
                if isinstance(item, Mapping)
                # `medication` of the definition is `medicationReference` in JSON.
                for value in _list(item.get(name, item.get(f"{name}Reference")))
            ]
        for item in level:
            text = item.get("reference") if isinstance(item, Mapping) else None
            if isinstance(text, str) and text.count("/") in (1, 3) and "://" not in text:
                yield "/".join(text.split("/")[:2])


def _asked(include: Include) -> list[Interaction]:
    if include.reverse:
        # It finds what was not asked for by id: that is a search.
        return [Interaction("search", include.source, parameters=((include.parameter, "-"),))]
    targets = TABLE[include.source][include.parameter]["targets"]
    # One reference is followed, as a read of the target would.
    return [Interaction("read", t, "-") for t in ([include.target] if include.target else targets)]


def _name(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
