"""The standard's own R4 examples of the types in use: which close among themselves, and who writes them.

Source: npm package hl7.fhir.r4.examples 4.0.1 (deploy/setup/clients.py unpacks it).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.setup.clients import CLIENTS
from facade import exact
from smart_auth import roles

Resource = dict[str, Any]
PACKAGE = CLIENTS / "hl7.fhir.r4.examples" / "package"
_CATEGORIES = ("imaging", "laboratory", "vital-signs")


def examples() -> dict[str, Resource]:
    """Every example of a type in use, by `Type/id`; numbers keep their digits."""
    found = {}
    for type_ in sorted(roles.TYPES):
        for path in sorted(PACKAGE.glob(f"{type_}-*.json")):
            resource = exact.loads(path.read_bytes())
            found[f"{type_}/{resource['id']}"] = resource
    return found


def references(value: Any) -> Iterator[dict[str, Any]]:
    """Every Reference in a resource that names its target literally and outside the resource."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        text = value.get("reference")
        if isinstance(text, str) and not text.startswith("#"):
            yield value
        for item in value.values():
            yield from references(item)


def closed(given: Mapping[str, Resource]) -> dict[str, Resource]:
    """The part of these resources in which no reference leads out."""
    kept = dict(given)
    while leading_out := [
        key for key, one in kept.items() if any(target(found) not in kept for found in references(one))
    ]:
        for key in leading_out:
            del kept[key]
    return kept


def target(reference: Mapping[str, Any]) -> str:
    """What a reference names, without the version."""
    return str(reference["reference"]).partition("/_history/")[0]


def writer(resource: Mapping[str, Any]) -> str | None:
    """A role that may create this resource; None: nobody may."""
    rows = [str(resource["resourceType"])]
    if rows == ["Observation"]:
        codes = {
            coding.get("code")
            for concept in resource.get("category", [])
            for coding in concept.get("coding", [])
        }
        rows = [f"Observation {code}" for code in _CATEGORIES if code in codes] or [
            "Observation uncategorised"
        ]
    for role in sorted(roles.STAFF, key="admin".__eq__):
        if all("c" in roles.rule(role, row).letters for row in rows):
            return role
    return None


def groups(given: Mapping[str, Resource]) -> list[list[str]]:
    """Groups in order: what a group refers to is in groups before it, or, in a circle, in the same group."""
    done: set[str] = set()
    ordered: list[list[str]] = []
    while rest := [key for key in given if key not in done]:
        ready = [key for key in rest if _targets(given, key) <= done]
        ordered.append(ready or min((_reached(given, key, done) for key in rest), key=len))
        done |= set(ordered[-1])
    return ordered


def _targets(given: Mapping[str, Resource], key: str) -> set[str]:
    return {target(found) for found in references(given[key])}


def _reached(given: Mapping[str, Resource], key: str, done: set[str]) -> list[str]:
    found = [key]
    for one in found:
        found += sorted(_targets(given, one) - done - set(found))
    return found
