"""Way out: a search by what is written in another's record."""

import pytest

from tests.escape.probe import distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

# Type -> parameters with what the other patient's resource has there.
VALUES = {
    "Patient": (
        "_id=<foreign.patient>",
        "identifier=<foreign.mrn>",
        "identifier=urn:neuronova:mrn|<foreign.mrn>",
        "family=<foreign.marker>",
        "given=Given<foreign.marker>",
        "name=<foreign.marker>",
        "email=<foreign.marker>@example.org",
        "telecom=<foreign.marker>@example.org",
        "address-city=City<foreign.marker>",
        "birthdate=<foreign.born>",
        "link=Patient/<other.patient>",
        "link=Patient/<own.patient>",
        "general-practitioner=Practitioner/<foreign.practitioner>",
        "organization=Organization/<foreign.organization>",
    ),
    "Encounter": (
        "practitioner=Practitioner/<foreign.practitioner>",
        "participant=Practitioner/<foreign.practitioner>",
        "location=Location/<foreign.location>",
    ),
    "Observation": (
        "performer=Patient/<own.patient>",
        "performer=Patient/<other.patient>",
        "focus=Patient/<own.patient>",
        "focus=Patient/<other.patient>",
        "has-member=Observation/<other.observation>",
        "derived-from=ImagingStudy/<foreign.study>",
        "device=Device/<foreign.device>",
        "value-string=Value<foreign.marker>",
        "code=8867-4",
        "category=vital-signs",
        "date=2026-01-03",
        "status=preliminary",
    ),
    "Condition": (
        "asserter=Patient/<own.patient>",
        "asserter=Patient/<other.patient>",
        "evidence-detail=Observation/<other.observation>",
        "recorded-date=2026-01-05",
    ),
    "AllergyIntolerance": (
        "asserter=Patient/<own.patient>",
        "recorder=Practitioner/<foreign.practitioner>",
    ),
    "Procedure": ("performer=Patient/<own.patient>", "performer=Patient/<other.patient>"),
    "MedicationRequest": (
        "requester=Patient/<own.patient>",
        "requester=Patient/<other.patient>",
        "medication=Medication/<foreign.medication>",
    ),
    "MedicationAdministration": (
        "performer=Patient/<own.patient>",
        "medication=Medication/<foreign.medication>",
        "effective-time=2026-01-06",
    ),
    "MedicationDispense": (
        "receiver=Patient/<own.patient>",
        "medication=Medication/<foreign.medication>",
    ),
    "MedicationStatement": (
        "source=Patient/<own.patient>",
        "medication=Medication/<foreign.medication>",
    ),
    "DocumentReference": (
        "author=Patient/<own.patient>",
        "related=Patient/<own.patient>",
        "related=DocumentReference/<other.document>",
        "description=About<foreign.marker>",
    ),
    "ServiceRequest": (
        "requester=Patient/<own.patient>",
        "requester=Patient/<other.patient>",
        "identifier=<foreign.accession>",
        "identifier=urn:neuronova:accession|<foreign.accession>",
        "_id=<foreign.moved>",
        "_id=<foreign.deleted>",
    ),
    "ImagingStudy": (
        "identifier=urn:dicom:uid|urn:oid:<foreign.uid>",
        "identifier=urn:oid:<draft.incomplete>",
        "status=registered",
        "series=<foreign.uid>.1",
        "referrer=Practitioner/<foreign.practitioner>",
        "endpoint=Endpoint/<foreign.endpoint>",
        "started=2026-01-07",
    ),
    "DiagnosticReport": (
        "status=preliminary",
        "result=Observation/<other.imaging>",
        "result=Observation/<draft.draft>",
        "based-on=ServiceRequest/<foreign.order>",
        "performer=Practitioner/<foreign.practitioner>",
    ),
    "Task": ("focus=ImagingStudy/<foreign.study>", "focus=ImagingStudy/<own.study>", "status=completed"),
    "Device": ("_id=<foreign.implant>", "_id=<foreign.device>"),
    "Provenance": (
        "target=DiagnosticReport/<foreign.report>",
        "target=DiagnosticReport/<draft.preliminary>",
        "target=DiagnosticReport/<own.report>",
        "agent=Practitioner/<foreign.practitioner>",
    ),
    "AuditEvent": (
        "entity=Patient/<foreign.patient>",
        "entity=Patient/<own.patient>&date=2020-01-01",
        "agent=Patient/<own.patient>&date=2020-01-01",
        "agent=Patient/<foreign.patient>&date=2020-01-01",
        "patient=<foreign.patient>",
    ),
    "Group": (
        "member=Patient/<own.patient>",
        "member=Patient/<foreign.patient>",
        "managing-entity=Organization/<foreign.organization>",
        "managing-entity=Organization/<hospital.organization>",
    ),
    "Practitioner": ("_id=<foreign.practitioner>", "family=Staff<foreign.staff>"),
    "Organization": ("_id=<foreign.organization>", "name=Org<foreign.staff>"),
    "Location": ("_id=<foreign.location>", "name=Ward<foreign.staff>"),
    "PractitionerRole": ("_id=<foreign.role>", "practitioner=Practitioner/<foreign.practitioner>"),
    "Endpoint": ("_id=<foreign.endpoint>",),
    "Medication": ("_id=<foreign.medication>",),
}
# The subject, in every form.
_SUBJECTS = (
    "patient=<foreign.patient>",
    "patient=Patient/<foreign.patient>",
    "subject=Patient/<foreign.patient>",
)
LABELS = {
    "Encounter": "encounter",
    "Observation": "observation",
    "Condition": "condition",
    "AllergyIntolerance": "allergy",
    "Procedure": "procedure",
    "MedicationRequest": "prescription",
    "MedicationAdministration": "administration",
    "MedicationDispense": "dispense",
    "MedicationStatement": "statement",
    "DocumentReference": "document",
    "ServiceRequest": "order",
    "ImagingStudy": "study",
    "DiagnosticReport": "report",
    "Task": "task",
}

PROBES = distinct(
    [
        *get(*(f"{type_}?{value}" for type_, values in VALUES.items() for value in values)),
        *get(*(f"{type_}?{subject}" for type_ in LABELS for subject in _SUBJECTS)),
        *get(*(f"{type_}?_id=<foreign.{label}>" for type_, label in LABELS.items())),
        *get(*(f"{type_}?patient=<own.patient>,<foreign.patient>" for type_ in LABELS)),
        *get(
            *(
                f"{type_}?_id=<own.{label}>,<foreign.{label}>"
                for type_, label in LABELS.items()
                if type_ != "Task"
            )
        ),
        *get(*(f"{type_}?patient=<own.patient>" for type_ in LABELS)),
        *get(
            "Observation?_id=<draft.draft>",
            "DiagnosticReport?_id=<draft.preliminary>",
            "Task?_id=<draft.task>",
        ),
        *get(
            "ImagingStudy?_id=<draft.registered>",
            "Provenance?_id=<draft.origin>",
            "Provenance?_id=<foreign.both>",
        ),
        *get("Patient", "Patient?active=true", "Patient?gender=other", "Patient?gender=female"),
    ]
)


async def test_a_search_finds_nothing_of_anybody_else(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
