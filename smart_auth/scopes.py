"""SMART scopes: parse, print, intersect. Text that is not understood grants nothing.

Sources: SMART App Launch 2.2.0, "Scopes and Launch Context": v2 (`cruds`, wildcards, granular constraints),
v1 for older clients (read = rs, write = cud, * = cruds); RFC 6749 section 3.3 (scope strings).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, cast
from urllib.parse import parse_qsl, quote

from smart_auth.predicates import Predicates, is_supported

Context = Literal["patient", "user", "system"]

LETTERS = "cruds"
# The right to ask about others' tokens (RFC 7662): a word of our own, registered for resource servers alone.
RIGHTS = frozenset({"introspection"})
WORDS = frozenset(
    {"openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter"}
    | {"offline_access", "online_access"}
    | RIGHTS
)
# RFC 6749 3.3 allows no more per request than fits a header; a longer string is somebody's attack.
MAX_TEXT = 4096

_CLINICAL = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{1,63})\."
    r"(?:(?P<v1>read|write|\*)|(?P<v2>c?r?u?d?s?))(?:\?(?P<query>.+))?"
)
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True, order=True)
class Grant:
    """One clinical scope: `context/type.letters?predicates`."""

    context: Context
    type: str
    letters: str
    predicates: Predicates = ()

    def __str__(self) -> str:
        query = "&".join(f"{name}={quote(','.join(values), safe=':/|,')}" for name, values in self.predicates)
        return f"{self.context}/{self.type}.{self.letters}" + (f"?{query}" if query else "")

    def covers(self, other: Grant) -> bool:
        """Whether this grant allows everything that `other` allows."""
        return (
            self.context == other.context
            and self.type in ("*", other.type)
            and set(other.letters) <= set(self.letters)
            and set(self.predicates) <= set(other.predicates)
        )

    def meet(self, other: Grant) -> Grant | None:
        """What both allow, or None."""
        letters = "".join(letter for letter in self.letters if letter in other.letters)
        if self.context != other.context or not letters:
            return None
        if self.type != other.type and "*" not in (self.type, other.type):
            return None
        type_ = other.type if self.type == "*" else self.type
        predicates = tuple(sorted({*self.predicates, *other.predicates}))
        return Grant(self.context, type_, letters, predicates) if is_supported(type_, predicates) else None


@dataclass(frozen=True)
class ScopeSet:
    """What a scope string grants: clinical grants and the plain words (openid, launch ...)."""

    grants: frozenset[Grant] = field(default_factory=frozenset)
    words: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return " ".join([*sorted(self.words), *map(str, sorted(self.grants))])

    def __and__(self, other: ScopeSet) -> ScopeSet:
        """What both grant; never more than either."""
        met = {grant for a in self.grants for b in other.grants if (grant := a.meet(b)) is not None}
        return ScopeSet(_without_covered(met), self.words & other.words)

    def covers(self, other: ScopeSet) -> bool:
        """Whether everything that `other` grants is granted here (grant by grant)."""
        return other.words <= self.words and all(
            any(mine.covers(theirs) for mine in self.grants) for theirs in other.grants
        )


@lru_cache(maxsize=1024)
def parse(text: str) -> ScopeSet:
    """Read a scope string; unknown, malformed or unsupported parts are left out."""
    if len(text) > MAX_TEXT:
        return ScopeSet()
    grants: set[Grant] = set()
    words: set[str] = set()
    for part in text.split(" "):
        if part in WORDS:
            words.add(part)
        elif (grant := parse_grant(part)) is not None:
            grants.add(grant)
    return ScopeSet(_without_covered(grants), frozenset(words))


def parse_grant(part: str) -> Grant | None:
    """Read one clinical scope, or None when it is not one that is supported."""
    match = _CLINICAL.fullmatch(part)
    if match is None:
        return None
    letters = _V1[match["v1"]] if match["v1"] else match["v2"]
    if not letters or (match["v1"] and match["query"] is not None):
        return None
    predicates = _parse_query(match["query"])
    if predicates is None or not is_supported(match["type"], predicates):
        return None
    return Grant(cast(Context, match["context"]), match["type"], letters, predicates)


def echo(requested: str, granted: ScopeSet) -> str:
    """The granted scopes as the client wrote them where nothing was taken away (v1 clients compare text)."""
    kept: list[str] = []
    left = set(granted.grants)
    for part in requested.split(" "):
        grant = parse_grant(part)
        if part in granted.words or (
            grant is not None and any(have.covers(grant) for have in granted.grants)
        ):
            if part not in kept:
                kept.append(part)
            left = {have for have in left if grant is None or not grant.covers(have)}
    return " ".join([*kept, *map(str, sorted(left))])


def _parse_query(query: str | None) -> Predicates | None:
    if query is None:
        return ()
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return None
    predicates = set()
    for name, value in pairs:
        values = tuple(sorted(set(value.split(","))))
        if not all(values) or re.search(r"[\s\"\\]", value):
            return None
        predicates.add((name, values))
    return tuple(sorted(predicates))


def _without_covered(grants: Iterable[Grant]) -> frozenset[Grant]:
    """Leave out what another grant of the set already allows."""
    kept = set(grants)
    return frozenset(
        grant for grant in kept if not any(other != grant and other.covers(grant) for other in kept)
    )
