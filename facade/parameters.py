"""What can be searched for: parameters, modifiers and values, by the table that is generated from R4.

Sources: FHIR R4 search.html (prefixes, modifiers, escaping), tables/search_parameters.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facade.errors import BadRequestError, UnknownParameterError

TABLE: Mapping[str, Mapping[str, Mapping[str, Any]]] = json.loads(
    (Path(__file__).parent / "tables" / "search_parameters.json").read_bytes()
)
# `:above`, `:below` and `:in` of tokens need a terminology server; `:identifier` of references would look
# past the literal reference that rights are decided by; `:contains` reads a whole index and is off in HAPI.
MODIFIERS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"exact", "missing"}),
    "token": frozenset({"not", "text", "missing"}),
    "reference": frozenset({"missing"}),
    "uri": frozenset({"missing"}),
    "date": frozenset({"missing"}),
    "number": frozenset({"missing"}),
    "quantity": frozenset({"missing"}),
}
LONGEST_VALUE = 2000
MOST_HOPS = 3
_DATE = re.compile(
    r"(?:eq|ne|gt|lt|ge|le|sa|eb|ap)?\d{4}(?:-\d\d(?:-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?)?)?"
)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
ID = re.compile(r"[A-Za-z0-9-][A-Za-z0-9.-]{0,63}", re.ASCII)
"""An id that becomes part of an address; `.` and `..` are told apart where it does."""
_REFERENCE = re.compile(r"(?:([A-Z][A-Za-z]{1,63})/)?([A-Za-z0-9\-.]{1,64})")
# FHIR R4 search.html "Escaping": a comma separates alternatives unless a backslash stands before it.
_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True)
class Chain:
    """`ref:Type.rest` or `_has:Type:ref:rest`: one hop, and what is asked on its other side."""

    reverse: bool
    parameter: str
    """The reference parameter of the hop: of the searched type, or for `_has` of `target`."""
    targets: tuple[str, ...]
    rest: Parameter


@dataclass(frozen=True)
class Parameter:
    """One search parameter as it was understood."""

    name: str
    """As the client wrote it, modifier and chain included."""
    value: str
    chain: Chain | None = None


def parse(type_: str, name: str, value: str, base_url: str, hops: int = MOST_HOPS) -> Parameter:
    """Read one parameter of a type; what is not in the table is an UnknownParameterError."""
    if len(value) > LONGEST_VALUE or not value:
        raise BadRequestError(f"{_shown(name)} has no value or one that is too long")
    if name.startswith("_has:"):
        return _has(type_, name, value, base_url, hops)
    head, dot, _ = name.partition(".")
    code, colon, modifier = head.partition(":")
    row = TABLE[type_].get(code)
    if row is None:
        raise UnknownParameterError(f"{type_}: {_shown(name)}")
    if dot:
        return _chain(type_, name, value, base_url, hops)
    if colon:
        if row["type"] == "reference" and modifier in row["targets"]:
            return Parameter(name, references(value, (modifier,), base_url))
        if modifier not in MODIFIERS[row["type"]]:
            raise UnknownParameterError(f"{type_}: {_shown(name)}")
        if modifier == "missing":
            if value not in ("true", "false"):
                raise BadRequestError(f"{_shown(name)} is true or false")
            return Parameter(name, value)
    return Parameter(name, _value(row, name, value, base_url))


def _value(row: Mapping[str, Any], name: str, value: str, base_url: str) -> str:
    match row["type"]:
        case "reference":
            return references(value, tuple(row["targets"]), base_url)
        case "date":
            if not all(_DATE.fullmatch(part) for part in value.split(",")):
                raise BadRequestError(f"{_shown(name)} is not a date")
        case "token" if name == "_id":
            if not all(_ID.fullmatch(part) for part in value.split(",")):
                raise BadRequestError("_id is not an id")
    return value


def references(value: str, targets: tuple[str, ...], base_url: str) -> str:
    """Return reference values in one form: `Type/id`, or the bare id where only one type is possible."""
    found = []
    for part in _COMMA.split(value):
        match = _REFERENCE.fullmatch(part.removeprefix(f"{base_url}/fhir/"))
        if match is None:
            raise BadRequestError("a reference is written Type/id")
        type_, id_ = match.groups()
        if type_ is None and len(targets) == 1:
            type_ = targets[0]
        if type_ is not None and type_ not in targets:
            raise BadRequestError("a reference has a type that this parameter does not have")
        found.append(f"{type_}/{id_}" if type_ else id_)
    return ",".join(found)


def _chain(type_: str, name: str, value: str, base_url: str, hops: int) -> Parameter:
    head, _, rest = name.partition(".")
    code, colon, target = head.partition(":")
    row = TABLE[type_][code]
    if row["type"] != "reference" or hops == 0 or (colon and target not in row["targets"]):
        raise UnknownParameterError(f"{type_}: {_shown(name)}")
    last = rest.partition(":")[0].partition(".")[0]
    targets = (target,) if colon else tuple(t for t in row["targets"] if last in TABLE[t] or last == "_has")
    if len(targets) != 1:
        # HAPI would search every type that has the parameter; the caller says which one is meant.
        raise UnknownParameterError(f"{type_}: {_shown(name)} needs a type: {code}:Type.{_shown(rest)}")
    return Parameter(
        name, value, Chain(False, code, targets, parse(targets[0], rest, value, base_url, hops - 1))
    )


def _has(type_: str, name: str, value: str, base_url: str, hops: int) -> Parameter:
    parts = name.split(":", 3)
    if len(parts) != 4 or hops == 0:
        raise UnknownParameterError(f"{type_}: {_shown(name)}")
    _, target, code, rest = parts
    row = TABLE.get(target, {}).get(code)
    if row is None or row["type"] != "reference" or type_ not in row["targets"]:
        raise UnknownParameterError(f"{type_}: {_shown(name)}")
    return Parameter(
        name, value, Chain(True, code, (target,), parse(target, rest, value, base_url, hops - 1))
    )


def _shown(name: str) -> str:
    """A parameter's name as it may be repeated to the caller."""
    return re.sub(r"[^A-Za-z0-9_\-:.]", "?", name)[:80]
