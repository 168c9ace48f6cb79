"""Values of FHIR in the forms that OpenEMR's columns take: text, local time, identity."""

import re
import unicodedata
from datetime import date, datetime, timezone
from decimal import Decimal
from uuid import UUID, uuid5

from mappers.openemr.errors import MissingValueError, UnmappableError

Value = str | int | bytes | date | datetime | Decimal | None
Row = dict[str, Value]

_NAMESPACE = UUID("6f2a7d3e-0b57-5f0e-9a36-2f8d3a0f6c11")  # ours, for resources whose id is not a UUID
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_INSTANT = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


def text(value: str) -> str:
    """Compose characters (NFC): to OpenEMR's collation a decomposed syllable is another word."""
    return unicodedata.normalize("NFC", value)


def full_date(value: str, element: str) -> date:
    """Return a whole date; a year or a month alone has no place in a DATE column."""
    if not _DATE.match(value):
        raise UnmappableError(f"{element} is not a whole date, and OpenEMR stores whole dates only.")
    return date.fromisoformat(value)


def local(value: str, zone: timezone, element: str) -> datetime:
    """Return an instant or date as OpenEMR's local time, in whole seconds."""
    if _DATE.match(value):
        return datetime.combine(date.fromisoformat(value), datetime.min.time())
    if not _INSTANT.match(value):
        raise UnmappableError(f"{element} is not a whole date, and OpenEMR stores whole dates only.")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise UnmappableError(f"{element} has a time without an offset.")
    return moment.astimezone(zone).replace(tzinfo=None, microsecond=0)


def offset(zone: timezone) -> str:
    """Return the zone as OpenEMR writes it beside a time (+0900)."""
    return datetime.now(zone).strftime("%z")


def version(resource: object) -> int:
    """Return the server's version number of a resource."""
    if isinstance(resource, dict):
        number = resource.get("meta", {}).get("versionId", "")
        if isinstance(number, str) and number.isdecimal():
            return int(number)
    raise MissingValueError("meta.versionId")


def row_uuid(type_name: str, id_: str, part: str = "") -> UUID:
    """Return the identity of a row: the resource's own id where it is a UUID, so that both servers agree."""
    if not part:
        try:
            return UUID(id_)
        except ValueError:
            pass
    return uuid5(_NAMESPACE, f"{type_name}/{id_}/{part}")
