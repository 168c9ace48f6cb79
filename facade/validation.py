"""Structure of a resource before it is stored: unknown elements, types, cardinality, required codes.

fhir.resources (R4B models; the types offered here do not differ from R4) takes 0.1 ms where HAPI's $validate
takes 40-60 ms and 120 MB of heap, and names every violation with its place. HAPI drops unknown elements
without a word, so something has to look. Bindings that need a terminology server are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import BaseModel, ValidationError

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


def model(type_: str) -> Any:
    """Return the model class of a resource type."""
    return get_fhir_model_class(type_)


def validate(resource: Mapping[str, Any]) -> None:
    """Raise InvalidResourceError with every violation that was found."""
    type_ = str(resource["resourceType"])
    try:
        found = model(type_).model_validate(exact.plain(resource))
    except ValidationError as error:
        # Of pydantic's words only the kind is repeated: its messages quote what was sent.
        issues = [
            (_expression(type_, row["loc"]), row["type"].replace("_", " "))
            for row in error.errors(include_url=False, include_input=False)
        ]
    else:
        issues = [(place, "code is not in the required value set") for place in _codes(type_, found)]
    issues += [
        (place, "not the XHTML of a narrative") for place, div in divs(type_, resource) if not is_allowed(div)
    ]
    if issues:
        raise InvalidResourceError(issues=tuple(issues[:_MOST_ISSUES]))


def _codes(place: str, value: BaseModel) -> Iterator[str]:
    """Yield the places of codes that are outside their required value set."""
    for name, field in type(value).model_fields.items():
        inner = getattr(value, name)
        if inner is None or name.endswith("__ext"):
            continue
        path = f"{place}.{field.alias or name}"
        extra = field.json_schema_extra
        listed = extra.get("enum_values") if isinstance(extra, dict) else None
        allowed = _WHOLE.get((type(value).__name__, field.alias or name), listed)
        for index, item in enumerate(inner if isinstance(inner, list) else [inner]):
            at = f"{path}[{index}]" if isinstance(inner, list) else path
            if isinstance(item, BaseModel):
                yield from _codes(at, item)
            elif isinstance(allowed, list | frozenset) and item is not None and item not in allowed:
                yield at


def _expression(type_: str, location: tuple[int | str, ...]) -> str:
    text = type_
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text[:200]
