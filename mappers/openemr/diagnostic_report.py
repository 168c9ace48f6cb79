"""DiagnosticReport -> procedure_report, and its Observations -> procedure_result.

Only a signed report is written: OpenEMR shows whatever stands in these tables as a final result. A
report that is withdrawn later is marked, not deleted.
"""

from datetime import timezone
from uuid import UUID

from sqlalchemy import select

from mappers.openemr import codes, observation
from mappers.openemr.elements import Resource, first_reference, label, needed_reference
from mappers.openemr.errors import MissingValueError, UnmappableError
from mappers.openemr.links import Owner
from mappers.openemr.needs import STAFF, Keys, Need, found, key_of
from mappers.openemr.tables import REPORT, RESULT
from mappers.openemr.values import Row, local, offset, row_uuid, text, version
from mappers.openemr.writer import Writer

TABLE = REPORT
_SEQUENCE = 1


def due(resource: Resource) -> bool:
    """Whether the report has been signed."""
    return resource.get("status") in codes.SIGNED


def needs(resource: Resource) -> list[Need]:
    """The order and who signed."""
    return found(_order(resource), _signer(resource))


def attached(resource: Resource) -> list[Need]:
    """The Observations, which are written with the report."""
    return [needed_reference(entry, "result", "Observation") for entry in resource.get("result", ())]


def to_row(resource: Resource, keys: Keys, zone: timezone) -> Row:
    """Return the columns that follow the resource."""
    return {
        "date_report": local(_issued(resource), zone, "issued"),
        "date_report_tz": offset(zone),
        "source": key_of(keys, _signer(resource)),
        "report_status": codes.lookup(codes.REPORT_STATUS, resource.get("status"), "status"),
        "report_notes": _notes(resource),
    }


def store(writer: Writer, resource: Resource, keys: Keys, results: list[Resource]) -> None:
    """Write the report and its results."""
    report_id = writer.upsert(
        TABLE,
        {"procedure_order_id": keys[_order(resource)], "procedure_order_seq": _SEQUENCE},
        to_row(resource, keys, writer.zone),
        identity=row_uuid("DiagnosticReport", resource["id"]),
        fixed=("procedure_order_id",),
    )
    for result in results:
        _store_result(writer, result, report_id, _issued(resource))
    _withdraw_others(writer, report_id, {result["id"] for result in results})


def _store_result(writer: Writer, result: Resource, report_id: int, issued: str) -> None:
    identity: UUID = row_uuid("Observation", result["id"])
    writer.upsert(
        RESULT,
        {"procedure_report_id": report_id},
        observation.to_row(result, writer.zone, issued),
        owner=Owner("Observation", result["id"], version(result)),
        identity=identity,
        fixed=("procedure_report_id",),
    )


def _withdraw_others(writer: Writer, report_id: int, kept: set[str]) -> None:
    """Mark results of an earlier version of the report that the present one no longer has."""
    rows = writer.connection.execute(
        select(*(RESULT.column(name) for name in RESULT.columns())).where(
            RESULT.column("procedure_report_id") == report_id
        )
    ).mappings().all()  # fmt: skip
    owners = writer.links.owners(RESULT.name, [str(row["procedure_result_id"]) for row in rows])
    for row in rows:
        owner = owners.get(str(row["procedure_result_id"]))
        if owner is None or owner[1] in kept or row["result_status"] == "error":
            continue
        link = writer.links.find(*owner, RESULT.name)
        if link is not None:
            writer.upsert(
                RESULT,
                {"procedure_report_id": report_id},
                {name: row[name] for name in link.columns} | {"result_status": "error"},
                owner=Owner(*owner, link.version),
            )


def _order(resource: Resource) -> Need:
    orders = resource.get("basedOn", ())
    if len(orders) > 1:
        raise UnmappableError("The report answers several orders; OpenEMR's belongs to one.")
    return needed_reference(orders[0] if orders else None, "basedOn", "ServiceRequest")


def _signer(resource: Resource) -> Need | None:
    return first_reference((*resource.get("resultsInterpreter", ()), *resource.get("performer", ())), *STAFF)


def _issued(resource: Resource) -> str:
    if not resource.get("issued"):
        raise MissingValueError("issued")
    return str(resource["issued"])


def _notes(resource: Resource) -> str | None:
    codings = (label(concept) for concept in resource.get("conclusionCode", ()))
    lines = [text(resource.get("conclusion", "")), *codings]
    return "\n".join(filter(None, lines)) or None
