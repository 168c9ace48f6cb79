"""Small readers of FHIR elements: references, codings, names. Nothing here knows a table."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mappers.openemr.errors import MissingValueError, UnmappableError
from mappers.openemr.values import text

Resource = Mapping[str, Any]

_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]+)?$")


def reference(element: Resource | None, *types: str) -> tuple[str, str] | None:
    """Return (type, id) of a literal reference to one of the types, or None when there is none."""
    found = _REFERENCE.search(str((element or {}).get("reference", "")))
    if found is None or found.group(1) not in types:
        return None
    return found.group(1), found.group(2)


def needed_reference(element: Resource | None, name: str, *types: str) -> tuple[str, str]:
    """Return (type, id), or refuse the resource."""
    found = reference(element, *types)
    if found is None:
        raise MissingValueError(name)
    return found


def first_reference(elements: Iterable[Resource], *types: str) -> tuple[str, str] | None:
    """Return the first reference to one of the types."""
    return next((found for element in elements if (found := reference(element, *types))), None)


def code_of(concept: Resource | None, system: str) -> str | None:
    """Return the concept's code in one system."""
    for coding in (concept or {}).get("coding", ()):
        if coding.get("system") == system and coding.get("code"):
            return str(coding["code"])
    return None


def label(concept: Resource | None) -> str:
    """Return what a person reads for a concept: its text, else a display, else a code, else nothing."""
    concept = concept or {}
    codings: Sequence[Resource] = concept.get("coding", ())
    found = concept.get("text") or next((c["display"] for c in codings if c.get("display")), None)
    return text(str(found or next((c["code"] for c in codings if c.get("code")), "")))


def identifier(resource: Resource, *, system: str | None = None, type_code: str | None = None) -> str | None:
    """Return the value of the identifier with this system, or with this code of table v2-0203."""
    found = {
        str(entry["value"])
        for entry in resource.get("identifier", ())
        if entry.get("value")
        and entry.get("use") != "old"
        and (system is None or entry.get("system") == system)
        and (
            type_code is None or type_code in {c.get("code") for c in entry.get("type", {}).get("coding", ())}
        )
    }
    if len(found) > 1:
        raise UnmappableError("Two identifiers of the same kind: OpenEMR has room for one.")
    return text(found.pop()) if found else None


def notes(resource: Resource) -> list[str]:
    """Return the texts of a resource's annotations."""
    return [text(note["text"]) for note in resource.get("note", ()) if note.get("text")]
