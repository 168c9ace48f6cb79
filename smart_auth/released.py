"""What of a result may leave the house before and after it is signed, and what of a resource is shown.

Source: the product's design, section 5 ("released"); FHIR R4 DiagnosticReport.status, Observation.status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RELEASED: Mapping[str, tuple[str, ...]] = {
    "DiagnosticReport": ("final", "amended", "corrected", "appended"),
    "Observation": ("final", "amended", "corrected"),
}
WITHDRAWN = "entered-in-error"
TOMBSTONE_TYPES = frozenset(RELEASED)

AI_RESULT = "urn:neuronova:ai-result"
CATEGORY_SYSTEM = "http://terminology.hl7.org/CodeSystem/observation-category"

# What is shown of a resource that is there only because something visible refers to it.
REFERENCED_ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "Practitioner": ("identifier", "active", "name"),
    "PractitionerRole": ("identifier", "active", "practitioner", "organization", "code", "specialty"),
    "Organization": ("identifier", "active", "name", "type"),
    "Location": ("identifier", "status", "name", "type"),
}


def observation_categories(resource: Mapping[str, Any]) -> frozenset[str] | None:
    """Codes of HL7's observation-category; empty: none given; None: one of them cannot be read."""
    given = resource.get("category", [])
    if not isinstance(given, list):
        return None
    found: set[str] = set()
    for concept in given:
        codings = concept.get("coding") if isinstance(concept, Mapping) else None
        codes = {
            coding.get("code")
            for coding in (codings if isinstance(codings, list) else ())
            if isinstance(coding, Mapping) and coding.get("system") == CATEGORY_SYSTEM
        }
        known = {code for code in codes if isinstance(code, str)}
        if not known or known != codes:
            return None
        found |= known
    return frozenset(found)


def is_released(resource: Mapping[str, Any]) -> bool:
    """Whether a report or observation is in a signed state."""
    return resource.get("status") in RELEASED.get(str(resource.get("resourceType")), ())


def is_tombstone(resource: Mapping[str, Any]) -> bool:
    """Whether a report or observation was withdrawn."""
    return resource.get("resourceType") in TOMBSTONE_TYPES and resource.get("status") == WITHDRAWN


def was_released(resource: Mapping[str, Any]) -> bool:
    """Whether a withdrawn result was ever shown: signing sets `issued`, and a draft of the AI has none.

    A draft is withdrawn where its images turned out to be another patient's.
    """
    identifiers = resource.get("identifier")
    is_of_ai = any(
        isinstance(one, Mapping) and one.get("system") == AI_RESULT
        for one in (identifiers if isinstance(identifiers, list) else ())
    )
    return "issued" in resource or not is_of_ai


def tombstone(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A withdrawn result without its content: that it was, and that it is withdrawn."""
    kept = {name: resource[name] for name in ("resourceType", "id", "meta", "subject") if name in resource}
    return {**kept, "status": WITHDRAWN, "code": {"text": "withdrawn"}}


def referenced(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Name, identifier and role of somebody or something that a visible resource refers to."""
    elements = REFERENCED_ELEMENTS[str(resource["resourceType"])]
    return {name: resource[name] for name in ("resourceType", "id", "meta", *elements) if name in resource}


def access(event: Mapping[str, Any], patients: frozenset[str]) -> dict[str, Any]:
    """Who, in which role, when and what, of one AuditEvent; no address, no query, no other patient."""
    kept = {
        name: event[name]
        for name in ("resourceType", "id", "meta", "type", "subtype", "action", "recorded", "outcome")
        if name in event
    }
    agents = [
        {name: agent[name] for name in ("type", "role", "who", "requestor") if name in agent}
        for agent in event.get("agent", ())
    ]
    entities = [
        {name: entity[name] for name in ("what", "type", "role") if name in entity}
        for entity in event.get("entity", ())
        if _names_no_other(entity, patients)
    ]
    source = {name: value for name, value in event.get("source", {}).items() if name == "observer"}
    return {**kept, "agent": agents, "source": source, "entity": entities}


def _names_no_other(entity: Mapping[str, Any], patients: frozenset[str]) -> bool:
    reference = str(entity.get("what", {}).get("reference", ""))
    parts = reference.split("/")
    return "Patient" not in parts or (parts[0] == "Patient" and len(parts) > 1 and parts[1] in patients)
