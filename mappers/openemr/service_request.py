"""ServiceRequest -> procedure_order, its one procedure_order_code, and its `forms` row."""

from datetime import datetime, timezone

from mappers.openemr import codes, encounter, forms
from mappers.openemr.elements import Resource, code_of, identifier, label, needed_reference, notes, reference
from mappers.openemr.errors import MissingValueError, UnknownCodeError
from mappers.openemr.names import ACCESSION_SYSTEM
from mappers.openemr.needs import STAFF, Keys, Need, found, key_of
from mappers.openemr.tables import ORDER, ORDER_CODE
from mappers.openemr.values import Row, local, row_uuid
from mappers.openemr.writer import Writer

TABLE = ORDER
_FORMDIR = "procedure_order"
_SEQUENCE = 1


def needs(resource: Resource) -> list[Need]:
    """The patient, the encounter and who ordered."""
    return found(_patient(resource), _encounter(resource), _requester(resource))


def to_row(resource: Resource, keys: Keys, zone: timezone) -> Row:
    """Return the columns of procedure_order that follow the resource."""
    order_type = _order_type(resource)
    status = codes.lookup(codes.ORDER_STATUS, resource.get("status"), "status")
    diagnoses, reasons = _reasons(resource)
    return {
        "provider_id": key_of(keys, _requester(resource)),
        "date_ordered": _ordered(resource, zone),
        "order_priority": codes.lookup(codes.ORDER_PRIORITY, resource.get("priority", "routine"), "priority"),
        "order_status": status,
        "order_intent": codes.lookup(codes.ORDER_INTENT, resource.get("intent"), "intent"),
        "activity": int(resource.get("status") != "entered-in-error"),
        "procedure_order_type": order_type,
        "performer_type": codes.PERFORMER_TYPE[order_type] or None,
        "control_id": identifier(resource, system=ACCESSION_SYSTEM)
        or identifier(resource, type_code="ACSN")
        or "",
        "patient_instructions": resource.get("patientInstruction"),
        "clinical_hx": "; ".join([*reasons, *notes(resource)]),
        "order_diagnosis": ";".join(diagnoses),
        **_occurrence(resource, zone),
    }


def to_code_row(resource: Resource) -> Row:
    """Return the columns of procedure_order_code that follow the resource."""
    concept = resource.get("code")
    name = label(concept)
    if not name:
        raise MissingValueError("code")
    code = next(
        (
            f"{prefix}:{found}"
            for system, prefix in codes.ORDER_CODE_PREFIXES.items()
            if (found := code_of(concept, system))
        ),
        "",
    )
    order_type = _order_type(resource)
    return {
        "procedure_code": code,
        "procedure_name": name,
        "diagnoses": ";".join(_reasons(resource)[0]),
        # OpenEMR's own FHIR API leaves out a row without a title.
        "procedure_order_title": order_type,
        "procedure_type": order_type,
    }


def store(writer: Writer, resource: Resource, keys: Keys) -> None:
    """Write the order, inside its encounter."""
    pid = keys[_patient(resource)]
    row, code_row = to_row(resource, keys, writer.zone), to_code_row(resource)
    number = _encounter_number(writer, resource, keys, pid)
    order_id = writer.upsert(
        TABLE,
        {"patient_id": pid, "encounter_id": number},
        row,
        identity=row_uuid("ServiceRequest", resource["id"]),
        fixed=("patient_id",),
    )
    writer.upsert(ORDER_CODE, {"procedure_order_id": order_id, "procedure_order_seq": _SEQUENCE}, code_row)
    forms.pair(
        writer,
        formdir=_FORMDIR,
        form_name=f"{_order_type(resource)}-{order_id}",
        form_id=order_id,
        pid=pid,
        encounter=number,
        deleted=resource.get("status") == "entered-in-error",
    )


def _encounter_number(writer: Writer, resource: Resource, keys: Keys, pid: int) -> int:
    visit = _encounter(resource)
    own = writer.exists("ServiceRequest", resource["id"], encounter.TABLE, encounter.VISIT)
    if visit is not None and own is None:
        return forms.encounter_number(writer, keys[visit], pid)
    # An order that began without an Encounter stays in the one that was made for it.
    ordered = _ordered(resource, writer.zone)
    return encounter.for_order(writer, pid, key_of(keys, _requester(resource)), ordered)


def _patient(resource: Resource) -> Need:
    return needed_reference(resource.get("subject"), "subject", "Patient")


def _encounter(resource: Resource) -> Need | None:
    return reference(resource.get("encounter"), "Encounter")


def _requester(resource: Resource) -> Need | None:
    return reference(resource.get("requester"), *STAFF)


def _ordered(resource: Resource, zone: timezone) -> datetime:
    if not resource.get("authoredOn"):
        raise MissingValueError("authoredOn")
    return local(resource["authoredOn"], zone, "authoredOn")


def _order_type(resource: Resource) -> str:
    for concept in resource.get("category", ()):
        code = code_of(concept, codes.SNOMED)
        if code is not None:
            return codes.lookup(codes.ORDER_TYPE, code, "category")
    raise UnknownCodeError("category")


def _reasons(resource: Resource) -> tuple[list[str], list[str]]:
    """Return the reasons that OpenEMR knows a code system for, and the texts of the others."""
    coded, told = [], []
    for concept in resource.get("reasonCode", ()):
        code = next(
            (
                f"{prefix}:{found}"
                for system, prefix in codes.REASON_PREFIXES.items()
                if (found := code_of(concept, system))
            ),
            None,
        )
        if code is not None:
            coded.append(code)
        elif label(concept):
            told.append(label(concept))
    return coded, told


def _occurrence(resource: Resource, zone: timezone) -> Row:
    period = resource.get("occurrencePeriod", {})
    day, start, end = resource.get("occurrenceDateTime"), period.get("start"), period.get("end")
    return {
        "scheduled_date": local(day, zone, "occurrenceDateTime") if day else None,
        "scheduled_start": local(start, zone, "occurrencePeriod.start") if start else None,
        "scheduled_end": local(end, zone, "occurrencePeriod.end") if end else None,
    }
