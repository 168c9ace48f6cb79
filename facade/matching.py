"""What a condition matches, under the caller's rights: If-None-Exist, conditional writes, inline match URLs.

What the caller may not see does not match. HAPI's own conditional update doubled in races (2 of 8 rounds),
its conditional create never did, so a condition becomes a conditional create or a versioned PUT.
Sources: FHIR R4 http.html (conditional create, update, patch, delete; match URLs in transactions).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from facade import exact, names
from facade.chains import is_open
from facade.errors import MultipleMatchesError, TooCostlyError
from facade.gate import Gate
from facade.hapi import encode
from smart_auth.interaction import Interaction

Criteria = Sequence[tuple[str, str]]
_MOST_SEEN = 1000


async def matching(gate: Gate, type_: str, criteria: Criteria) -> dict[str, Any] | None:
    """Return the one visible resource that fulfils the condition, or None; two are MultipleMatchesError."""
    decision = gate.decide(Interaction("search", type_, parameters=tuple(criteria)))
    found: dict[str, Any] | None = None
    seen = 0
    async for resource in gate.matches(decision, type_, [*criteria, *decision.narrow], page=50):
        seen += 1
        if seen > _MOST_SEEN:
            raise TooCostlyError()
        if await gate.confirm(decision, resource):
            if found is not None:
                raise MultipleMatchesError()
            found = resource
    return found


def condition(gate: Gate, type_: str, criteria: Criteria, body: dict[str, Any]) -> str:
    """Return the If-None-Exist for HAPI of a condition that nothing visible fulfils at this moment.

    HAPI looks at everything. Where the narrowing bounds that to what the caller may see, it is the condition;
    where it does not, the resource is marked as made under this condition and these rights, and only another
    one with the same mark counts. Either way two at the same time make one resource.
    """
    decision = gate.decide(Interaction("search", type_, parameters=tuple(criteria)))
    bounded = [*sorted(criteria), *decision.narrow]
    if decision.exact or is_open(decision):
        return encode(bounded)
    rights = [repr(decision.alternatives), str(decision.role), list(map(list, bounded))]
    mark = hashlib.sha256(exact.dumps(rights)).hexdigest()
    body.setdefault("meta", {}).setdefault("tag", []).append({"system": names.CONDITION, "code": mark})
    return encode([*bounded, ("_tag", f"{names.CONDITION}|{mark}")])
