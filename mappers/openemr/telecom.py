"""ContactPoint and Address in OpenEMR's columns."""

from collections.abc import Sequence

from mappers.openemr.elements import Resource
from mappers.openemr.errors import UnmappableError
from mappers.openemr.values import Row, text

_LINES = 2


def telecom(contacts: Sequence[Resource], system: str, *uses: str | None) -> str:
    """Return the best contact of a system in one of the uses (None: without a use; no uses given: any)."""
    usable = [
        contact
        for contact in contacts
        if contact.get("system") == system
        and contact.get("value")
        and contact.get("use") != "old"
        and (not uses or contact.get("use") in uses)
    ]
    best = min(usable, key=lambda contact: contact.get("rank", 1_000_000), default=None)
    return text(best["value"]) if best else ""


def address_columns(addresses: Sequence[Resource]) -> Row:
    """Return the columns of the home address, else of the first one in use."""
    usable = [entry for entry in addresses if entry.get("use") not in ("old", "temp", "billing")]
    entry: Resource = next((a for a in usable if a.get("use") == "home"), usable[0] if usable else {})
    lines = [text(line) for line in entry.get("line", ())] or [text(entry.get("text", ""))]
    if len(lines) > _LINES:
        raise UnmappableError("address.line has more than the two lines that OpenEMR holds.")
    return {
        "street": lines[0],
        "street_line_2": lines[1] if len(lines) == _LINES else "",
        "city": text(entry.get("city", "")),
        "county": text(entry.get("district", "")),
        "state": text(entry.get("state", "")),
        "postal_code": text(entry.get("postalCode", "")),
        "country_code": text(entry.get("country", "")),
    }
