"""References of a write, resolved under the caller's rights: missing, deleted and invisible answer alike.

Sources: FHIR R4 references.html (relative, absolute, versioned, contained), http.html#trules (match URLs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from facade.errors import (
    BusinessRuleError,
    FacadeError,
    MultipleMatchesError,
    RefusedError,
    UnresolvedReferenceError,
)
from facade.gate import Gate
from facade.matching import matching
from facade.parameters import TABLE
from facade.request import criteria
from smart_auth import compartment

_LITERAL = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[0-9]{1,10})?", re.ASCII)
_MATCH_URL = re.compile(r"([A-Z][A-Za-z]{1,63})\?(.+)", re.ASCII)
# Elements whose target has to be about the same patient; others (performer, author, focus of a newborn's
# Observation) may name somebody else.
_SAME_PATIENT = frozenset(
    {"basedOn", "result", "imagingStudy", "encounter", "context", "partOf", "derivedFrom", "hasMember"}
    | {"reasonReference", "condition", "supportingInfo", "prescription", "authorizingPrescription"}
)
_MISSING = "missing, deleted or not visible to you"


async def resolve(gate: Gate, resource: dict[str, Any], old: Mapping[str, Any] | None = None) -> None:
    """Check every reference of the resource, and write match URLs out; what stands in `old` is kept as it is.

    Raises UnresolvedReferenceError or BusinessRuleError with all violations.
    """
    kept = {reference["reference"] for _, reference in walk(dict(old or {}), "") if "reference" in reference}
    contained = {f"#{item.get('id')}" for item in resource.get("contained", [])}
    missing: list[tuple[str, str]] = []
    mixed: list[tuple[str, str]] = []
    patient = compartment.patient_of(resource)
    for index, item in enumerate(resource.get("contained", [])):
        theirs = compartment.patient_of(item) if item.get("resourceType") != "Patient" else None
        if theirs is not None and theirs != patient:
            mixed.append((f"contained[{index}]", "about another patient"))
    for place, reference in walk(resource, str(resource["resourceType"])):
        text = reference.get("reference")
        if not isinstance(text, str) or text in kept or text in contained or text == "#":
            continue
        target = await _target(gate, text)
        if target is None:
            missing.append((place, _MISSING))
            continue
        if _MATCH_URL.fullmatch(text) or "://" in text:
            reference["reference"] = f"{target['resourceType']}/{target['id']}"
        theirs = compartment.patient_of(target)
        if _is_clinical(place) and theirs and patient and theirs != patient:
            mixed.append((place, "about another patient"))
    if missing:
        raise UnresolvedReferenceError(issues=tuple(missing))
    if mixed:
        raise BusinessRuleError(issues=tuple(mixed))


def walk(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (FHIRPath, Reference) of everything in a resource that looks like a literal reference."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, f"{place}[{index}]")
    elif isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield place, value
        for name, item in value.items():
            if isinstance(item, list | dict):
                yield from walk(item, f"{place}.{name}")


async def _target(gate: Gate, text: str) -> dict[str, Any] | None:
    """Return what a reference points at, if the caller could read it."""
    relative = text.removeprefix(f"{gate.services.settings.base_url}/fhir/")
    if match := _LITERAL.fullmatch(relative):
        return await gate.visible(match.group(1), match.group(2)) if match.group(1) in TABLE else None
    if match := _MATCH_URL.fullmatch(relative):
        return await _matched(gate, *match.groups())
    return None


async def _matched(gate: Gate, type_: str, query: str) -> dict[str, Any] | None:
    """Return the one visible resource that a match URL finds."""
    if type_ not in TABLE:
        return None
    try:
        found = [(p.name, p.value) for p in criteria(type_, query, gate.services.settings.base_url)]
    except FacadeError:
        return None
    try:
        return await matching(gate, type_, found)
    except (RefusedError, MultipleMatchesError):
        return None


def _is_clinical(place: str) -> bool:
    element = place.split(".")[1].partition("[")[0] if "." in place else ""
    return element in _SAME_PATIENT
