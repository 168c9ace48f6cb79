"""Which patient a resource belongs to: one subject element per type.

FHIR R4's compartment (`compartment_r4.py`, generated) lists every parameter that may tie a resource to a
patient; most of them say who took part, not whose record it is. Narrowed by hand, with the reasons:

- performer, recorder, asserter, author, payee, receiver ... : taking part in another patient's care gives no
  right to that patient's record. Only the subject counts.
- Group.member: a Group names many patients. Membership of a Group gives nothing; sharing has its own rule.
- Patient.link: a merged or linked Patient is another record until somebody says otherwise. The id counts.
- AuditEvent.patient also searches agent.who. A patient who looked at something is not whose data it was:
  the entity counts. An event that names a second patient belongs to nobody.
- Provenance.patient: a Provenance is judged by what it speaks about (`Decision.depends`), never by itself.
- Task is in no compartment in R4; `for` says whose it is.
- Device is in no compartment in R4 either; one with `patient` is that patient's, one without is nobody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_REFERENCE = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


@dataclass(frozen=True)
class Subject:
    """Where the patient of a type stands, and the search parameter that finds it."""

    element: str
    parameter: str
    optional: bool = False


SUBJECTS: Mapping[str, Subject] = {
    "Patient": Subject("id", "_id"),
    "AllergyIntolerance": Subject("patient", "patient"),
    "AuditEvent": Subject("entity", "patient"),
    "Condition": Subject("subject", "patient"),
    "Device": Subject("patient", "patient", optional=True),
    "DiagnosticReport": Subject("subject", "patient"),
    "DocumentReference": Subject("subject", "patient"),
    "Encounter": Subject("subject", "patient"),
    "ImagingStudy": Subject("subject", "patient"),
    "MedicationAdministration": Subject("subject", "patient"),
    "MedicationDispense": Subject("subject", "patient"),
    "MedicationRequest": Subject("subject", "patient"),
    "MedicationStatement": Subject("subject", "patient"),
    "Observation": Subject("subject", "patient"),
    "Procedure": Subject("subject", "patient"),
    "ServiceRequest": Subject("subject", "patient"),
    "Task": Subject("for", "patient"),
}

# Types that name no patient at all: what a launch with one patient may still look up.
WITHOUT_PATIENT = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Location", "Endpoint", "Medication"}
    | {"MedicationKnowledge"}
)


def patient_of(resource: Mapping[str, Any]) -> str | None:
    """The one patient id whose record the resource is part of; None when there is none or it is unclear."""
    type_ = resource.get("resourceType")
    if type_ == "Patient":
        id_ = resource.get("id")
        return id_ if isinstance(id_, str) else None
    if type_ == "AuditEvent":
        return _patient_of_event(resource)
    subject = SUBJECTS.get(str(type_))
    return patient_id(resource.get(subject.element)) if subject else None


def belongs_to(resource: Mapping[str, Any], patients: frozenset[str]) -> bool:
    """Whether the resource is part of the record of one of these patients."""
    subject = SUBJECTS.get(str(resource.get("resourceType")))
    if subject is None:
        return False
    if subject.optional and subject.element not in resource:
        return True
    return patient_of(resource) in patients


def patient_id(reference: object) -> str | None:
    """The id in a literal, relative reference to a Patient; any other kind of reference says nothing."""
    text = reference.get("reference") if isinstance(reference, Mapping) else None
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    return match[1] if match else None


def _patient_of_event(event: Mapping[str, Any]) -> str | None:
    disclosed = set(_patients(event.get("entity"), "what"))
    named = disclosed | set(_patients(event.get("agent"), "who"))
    return disclosed.pop() if len(disclosed) == 1 and len(named) == 1 else None


def _patients(items: object, element: str) -> Iterator[str]:
    for item in items if isinstance(items, list) else ():
        found = patient_id(item.get(element)) if isinstance(item, Mapping) else None
        if found is not None:
            yield found
