"""What a resource points at must be in OpenEMR before it; here is how a mapper says so."""

from collections.abc import Mapping

from mappers.openemr.elements import Resource, reference
from mappers.openemr.errors import MissingValueError

Need = tuple[str, str]  # (type, id) of a resource
Keys = Mapping[Need, int]  # the key of the row that was written for it

STAFF = ("Practitioner", "PractitionerRole")


def found(*needs: Need | None) -> list[Need]:
    """Return the needs that exist, each once."""
    return list(dict.fromkeys(need for need in needs if need is not None))


def key_of(keys: Keys, need: Need | None, otherwise: int = 0) -> int:
    """Return the row key of a reference; OpenEMR writes 0 for nobody."""
    return otherwise if need is None else keys[need]


def practitioner_of_role(role: Resource) -> Need:
    """Return whose role it is: OpenEMR's users are persons."""
    practitioner = reference(role.get("practitioner"), "Practitioner")
    if practitioner is None:
        raise MissingValueError("PractitionerRole.practitioner")
    return practitioner
