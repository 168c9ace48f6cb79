"""`_elements` and `_summary`, applied here: a resource that HAPI cuts down could not be judged any more.

Source: FHIR R4 search.html ("Summary", "Elements"): mandatory elements stay, the result is tagged SUBSETTED.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from facade.controls import Controls
from facade.validation import model

_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def shape(resource: Mapping[str, Any], controls: Controls) -> dict[str, Any]:
    """Return the part of the resource that was asked for."""
    type_ = str(resource["resourceType"])
    match controls.summary:
        case "true":
            return _cut(resource, {*_summary(type_), *_mandatory(type_)})
        case "text":
            return _cut(resource, {"text", *_mandatory(type_)})
        case "data":
            return _cut(resource, set(resource) - {"text"})
    if controls.elements:
        return _cut(resource, {*controls.elements, *_mandatory(type_)})
    return dict(resource)


def _cut(resource: Mapping[str, Any], kept: Iterable[str]) -> dict[str, Any]:
    names = {"resourceType", "id", "meta", *kept}
    # `status` and `_status` (its extensions) belong together.
    cut = {name: value for name, value in resource.items() if name.removeprefix("_") in names}
    meta = dict(cut.get("meta", {}))
    meta["tag"] = [*meta.get("tag", []), _SUBSETTED]
    return {**cut, "meta": meta}


@cache
def _mandatory(type_: str) -> frozenset[str]:
    fields = model(type_).model_fields.items()
    return frozenset(
        field.alias or name
        for name, field in fields
        if field.is_required() or (field.json_schema_extra or {}).get("element_required")  # type: ignore[union-attr, unused-ignore]
    )


@cache
def _summary(type_: str) -> frozenset[str]:
    found: list[str] = model(type_).summary_elements_sequence()
    return frozenset(found)
