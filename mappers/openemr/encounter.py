"""Encounter -> form_encounter and its `forms` row.

An imaging order without an Encounter gets one of its own (`for_order`), because OpenEMR shows an order only
inside an encounter.
"""

from datetime import datetime, timezone

from sqlalchemy import select

from mappers.openemr import codes, forms
from mappers.openemr.elements import Resource, label, needed_reference, reference
from mappers.openemr.errors import MissingValueError
from mappers.openemr.needs import STAFF, Keys, Need, found, key_of
from mappers.openemr.tables import ENCOUNTER, FACILITY
from mappers.openemr.values import Row, local, row_uuid
from mappers.openemr.writer import Writer

TABLE = ENCOUNTER
VISIT = "visit"
_FORMDIR = "newpatient"
_FORM_NAME = "New Patient Encounter"


def needs(resource: Resource) -> list[Need]:
    """The patient, who saw them and who sent them."""
    return found(_patient(resource), _participant(resource, "PPRF", "ATND"), _participant(resource, "REF"))


def to_row(resource: Resource, keys: Keys, zone: timezone) -> Row:
    """Return the columns that follow the resource."""
    period = resource.get("period", {})
    if not period.get("start"):
        raise MissingValueError("period.start")
    end = period.get("end")
    return {
        "date": local(period["start"], zone, "period.start"),
        "date_end": local(end, zone, "period.end") if end else None,
        "reason": "; ".join(filter(None, (label(concept) for concept in resource.get("reasonCode", ())))),
        "class_code": codes.lookup(codes.ENCOUNTER_CLASS, resource.get("class", {}).get("code"), "class"),
        "provider_id": key_of(keys, _participant(resource, "PPRF", "ATND")),
        "referring_provider_id": key_of(keys, _participant(resource, "REF")),
    }


def store(writer: Writer, resource: Resource, keys: Keys) -> None:
    """Write the encounter and its forms row."""
    pid = keys[_patient(resource)]
    identity = row_uuid("Encounter", resource["id"])
    once: Row = {"pid": pid}
    if writer.exists("Encounter", resource["id"], TABLE) is None:
        once |= _place(writer) | {"encounter": writer.database.next_number()}
    row_id = writer.upsert(
        TABLE,
        once,
        to_row(resource, keys, writer.zone),
        identity=identity,
        fixed=("pid",),
    )
    forms.pair(
        writer,
        formdir=_FORMDIR,
        form_name=_FORM_NAME,
        form_id=row_id,
        pid=pid,
        encounter=forms.encounter_number(writer, row_id, pid),
        deleted=resource.get("status") == "entered-in-error",
    )


def for_order(writer: Writer, pid: int, provider: int, ordered: datetime) -> int:
    """Make the encounter of an order that has none, once; return its number. It is OpenEMR's from then on."""
    owner = writer.owner
    row_id = writer.exists(owner.type, owner.id, TABLE, VISIT)
    if row_id is not None:
        return forms.encounter_number(writer, row_id, pid)
    place = _place(writer)
    number = writer.database.next_number()
    row_id = writer.upsert(
        TABLE,
        place
        | {"pid": pid, "encounter": number, "date": ordered, "reason": "Order", "provider_id": provider},
        {},
        part=VISIT,
        identity=row_uuid(owner.type, owner.id, VISIT),
    )
    forms.pair(
        writer, formdir=_FORMDIR, form_name=_FORM_NAME, form_id=row_id, pid=pid, encounter=number, part=VISIT
    )
    return number


def _place(writer: Writer) -> Row:
    """Return the hospital itself: OpenEMR's primary facility."""
    facility = FACILITY.clause.c
    place = writer.connection.execute(
        select(facility.id, facility.name)
        .where(facility.inactive == 0)
        .order_by(facility.primary_business_entity.desc(), facility.id)
        .limit(1)
    ).one_or_none()
    return {"facility": place.name if place else "", "facility_id": place.id if place else 0}


def _patient(resource: Resource) -> Need:
    return needed_reference(resource.get("subject"), "subject", "Patient")


def _participant(resource: Resource, *kinds: str) -> Need | None:
    for kind in kinds:
        for participant in resource.get("participant", ()):
            codings = (
                coding for concept in participant.get("type", ()) for coding in concept.get("coding", ())
            )
            if any(coding.get("code") == kind for coding in codings):
                who = reference(participant.get("individual"), *STAFF)
                if who is not None:
                    return who
    return None
