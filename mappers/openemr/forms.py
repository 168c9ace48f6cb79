"""The `forms` row that makes an encounter or an order appear in OpenEMR's chart."""

from datetime import datetime
from typing import cast

from sqlalchemy import select

from mappers.openemr.errors import SyncConflictError
from mappers.openemr.links import SELF
from mappers.openemr.tables import ENCOUNTER, FORM
from mappers.openemr.writer import Writer

_USER = "neuronova"


def pair(
    writer: Writer,
    *,
    formdir: str,
    form_name: str,
    form_id: int,
    pid: int,
    encounter: int,
    deleted: bool = False,
    part: str = SELF,
) -> None:
    """Write the forms row of a record."""
    writer.upsert(
        FORM,
        {
            "date": datetime.now(writer.zone).replace(tzinfo=None, microsecond=0),
            "encounter": encounter,
            "form_name": form_name,
            "form_id": form_id,
            "pid": pid,
            "user": _USER,
            "groupname": "Default",
            "authorized": 1,
            "formdir": formdir,
        },
        # An encounter that we only made room for an order with is OpenEMR's from then on.
        {"deleted": int(deleted)} if part == SELF else {},
        part=part,
    )


def encounter_number(writer: Writer, form_encounter_id: int, pid: int) -> int:
    """Return the number by which other tables know an encounter, which must be this patient's."""
    row = writer.connection.execute(
        select(ENCOUNTER.column("encounter"), ENCOUNTER.column("pid")).where(
            ENCOUNTER.column("id") == form_encounter_id
        )
    ).one_or_none()
    if row is None:
        raise SyncConflictError("The encounter was deleted in OpenEMR.")
    if row.pid != pid:
        raise SyncConflictError("The encounter belongs to another patient in OpenEMR.")
    return int(cast("int", row.encounter))
