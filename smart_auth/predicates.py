"""Granular part of a v2 scope (`?category=...`): the small documented set, evaluated on the resource itself.

Source: SMART App Launch 2.2.0, "Scopes and Launch Context", "Finer-grained resource constraints using search
parameters". Parameters and paths: FHIR R4 search parameter registry. A predicate outside the table is not
granted; modifiers, prefixes and chains are outside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Predicates = tuple[tuple[str, tuple[str, ...]], ...]

# type -> search parameter -> element that it looks at (R4). Elements are CodeableConcept or code.
SUPPORTED: Mapping[str, Mapping[str, str]] = {
    "AllergyIntolerance": {"category": "category", "clinical-status": "clinicalStatus", "code": "code"},
    "Condition": {"category": "category", "clinical-status": "clinicalStatus", "code": "code"},
    "DiagnosticReport": {"category": "category", "code": "code", "status": "status"},
    "DocumentReference": {"category": "category", "status": "status"},
    "Encounter": {"status": "status"},
    "ImagingStudy": {"status": "status"},
    "MedicationAdministration": {"code": "medicationCodeableConcept", "status": "status"},
    "MedicationDispense": {"code": "medicationCodeableConcept", "status": "status"},
    "MedicationRequest": {"category": "category", "code": "medicationCodeableConcept", "status": "status"},
    "MedicationStatement": {"category": "category", "code": "medicationCodeableConcept", "status": "status"},
    "Observation": {"category": "category", "code": "code", "status": "status"},
    "Procedure": {"category": "category", "code": "code", "status": "status"},
    "ServiceRequest": {"category": "category", "code": "code", "status": "status"},
    "Task": {"code": "code", "status": "status"},
}


def is_supported(type_: str, predicates: Predicates) -> bool:
    """Whether every predicate is in the documented set of this type (a wildcard type has none)."""
    known = SUPPORTED.get(type_, {})
    return all(parameter in known and values for parameter, values in predicates)


def holds(type_: str, predicates: Predicates, resource: Mapping[str, Any]) -> bool:
    """Whether every predicate is true for the resource; anything unreadable is not."""
    known = SUPPORTED.get(type_, {})
    return all(
        parameter in known and _any_token(values, resource.get(known[parameter]))
        for parameter, values in predicates
    )


def _any_token(wanted: tuple[str, ...], element: object) -> bool:
    present = list(_tokens(element))
    return any(_matches(token, system, code) for token in wanted for system, code in present)


def _tokens(element: object) -> Iterator[tuple[str | None, str]]:
    """(system, code) of a code, a CodeableConcept or a list of either."""
    if isinstance(element, str):
        yield None, element
    elif isinstance(element, list):
        for item in element:
            yield from _tokens(item)
    elif isinstance(element, Mapping):
        codings = element.get("coding")
        for coding in codings if isinstance(codings, list) else ():
            code = coding.get("code") if isinstance(coding, Mapping) else None
            if isinstance(code, str):
                yield coding.get("system"), code


def _matches(token: str, system: str | None, code: str) -> bool:
    """FHIR R4 search.html, token: `code`, `system|code`, `|code` (no system)."""
    if "|" not in token:
        return token == code
    wanted_system, wanted_code = token.split("|", 1)
    return wanted_code == code and (wanted_system or None) == system
