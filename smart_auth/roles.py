"""Who may do what: the table of rights, written to be read by a clinician, and nothing else.

c create, r read, u update, d delete, s search.
own        only what belongs to this patient
shared     only what belongs to patients that a Group shares with this hospital
released   signed results only (drafts do not exist for this role)
available  studies whose images are complete only
referenced only when something that the caller may see refers to it
+ name     of such a resource only name, identifier and role are shown
+ organization   the caller's own Organization is shown whole, without that condition
managed    only Groups that this hospital's Organization manages
target     only when it speaks about a result that the caller may see
projection who, role, when and what of an access, nothing more
$...       an operation with its own rules; it needs `u` in the scope

Source: the product's design, section 5. What has no row here is refused to everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from smart_auth.interaction import Role
from smart_auth.scopes import LETTERS, Grant, ScopeSet

TABLE = """
|                          | admin | doctor       | rib         | lab  | nurse | patient               | external                       |
| Patient                  | cruds | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| Encounter                | cruds | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| Practitioner             | cruds | rs           | rs          | rs   | rs    | r own referenced name | r shared referenced name       |
| PractitionerRole         | cruds | rs           | rs          | rs   | rs    | r own referenced name | r shared referenced name       |
| Organization             | cruds | rs           | rs          | rs   | rs    | r own referenced name | r shared referenced name organization |
| Location                 | cruds | rs           | rs          | rs   | rs    | r own referenced name | r shared referenced name       |
| ServiceRequest           | cruds | crus         | rus         | rs   | rs    | rs own                | crs shared                     |
| ImagingStudy             | rs    | rs           | rs          | -    | -     | rs own available      | rs shared available            |
| DICOM upload             | c     | c            | c           | -    | -     | -                     | c shared                       |
| Task                     | rs    | crs $review  | crs         | -    | -     | -                     | -                              |
| DiagnosticReport         | rs    | crus         | crus $sign  | rs   | rs    | rs own released       | rs shared released             |
| Observation imaging      | rs    | rs           | crus        | rs   | rs    | rs own released       | rs shared released             |
| Observation laboratory   | rs    | rs           | rs          | crus | rs    | rs own                | rs shared                      |
| Observation vital-signs  | rs    | crus         | rs          | -    | crus  | rs own                | -                              |
| Observation uncategorised| rs    | rs           | rs          | rs   | rs    | -                     | -                              |
| Medication               | rs    | crus         | rs          | rs   | rs    | r own referenced      | r shared referenced            |
| MedicationKnowledge      | rs    | crus         | rs          | rs   | rs    | -                     | -                              |
| MedicationRequest        | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| MedicationAdministration | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| MedicationDispense       | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| MedicationStatement      | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| Condition                | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| AllergyIntolerance       | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| Procedure                | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| DocumentReference        | rs    | crus         | rs          | rs   | rs    | rs own                | rs shared                      |
| Endpoint                 | rs    | rs           | rs          | rs   | rs    | r own referenced      | r shared referenced            |
| Device                   | cruds | rs           | rs          | rs   | rs    | r own referenced      | r shared referenced            |
| Provenance               | rs    | rs           | rs          | -    | -     | rs own target         | rs shared target               |
| Group                    | cruds | -            | -           | -    | -     | -                     | r managed                      |
| AuditEvent               | rs    | -            | -           | -    | -     | rs own projection     | -                              |
| users, clients, roles    | crud  | -            | -           | -    | -     | -                     | -                              |
"""  # noqa: E501 - a table is read in rows

# Where a visible resource may refer to what is shown only because of that (type, search parameter).
REFERENCED_BY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Practitioner": (
        ("ServiceRequest", "requester"),
        ("ServiceRequest", "performer"),
        ("DiagnosticReport", "performer"),
        ("DiagnosticReport", "results-interpreter"),
        ("Encounter", "practitioner"),
        ("Patient", "general-practitioner"),
        ("Observation", "performer"),
        ("MedicationRequest", "requester"),
        ("Procedure", "performer"),
        ("DocumentReference", "author"),
    ),
    "PractitionerRole": (
        ("ServiceRequest", "requester"),
        ("DiagnosticReport", "performer"),
        ("Patient", "general-practitioner"),
    ),
    "Organization": (
        ("Patient", "organization"),
        ("Encounter", "service-provider"),
        ("DiagnosticReport", "performer"),
        ("ServiceRequest", "requester"),
        ("ServiceRequest", "performer"),
    ),
    "Location": (("Encounter", "location"),),
    "Endpoint": (("ImagingStudy", "endpoint"),),
    "Device": (("Observation", "device"), ("DiagnosticReport", "performer"), ("ServiceRequest", "requester")),
    "Medication": (
        ("MedicationRequest", "medication"),
        ("MedicationAdministration", "medication"),
        ("MedicationDispense", "medication"),
        ("MedicationStatement", "medication"),
    ),
}


ROLES: tuple[Role, ...] = get_args(Role)
STAFF: frozenset[Role] = frozenset({"admin", "doctor", "rib", "lab", "nurse"})
OBSERVATION_CATEGORIES = ("imaging", "laboratory", "vital-signs", "uncategorised")
UPLOAD = "DICOM upload"
ADMINISTRATION = "users, clients, roles"

_WORDS = frozenset(
    {"own", "shared", "released", "available", "referenced", "name", "organization", "managed", "target"}
    | {"projection"}
)


@dataclass(frozen=True)
class Rule:
    """One cell of the table."""

    letters: str = ""
    words: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()

    @property
    def is_narrowed(self) -> bool:
        """Whether the role sees a part of the patients only."""
        return bool(self.words & {"own", "shared"})


NOTHING = Rule()


def _cell(text: str) -> Rule:
    if text == "-":
        return NOTHING
    letters, *rest = text.split()
    operations = frozenset(word for word in rest if word.startswith("$"))
    words = frozenset(rest) - operations
    if not words <= _WORDS or any(letter not in LETTERS for letter in letters):
        raise ValueError(f"the table of rights has a cell that cannot be read: {text}")
    return Rule(letters, words, operations)


def _rows(table: str) -> dict[str, dict[Role, Rule]]:
    head, *lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.strip().splitlines()
    ]
    if tuple(head[1:]) != ROLES or any(len(line) != len(head) for line in lines):
        raise ValueError("the table of rights does not have one column per role")
    return {line[0]: dict(zip(ROLES, map(_cell, line[1:]), strict=True)) for line in lines}


RULES: Mapping[str, Mapping[Role, Rule]] = _rows(TABLE)
TYPES: frozenset[str] = frozenset(
    {row for row in RULES if " " not in row} | {"Observation"} - {UPLOAD, ADMINISTRATION}
)


def rule(role: Role, row: str) -> Rule:
    """The cell of a role; what is not in the table is nothing."""
    return RULES.get(row, {}).get(role, NOTHING)


def rows_of(type_: str) -> tuple[str, ...]:
    """The rows that speak about a type (Observation has one per category)."""
    if type_ == "Observation":
        return tuple(f"Observation {category}" for category in OBSERVATION_CATEGORIES)
    return (type_,) if type_ in RULES else ()


def ceiling_letters(role: Role, type_: str) -> str:
    """Every letter that a scope of this type can be good for in this role's hands."""
    letters: set[str] = set()
    for row in (*rows_of(type_), *((UPLOAD,) if type_ == "ImagingStudy" else ())):
        cell = rule(role, row)
        letters |= set(cell.letters) | ({"u"} if cell.operations else set())
    return "".join(letter for letter in LETTERS if letter in letters)


def within_role(scopes: ScopeSet, role: Role) -> ScopeSet:
    """The scopes that this role can use; a wildcard that would promise too much is written out."""
    ceiling = {type_: letters for type_ in TYPES if (letters := ceiling_letters(role, type_))}
    grants: set[Grant] = set()
    for grant in scopes.grants:
        types: Iterable[str] = ceiling if grant.type == "*" else [grant.type]
        if grant.type == "*" and all(set(grant.letters) <= set(ceiling.get(t, "")) for t in TYPES):
            grants.add(grant)
            continue
        for type_ in types:
            letters = "".join(letter for letter in grant.letters if letter in ceiling.get(type_, ""))
            if letters:
                grants.add(Grant(grant.context, type_, letters, grant.predicates))
    return ScopeSet(frozenset(grants), scopes.words)
