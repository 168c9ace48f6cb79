"""Observation -> procedure_result, under the report that it belongs to."""

from collections.abc import Mapping
from datetime import timezone
from typing import Any

from mappers.openemr import codes
from mappers.openemr.elements import Resource, label, notes
from mappers.openemr.errors import MissingValueError, UnmappableError
from mappers.openemr.tables import RESULT
from mappers.openemr.values import Row, local, text

TABLE = RESULT


def to_row(resource: Resource, zone: timezone, reported: str) -> Row:
    """Return the columns that follow the resource. `reported` is when its report was issued."""
    concept = resource.get("code", {})
    code = next((c["code"] for c in concept.get("coding", ()) if c.get("code")), "")
    name = label(concept)
    if not code or not name:
        raise MissingValueError("Observation.code")
    kind, value, unit = _value(resource)
    when = resource.get("effectiveDateTime") or resource.get("issued") or reported
    return {
        "result_data_type": kind,
        "result_code": code,
        "result_text": name,
        "date": local(when, zone, "Observation.effective"),
        "units": unit,
        "result": value,
        "range": _range(resource),
        "abnormal": _abnormal(resource),
        "comments": _comments(resource),
        "result_status": codes.lookup(codes.RESULT_STATUS, resource.get("status"), "Observation.status"),
    }


def _value(resource: Mapping[str, Any], element: str = "Observation.value") -> tuple[str, str, str]:
    """Return OpenEMR's data type (numeric or string), the value and its unit."""
    if "valueQuantity" in resource:
        quantity = resource["valueQuantity"]
        number = str(quantity.get("value", ""))
        if not number:
            raise MissingValueError(element)
        unit = str(quantity.get("unit") or quantity.get("code") or "")
        # PHP holds the text "0" for empty, and OpenEMR would show no result at all.
        return "N", quantity.get("comparator", "") + ("0.0" if number == "0" else number), unit
    if "valueInteger" in resource:
        number = str(resource["valueInteger"])
        return "N", "0.0" if number == "0" else number, ""
    if "valueString" in resource:
        return "S", text(resource["valueString"]), ""
    if "valueCodeableConcept" in resource:
        return "S", label(resource["valueCodeableConcept"]), ""
    if "valueBoolean" in resource:
        return "S", "yes" if resource["valueBoolean"] else "no", ""
    if "dataAbsentReason" in resource:
        return "S", f"not available: {label(resource['dataAbsentReason'])}", ""
    if resource.get("component"):
        return "S", "see comments", ""
    raise UnmappableError(f"{element} has a form that OpenEMR has no column for.")


def _range(resource: Resource) -> str:
    ranges = resource.get("referenceRange", ())
    if not ranges:
        return ""
    if ranges[0].get("text"):
        return text(ranges[0]["text"])
    low, high = (ranges[0].get(bound, {}).get("value", "") for bound in ("low", "high"))
    return f"{low}-{high}"


def _abnormal(resource: Resource) -> str:
    for concept in resource.get("interpretation", ()):
        for coding in concept.get("coding", ()):
            if coding.get("system") in (None, codes.INTERPRETATION):
                return codes.lookup(codes.ABNORMAL, coding.get("code"), "Observation.interpretation")
    return ""


def _comments(resource: Resource) -> str | None:
    """Return what else is said of the value: body site, method, components, notes.

    OpenEMR takes text before the first line break for part of the result, hence the break at the beginning.
    """
    lines = [f"{title}: {said}" for title, said in (
        ("body site", label(resource.get("bodySite"))),
        ("method", label(resource.get("method"))),
    ) if said]  # fmt: skip
    for component in resource.get("component", ()):
        _, value, unit = _value(component, "Observation.component.value")
        lines.append(f"{label(component.get('code'))}: {value} {unit}".rstrip())
    lines += notes(resource)
    return "\n" + "\n".join(lines) if lines else None
