"""Patient -> patient_data.

OpenEMR has no column for `active`, `link` and a death without a date; the first two stay in HAPI, the last is
refused, because a living patient in one system and a dead one in the other is worse than an error.
"""

from datetime import datetime, timezone

from mappers.openemr import codes
from mappers.openemr.elements import Resource, code_of, first_reference, identifier
from mappers.openemr.errors import MissingValueError, UnknownCodeError, UnmappableError
from mappers.openemr.names import MRN_SYSTEM, name_columns
from mappers.openemr.needs import Keys, Need, found, key_of
from mappers.openemr.tables import PATIENT
from mappers.openemr.telecom import address_columns, telecom
from mappers.openemr.values import Row, full_date, local, row_uuid
from mappers.openemr.writer import Writer

TABLE = PATIENT


def needs(resource: Resource) -> list[Need]:
    """A patient may have a general practitioner."""
    return found(_practitioner(resource))


def to_row(resource: Resource, keys: Keys, zone: timezone) -> Row:
    """Return the columns that follow the resource."""
    number = identifier(resource, system=MRN_SYSTEM)
    if not number:
        raise MissingValueError("identifier (medical record number)")
    contacts = resource.get("telecom", ())
    birth = resource.get("birthDate")
    gender = resource.get("gender")
    return (
        name_columns(resource.get("name", ()))
        | address_columns(resource.get("address", ()))
        | {
            "pubpid": number,
            "DOB": full_date(birth, "birthDate") if birth else None,
            "sex": codes.lookup(codes.SEX, gender, "gender") if gender else "",
            "status": _marital(resource.get("maritalStatus")),
            "language": _language(resource),
            "phone_home": telecom(contacts, "phone", "home", None),
            "phone_biz": telecom(contacts, "phone", "work"),
            "phone_cell": telecom(contacts, "phone", "mobile"),
            "email": telecom(contacts, "email", "home", "work", None),
            "email_direct": telecom(contacts, "email", "mobile"),
            "deceased_date": _deceased(resource, zone),
            "providerID": key_of(keys, _practitioner(resource)) or None,
        }
    )


def store(writer: Writer, resource: Resource, keys: Keys) -> None:
    """Write the patient; the writer allocates the pid."""
    now = datetime.now(writer.zone).replace(tzinfo=None, microsecond=0)
    writer.upsert(
        TABLE,
        {"regdate": now, "date": now},
        to_row(resource, keys, writer.zone),
        identity=row_uuid("Patient", resource["id"]),
    )


def _practitioner(resource: Resource) -> Need | None:
    return first_reference(resource.get("generalPractitioner", ()), "Practitioner", "PractitionerRole")


def _marital(concept: Resource | None) -> str:
    if not concept:
        return ""
    code = code_of(concept, codes.MARITAL_STATUS) or code_of(concept, codes.NULL_FLAVOR)
    return codes.lookup(codes.MARITAL, code, "maritalStatus")


def _language(resource: Resource) -> str:
    spoken = resource.get("communication", ())
    first: Resource = next((entry for entry in spoken if entry.get("preferred")), spoken[0] if spoken else {})
    for coding in first.get("language", {}).get("coding", ()):
        # BCP 47: the language stands before the region (ko-KR).
        return codes.lookup(
            codes.LANGUAGE, str(coding.get("code", "")).split("-")[0].lower(), "communication.language"
        )
    if first.get("language", {}).get("text"):
        raise UnknownCodeError("communication.language")
    return ""


def _deceased(resource: Resource, zone: timezone) -> datetime | None:
    if resource.get("deceasedDateTime"):
        return local(resource["deceasedDateTime"], zone, "deceasedDateTime")
    if resource.get("deceasedBoolean"):
        raise UnmappableError("deceasedBoolean without a date has no place in OpenEMR.")
    return None
