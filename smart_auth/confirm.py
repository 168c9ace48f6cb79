"""`confirm`: whether one resource is covered by a decision, and `project`: what of it is shown.

Reached through `policy`. Sources: `roles.py`, `compartment.py`, `released.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smart_auth import compartment, predicates, released, roles
from smart_auth.interaction import Alternative, Decision
from smart_auth.roles import Rule

AI_ALGORITHM = "urn:neuronova:ai-algorithm"


def confirm(decision: Decision, resource: Mapping[str, Any], *, linked: bool = False) -> bool:
    """Whether one resource may be seen (or written) under the decision.

    Of a write both the stored and the new version have to pass; of a vread or a history entry the current
    version as well as the old one. For `dicom-upload` the resource is the ImagingStudy to be, with its
    subject. `linked`: the caller has found a visible resource that refers to this one, or (for
    `depends == "target"`) has found every target visible.
    """
    return (
        decision.allowed
        and decision.role is not None
        and resource.get("resourceType") == decision.type
        and any(_reaches(decision, alternative, resource, linked) for alternative in decision.alternatives)
        and (decision.depends != "referenced" or linked or _is_own_organization(decision, resource))
        and all(_allows(decision, cell, resource) for cell in _cells(decision, resource))
        and not (decision.letters in "cud" and _is_server_written(resource))
    )


def project(decision: Decision, resource: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a confirmed resource that the caller may see (most decisions keep everything)."""
    cell = roles.rule(decision.role, str(decision.type)) if decision.role else roles.NOTHING
    if decision.released_only and released.is_tombstone(resource):
        return released.tombstone(resource)
    if "projection" in cell.words:
        return released.access(resource, decision.patients or frozenset())
    if "name" in cell.words and not _is_own_organization(decision, resource):
        return released.referenced(resource)
    return dict(resource)


def is_of_allowed_category(decision: Decision, resource: Mapping[str, Any]) -> bool:
    """Whether the role has the decision's right for each category of an Observation; True of other types."""
    return decision.type != "Observation" or all(
        decision.letters in cell.letters for cell in _cells(decision, resource)
    )


def _reaches(decision: Decision, alternative: Alternative, resource: Mapping[str, Any], linked: bool) -> bool:
    if not predicates.holds(str(decision.type), alternative.predicates, resource):
        return False
    if alternative.patients is None:
        return True
    if decision.type in compartment.SUBJECTS:
        return compartment.belongs_to(resource, alternative.patients)
    # Types without a subject of their own: what ties them to a patient is the reference or the target.
    return decision.depends == "referenced" or (decision.depends == "target" and linked)


def _cells(decision: Decision, resource: Mapping[str, Any]) -> list[Rule]:
    """The cells that all have to allow the resource: one per category of an Observation."""
    role = decision.role
    if role is None:
        return [roles.NOTHING]
    if decision.kind == "dicom-upload":
        return [roles.rule(role, roles.UPLOAD)]
    if decision.type != "Observation":
        return [roles.rule(role, str(decision.type))]
    categories = released.observation_categories(resource)
    if categories is None:
        return [roles.NOTHING]
    return [roles.rule(role, f"Observation {name}") for name in sorted(categories or {"uncategorised"})]


def _allows(decision: Decision, cell: Rule, resource: Mapping[str, Any]) -> bool:
    # $review and $sign stand for `u` where the cell names them.
    is_named = decision.kind == "operation" and decision.letters == "u" and cell.operations
    if decision.letters not in cell.letters and not is_named:
        return False
    if "released" in cell.words and not released.is_released(resource):
        # A withdrawn result is a tombstone where it is read by its id. Searches do not find it, and its
        # earlier versions are gone with it: vread and history ask for the current version first.
        is_told = released.is_tombstone(resource) and released.was_released(resource)
        return is_told and decision.kind in ("read", "result-read")
    if "available" in cell.words and resource.get("status") != "available":
        return False
    if "managed" in cell.words:
        managing = resource.get("managingEntity")
        return isinstance(managing, Mapping) and managing.get("reference") == (
            f"Organization/{decision.organization}"
        )
    return True


def _is_own_organization(decision: Decision, resource: Mapping[str, Any]) -> bool:
    return (
        decision.role is not None
        and "organization" in roles.rule(decision.role, str(decision.type)).words
        and decision.organization is not None
        and resource.get("id") == decision.organization
    )


def _is_server_written(resource: Mapping[str, Any]) -> bool:
    """AI algorithms are Devices that the product's own workers write."""
    identifiers = resource.get("identifier") if resource.get("resourceType") == "Device" else None
    return any(
        isinstance(identifier, Mapping) and identifier.get("system") == AI_ALGORITHM
        for identifier in (identifiers if isinstance(identifiers, list) else ())
    )
