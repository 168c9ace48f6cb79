"""Chained and reverse-chained search, resolved in steps where a hop enters a type that is seen in part.

AND-ing the narrowing to the outer search would still let HAPI look through hidden resources: whether a chain
matches would tell what they hold. So the hop is searched first, narrowed and confirmed, and its ids go into
the outer search; over the bound it is too costly. Where the whole type is visible, HAPI does the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facade.errors import TooCostlyError
from facade.gate import Gate
from facade.including import references
from facade.parameters import TABLE, Chain, Parameter
from smart_auth import roles
from smart_auth.interaction import Decision, Interaction
from smart_auth.policy import NOBODY

MOST_IDS = 200


async def resolve(gate: Gate, type_: str, search: Sequence[Parameter]) -> list[tuple[str, str]]:
    """Return parameters that HAPI may evaluate as they are."""
    return [await _parameter(gate, type_, parameter) for parameter in search]


def is_open(decision: Decision) -> bool:
    """Whether every resource of the type is visible, so that HAPI may look at all of them."""
    return (
        decision.patients is None
        and not decision.released_only
        and decision.depends == "nothing"
        and not decision.narrow
        and any(not way.predicates for way in decision.alternatives)
        and decision.role is not None
        and all("s" in roles.rule(decision.role, row).letters for row in roles.rows_of(str(decision.type)))
    )


async def _parameter(gate: Gate, type_: str, parameter: Parameter) -> tuple[str, str]:
    chain = parameter.chain
    if chain is None:
        return parameter.name, parameter.value
    if _is_open_to_the_end(gate, chain):
        return _name(type_, parameter), parameter.value
    target = chain.targets[0]
    inner = await _parameter(gate, target, chain.rest)
    decision = gate.decide(Interaction("search", target, parameters=(inner,)))
    found = await _search(gate, decision, target, [inner])
    if chain.reverse:
        paths = TABLE[target][chain.parameter]["paths"]
        pointed = {reference.partition("/")[::2] for hit in found for reference in references(hit, paths)}
        ids = {id_ for name, id_ in pointed if name == type_}
        return "_id", _bounded(ids) or NOBODY
    return chain.parameter, _bounded({f"{target}/{hit['id']}" for hit in found}) or f"{target}/{NOBODY}"


async def _search(
    gate: Gate, decision: Decision, type_: str, params: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    seen = 0
    async for resource in gate.matches(decision, type_, [*params, *decision.narrow], page=MOST_IDS):
        seen += 1
        if seen > MOST_IDS * 5 or len(found) > MOST_IDS:
            raise TooCostlyError()
        if await gate.confirm(decision, resource):
            found.append(resource)
    return found


def _is_open_to_the_end(gate: Gate, chain: Chain | None) -> bool:
    """Whether each hop of the chain enters a type that the caller sees whole; a forbidden type raises."""
    is_whole = True
    while chain is not None:
        asked = Interaction("search", chain.targets[0], parameters=((chain.rest.name, chain.rest.value),))
        is_whole = is_open(gate.decide(asked)) and is_whole
        chain = chain.rest.chain
    return is_whole


def _name(type_: str, parameter: Parameter) -> str:
    """Write the chain with the type of each hop named, so that HAPI reads it in one way."""
    chain = parameter.chain
    if chain is None:
        return parameter.name
    rest = _name(chain.targets[0], chain.rest)
    if chain.reverse:
        return f"_has:{chain.targets[0]}:{chain.parameter}:{rest}"
    if len(TABLE[type_][chain.parameter]["targets"]) == 1:
        return f"{chain.parameter}.{rest}"
    return f"{chain.parameter}:{chain.targets[0]}.{rest}"


def _bounded(ids: set[str]) -> str:
    if len(ids) > MOST_IDS:
        raise TooCostlyError()
    return ",".join(sorted(ids))
