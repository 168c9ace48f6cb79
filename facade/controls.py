"""How an answer is wanted: the control parameters of a search, a read, a history or `$everything`.

Sources: FHIR R4 search.html (_include, _sort, _total, _summary, _elements, paging), http.html (history).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from facade.errors import BadRequestError, UnknownParameterError
from facade.parameters import TABLE

Pairs = Sequence[tuple[str, str]]

MOST_OFFSET = 100_000
ONCE = frozenset(
    {"_count", "_offset", "_summary", "_elements", "_total", "_format", "_pretty", "_sort", "_since", "_type"}
)
# What may stand where; unknown and repeated ones are an error.
ON_SEARCH = frozenset(
    {"_count", "_offset", "_summary", "_elements", "_total", "_format", "_pretty", "_sort"}
    | {"_include", "_revinclude"}
)
ON_READ = frozenset({"_summary", "_elements", "_format", "_pretty"})
ON_HISTORY = frozenset({"_count", "_offset", "_format", "_pretty", "_since"})
ON_EVERYTHING = frozenset({"_count", "_offset", "_format", "_pretty", "_since", "_type"})

_ELEMENT = re.compile(r"[a-z][A-Za-z]{0,63}", re.ASCII)
_INCLUDE = re.compile(r"([A-Z][A-Za-z]{1,63}):([a-z-]{1,40}|\*)(?::([A-Z][A-Za-z]{1,63}))?", re.ASCII)
_SORT = re.compile(r"(-?)(_?[A-Za-z-]{1,40})(?:(?::([A-Z][A-Za-z]{1,63}))?\.(_?[A-Za-z-]{1,40}))?", re.ASCII)
_MOST_INCLUDES = 20
_SORTED = ("date", "string", "token", "number")


@dataclass(frozen=True)
class Include:
    """One `_include` or `_revinclude`: the type that holds the reference, its parameter, its target type."""

    source: str
    parameter: str
    target: str | None
    reverse: bool
    iterate: bool
    is_wildcard: bool = False
    """It came from a `*`: where the caller has no right, it adds nothing instead of being refused."""


@dataclass(frozen=True)
class Sort:
    """One key of `_sort`; `target` and `last` when it goes through a reference."""

    parameter: str
    is_descending: bool
    target: str | None = None
    last: str | None = None

    def text(self) -> str:
        """Return it as HAPI is to be asked."""
        name = f"{self.target}:{self.parameter}.{self.last}" if self.target else self.parameter
        return f"-{name}" if self.is_descending else name


@dataclass(frozen=True)
class Controls:
    """How the answer is wanted."""

    count: int | None = None
    offset: int = 0
    sort: tuple[Sort, ...] = ()
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    since: str | None = None
    types: tuple[str, ...] = ()


def controls(type_: str, given: Pairs, page_max: int, allowed: frozenset[str]) -> Controls:
    """Read the control parameters that this interaction takes."""
    names = [name for name, _ in given]
    for name in names:
        base, colon, _ = name.partition(":")
        if base not in allowed or (colon and base not in ("_include", "_revinclude")):
            raise UnknownParameterError(name if name.isascii() and name.isprintable() else "")
        if name in ONCE and names.count(name) > 1:
            raise BadRequestError(f"{name} is given more than once")
    once = dict(given)
    asked = [(n, v) for n, v in given if n.startswith(("_include", "_revinclude"))]
    if len(asked) > _MOST_INCLUDES:
        raise BadRequestError("too many includes")
    return Controls(
        count=min(_number(once["_count"], "_count", 1_000_000), page_max) if "_count" in once else None,
        offset=_number(once["_offset"], "_offset", MOST_OFFSET) if "_offset" in once else 0,
        sort=_sort(type_, once["_sort"]) if "_sort" in once else (),
        total=_one_of(once.get("_total"), "_total", ("none", "estimate", "accurate")),
        summary=_one_of(once.get("_summary"), "_summary", ("true", "false", "text", "data", "count")),
        elements=_elements(once.get("_elements")),
        includes=tuple(dict.fromkeys(include for n, v in asked for include in _includes(type_, n, v))),
        since=once.get("_since"),
        types=_types(once.get("_type")),
    )


def _includes(type_: str, name: str, value: str) -> list[Include]:
    base, _, modifier = name.partition(":")
    if modifier not in ("", "iterate") or base not in ("_include", "_revinclude"):
        raise UnknownParameterError(base)
    reverse, iterate = base == "_revinclude", modifier == "iterate"
    if value == "*":
        sources = sorted(TABLE) if reverse or iterate else [type_]
        found = [i for source in sources for i in _wild(type_, source, None, reverse, iterate)]
        if not found:
            raise UnknownParameterError(f"{base}=*")
        return found
    match = _INCLUDE.fullmatch(value)
    if match is None:
        raise UnknownParameterError(base)
    source, parameter, target = match.groups()
    shown = f"{base}={source}:{parameter}"
    if source not in TABLE or (target and target not in TABLE):
        raise UnknownParameterError(shown)
    if not iterate and (target not in (None, type_) if reverse else source != type_):
        raise UnknownParameterError(shown)
    if parameter == "*":
        found = _wild(type_, source, target, reverse, iterate)
        if not found:
            raise UnknownParameterError(shown)
        return found
    row = TABLE[source].get(parameter)
    if row is None or row["type"] != "reference" or (target and target not in row["targets"]):
        raise UnknownParameterError(shown)
    if not iterate and reverse and type_ not in row["targets"]:
        raise UnknownParameterError(shown)
    return [Include(source, parameter, target, reverse, iterate)]


def _wild(type_: str, source: str, target: str | None, reverse: bool, iterate: bool) -> list[Include]:
    """Every reference that `*` stands for."""
    return [
        Include(source, name, target, reverse, iterate, is_wildcard=True)
        for name, row in sorted(TABLE[source].items())
        if row["type"] == "reference"
        and row["targets"]
        # `patient` is `subject` with one target less.
        and not (name == "patient" and "subject" in TABLE[source])
        and (target is None or target in row["targets"])
        and (iterate or not reverse or type_ in row["targets"])
    ]


def _sort(type_: str, value: str) -> tuple[Sort, ...]:
    found = []
    for part in value.split(","):
        match = _SORT.fullmatch(part)
        if match is None:
            raise UnknownParameterError("_sort")
        minus, name, target, last = match.groups()
        row = TABLE[type_].get(name)
        if row is None:
            raise UnknownParameterError("_sort")
        if last is None:
            if row["type"] not in _SORTED:
                raise UnknownParameterError("_sort")
            found.append(Sort(name, bool(minus)))
            continue
        targets = row.get("targets", [])
        reached = target if target in targets else targets[0] if len(targets) == 1 and not target else None
        if reached is None or TABLE[reached].get(last, {}).get("type") not in _SORTED:
            raise UnknownParameterError("_sort")
        found.append(Sort(name, bool(minus), reached, last))
    return tuple(found)


def _types(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    found = tuple(value.split(","))
    if not all(type_ in TABLE for type_ in found):
        raise UnknownParameterError("_type")
    return found


def _elements(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if not all(_ELEMENT.fullmatch(part) for part in value.split(",")):
        raise BadRequestError("_elements names elements of the resource")
    return tuple(value.split(","))


def _number(value: str, name: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) or int(value) > most:
        raise BadRequestError(f"{name} is not a number that is allowed")
    return int(value)


def _one_of(value: str | None, name: str, allowed: tuple[str, ...]) -> str | None:
    if value is not None and value not in allowed:
        raise BadRequestError(f"{name} is one of {', '.join(allowed)}")
    return value
