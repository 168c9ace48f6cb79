"""Practitioner -> users: an address-book entry without a login.

OpenEMR's own FHIR API shows only users with an `npi`, so a Korean licence number goes there.
"""

from mappers.openemr.elements import Resource, identifier
from mappers.openemr.names import NPI_SYSTEM, name_columns
from mappers.openemr.needs import Keys, Need
from mappers.openemr.tables import PRACTITIONER
from mappers.openemr.telecom import telecom
from mappers.openemr.values import Row, row_uuid
from mappers.openemr.writer import Writer

TABLE = PRACTITIONER
_LICENCE = "MD"  # v2-0203: medical licence number


def needs(_resource: Resource) -> list[Need]:
    """A person points at nothing."""
    return []


def to_row(resource: Resource) -> Row:
    """Return the columns that follow the resource."""
    licence = identifier(resource, system=NPI_SYSTEM) or identifier(resource, type_code=_LICENCE)
    contacts = resource.get("telecom", ())
    return name_columns(resource.get("name", ())) | {
        "npi": licence,
        "email": telecom(contacts, "email"),
        "phone": telecom(contacts, "phone", "home"),
        "phonew1": telecom(contacts, "phone", "work", None),
        "phonecell": telecom(contacts, "phone", "mobile"),
        "active": int(resource.get("active", True)),
    }


def store(writer: Writer, resource: Resource, _keys: Keys) -> None:
    """Write the person."""
    writer.upsert(
        TABLE,
        {"authorized": 1, "abook_type": "external_provider"},
        to_row(resource),
        identity=row_uuid("Practitioner", resource["id"]),
    )
