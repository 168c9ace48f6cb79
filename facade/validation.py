"""Structure of a resource before it is stored: unknown elements, types, cardinality, required codes.

fhir.resources (R4B models; the types offered here do not differ from R4) takes 0.1 ms where HAPI's $validate
takes 40-60 ms and 120 MB of heap, and names every violation with its place. HAPI drops unknown elements
without a word, so something has to look. Bindings that need a terminology server are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from facade import exact
from facade.errors import InvalidResourceError
from facade.narrative import divs, is_allowed

_MOST_ISSUES = 20
# The models take codes from the short text of an element; where that ends in "+" the value set has more.
# R4 valueset-observation-status, -diagnostic-report-status, -encounter-status, -task-status, -udi-entry-type.
_ENCOUNTER = frozenset(
    {"planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled"}
    | {"entered-in-error", "unknown"}
)
_WHOLE: Mapping[tuple[str, str], frozenset[str]] = {
    ("Observation", "status"): frozenset(
        {"registered", "preliminary", "final", "amended", "corrected", "cancelled"}
        | {"entered-in-error", "unknown"}
    ),
    ("DiagnosticReport", "status"): frozenset(
        {"registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "cancelled"}
        | {"entered-in-error", "unknown"}
    ),
    ("Encounter", "status"): _ENCOUNTER,
    ("EncounterStatusHistory", "status"): _ENCOUNTER,
    ("Task", "status"): frozenset(
        {"draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress"}
        | {"on-hold", "failed", "completed", "entered-in-error"}
    ),
    ("DeviceUdiCarrier", "entryType"): frozenset(
        {"barcode", "rfid", "manual", "card", "self-reported", "unknown"}
    ),
}


@dataclass(frozen=True)
class _Field:
    """One element of a model, by its JSON name."""

    base: str
    """The element's name in FHIRPath: `value` of `valueQuantity`."""
    holds: str
    """Name of the model of what it holds; a primitive has none of ours."""
    codes: frozenset[str] | None
    json: tuple[type, ...]
    """What a primitive is in JSON: the models take a number for a date, and text for a number."""


def model(type_: str) -> Any:
    """Return the model class of a resource type."""
    return get_fhir_model_class(type_)


def validate(resource: Mapping[str, Any]) -> None:
    """Raise InvalidResourceError with every violation that was found, each with its FHIRPath."""
    type_ = str(resource["resourceType"])
    # The models look up whatever a client calls a type, wherever that stands, and fail on what is unknown.
    issues = {place: "no resource of a known type" for place in _misnamed(resource, type_)}
    try:
        if not issues:
            model(type_).model_validate(exact.plain(resource))
    except ValidationError as error:
        # Of pydantic's words only the kind is repeated: its messages quote what was sent.
        issues = {
            _expression(type_, row["loc"]): row["type"].replace("_", " ")
            for row in error.errors(include_url=False, include_input=False)
        }
    # A model stops at the first thing it cannot read, before it looks for codes and for what is missing.
    for place, what in _violations(type_, type_, resource):
        # "Something in here", which is all that a model says of what it misses, is said better now.
        if issues.get(place.rpartition(".")[0]) == "value error":
            del issues[place.rpartition(".")[0]]
        issues.setdefault(place, what)
    for place, div in divs(type_, resource):
        if not is_allowed(div):
            issues.setdefault(place, "not the XHTML of a narrative")
    if issues:
        raise InvalidResourceError(issues=tuple(list(issues.items())[:_MOST_ISSUES]))


def _misnamed(node: Any, place: str, *, holds_resources: bool = True) -> Iterator[str]:
    """Yield the places that name a type where no resource can be, or one that does not exist."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _misnamed(item, f"{place}[{index}]", holds_resources=holds_resources)
    elif isinstance(node, Mapping):
        if "resourceType" in node:
            named = node["resourceType"]
            if not (holds_resources and isinstance(named, str) and _is_model(named)):
                yield place
        for name, value in node.items():
            if isinstance(value, list | Mapping):
                yield from _misnamed(value, f"{place}.{name}", holds_resources=name == "contained")


def _violations(type_: str, place: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is missing, what is one too many of a choice, and codes outside their required value set."""
    required, choices = _demands(type_)
    for name in required:
        if name not in node and f"_{name}" not in node:
            yield f"{place}.{name}", "missing"
    for base, (names, is_required) in choices.items():
        found = sum(1 for name in names if name in node or f"_{name}" in node)
        if found > 1 or (is_required and not found):
            yield f"{place}.{base}", "one of the choice is allowed" if found else "missing"
    fields = _fields(type_)
    for name, value in node.items():
        field = fields.get(name)
        if name == "fhir_comments":  # of DSTU2: the models take it, HAPI drops it
            yield f"{place}.{name}", "extra forbidden"
        if field is None or name == "fhir_comments":
            continue
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            at = f"{place}.{field.base}" + (f"[{index}]" if isinstance(value, list) else "")
            if isinstance(item, Mapping):
                inner = str(item.get("resourceType")) if field.holds == "Resource" else field.holds
                if _is_model(inner):
                    yield from _violations(inner, at, item)
            elif item is not None and type(item) not in field.json:
                yield at, "not of this type in JSON"
            elif field.codes is not None and item not in field.codes:
                yield at, "code is not in the required value set"


@cache
def _fields(type_: str) -> Mapping[str, _Field]:
    found = {}
    for name, field in model(type_).model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        element = field.alias or name
        listed = extra.get("enum_values")
        codes = _WHOLE.get((type_, element)) or (frozenset(listed) if listed else None)
        # The annotation is the model's name with "Type" behind it, bare or in Optional and List.
        annotation = str(field.annotation)
        inner = re.search(r"\babc\.(\w+)Type\b", annotation)
        base = extra.get("one_of_many", element)
        found[element] = _Field(base, inner.group(1) if inner else "", codes, _json_type(annotation))
    return found


def _json_type(annotation: str) -> tuple[type, ...]:
    """Return what a value of a primitive is when it is read: R4 json.html#primitive."""
    if "abc." in annotation:
        return (dict,)
    if "bool" in annotation:
        return (bool,)
    if "Annotated[int" in annotation:
        return (int,)
    return (int, float, Decimal) if "Annotated[decimal" in annotation else (str,)


@cache
def _demands(type_: str) -> tuple[tuple[str, ...], Mapping[str, tuple[tuple[str, ...], bool]]]:
    """Required primitives, and choices with whether one of them is required, as the models have them."""
    kind = model(type_)
    fields = kind.model_fields
    blank = kind.model_construct()
    required = tuple(fields[name].alias or name for name, _ in blank.get_required_fields())
    choices = {
        base: (tuple(names), bool(fields[names[0]].json_schema_extra.get("one_of_many_required")))
        for base, names in blank.get_one_of_many_fields().items()
    }
    return required, choices


@lru_cache(512)  # a client names the type of what it contains
def _is_model(type_: str) -> bool:
    try:
        model(type_)
    except (KeyError, LookupError, ValueError):
        return False
    return True


def _expression(type_: str, location: tuple[int | str, ...]) -> str:
    """Return the place as FHIRPath; a choice goes by its bare name."""
    text, kind = type_, type_
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        field = _fields(kind).get(part) if _is_model(kind) else None
        if field is None and part == "root":
            break  # pydantic's name for a value that should have been an object
        text += f".{field.base if field else part}"
        kind = field.holds if field else ""
    return text[:200]
