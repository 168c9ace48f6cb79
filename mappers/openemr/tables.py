"""The tables and columns of OpenEMR that we touch, and nothing else.

`once` columns are written when the row is made; `kept` columns follow the resource and are compared
before each change; `read` columns are only read. deploy/mariadb/grants.sql grants exactly these.
"""

from dataclasses import dataclass, field

from sqlalchemy import ColumnClause, TableClause, column, table


@dataclass(frozen=True)
class Mapped:
    """One table of OpenEMR."""

    name: str
    keys: tuple[str, ...]
    once: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()  # columns that a supported release may lack
    registry: str | None = None  # what uuid_registry.table_id says for this table
    clause: TableClause = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clause", table(self.name, *(column(name) for name in self.columns())))

    def columns(self) -> tuple[str, ...]:
        """Return every column that is read or written, keys first."""
        return tuple(dict.fromkeys((*self.keys, *self.once, *self.kept, *self.read)))

    def column(self, name: str) -> ColumnClause[object]:
        """Return one column for a statement."""
        return self.clause.c[name]

    def insertable(self) -> frozenset[str]:
        """Return the columns that an INSERT names."""
        return frozenset((*self.once, *self.kept))


PATIENT = Mapped(
    "patient_data",
    keys=("pid",),
    once=("pid", "uuid", "regdate", "date"),
    kept=(
        "pubpid", "title", "fname", "mname", "lname", "suffix", "DOB", "sex", "language", "status", "street",
        "street_line_2", "city", "county", "state", "postal_code", "country_code", "phone_home", "phone_biz",
        "phone_cell", "email", "email_direct", "deceased_date", "providerID",
    ),
    registry="id",
)  # fmt: skip

PRACTITIONER = Mapped(
    "users",
    keys=("id",),
    once=("uuid", "authorized", "abook_type"),
    kept=(
        "fname",
        "mname",
        "lname",
        "suffix",
        "title",
        "npi",
        "email",
        "phone",
        "phonew1",
        "phonecell",
        "active",
    ),
    registry="id",
)

ENCOUNTER = Mapped(
    "form_encounter",
    keys=("id",),
    once=("uuid", "pid", "encounter", "facility", "facility_id"),
    kept=("date", "date_end", "reason", "class_code", "provider_id", "referring_provider_id"),
    optional=frozenset({"date_end", "class_code", "referring_provider_id"}),
    registry="id",
)

FORM = Mapped(
    "forms",
    keys=("id",),
    once=("date", "encounter", "form_name", "form_id", "pid", "user", "groupname", "authorized", "formdir"),
    kept=("deleted",),
)

ORDER = Mapped(
    "procedure_order",
    keys=("procedure_order_id",),
    once=("uuid", "patient_id", "encounter_id"),
    kept=(
        "provider_id", "date_ordered", "order_priority", "order_status", "patient_instructions", "activity",
        "control_id", "clinical_hx", "order_diagnosis", "procedure_order_type", "scheduled_date",
        "scheduled_start", "scheduled_end", "performer_type", "order_intent",
    ),
    optional=frozenset(
        {"scheduled_date", "scheduled_start", "scheduled_end", "performer_type", "order_intent"}
    ),
    registry="procedure_order_id",
)  # fmt: skip

ORDER_CODE = Mapped(
    "procedure_order_code",
    keys=("procedure_order_id", "procedure_order_seq"),
    once=("procedure_order_id", "procedure_order_seq"),
    kept=("procedure_code", "procedure_name", "diagnoses", "procedure_order_title", "procedure_type"),
    optional=frozenset({"procedure_type"}),
)

REPORT = Mapped(
    "procedure_report",
    keys=("procedure_report_id",),
    once=("uuid", "procedure_order_id", "procedure_order_seq"),
    kept=("date_report", "date_report_tz", "source", "report_status", "report_notes"),
    registry="procedure_report_id",
)

RESULT = Mapped(
    "procedure_result",
    keys=("procedure_result_id",),
    once=("uuid", "procedure_report_id"),
    kept=(
        "result_data_type", "result_code", "result_text", "date", "units", "result", "range", "abnormal",
        "comments", "result_status",
    ),
    registry="procedure_result_id",
)  # fmt: skip

REGISTRY = Mapped("uuid_registry", keys=("uuid",), once=("uuid", "table_name", "table_id", "created"))
SEQUENCES = Mapped("sequences", keys=("id",), kept=("id",))
FACILITY = Mapped("facility", keys=("id",), read=("name", "primary_business_entity", "inactive"))

ALL = (
    PATIENT,
    PRACTITIONER,
    ENCOUNTER,
    FORM,
    ORDER,
    ORDER_CODE,
    REPORT,
    RESULT,
    REGISTRY,
    SEQUENCES,
    FACILITY,
)

CROSS_REFERENCE = "cross_reference"


def grants(mapped: Mapped) -> dict[str, frozenset[str]]:
    """Return the column privileges that the mapping needs on one table."""
    if mapped is FACILITY:
        return {"SELECT": frozenset(mapped.columns())}
    if mapped is SEQUENCES:
        return {"SELECT": frozenset(mapped.keys), "UPDATE": frozenset(mapped.kept)}
    wanted = {"SELECT": frozenset(mapped.columns()), "INSERT": mapped.insertable()}
    if mapped.kept:
        wanted["UPDATE"] = frozenset(mapped.kept)
    return wanted
