"""Way out: `_include` and `_revinclude` from the own record into another's."""

import pytest

from tests.escape.probe import distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_FORWARD = {
    "Observation": (
        "subject",
        "performer",
        "focus",
        "has-member",
        "derived-from",
        "device",
        "encounter",
        "patient",
    ),
    "Condition": ("asserter", "evidence-detail", "subject", "patient"),
    "AllergyIntolerance": ("asserter", "recorder", "patient"),
    "Procedure": ("performer", "subject"),
    "MedicationRequest": ("requester", "medication", "subject"),
    "MedicationAdministration": ("performer", "medication"),
    "MedicationDispense": ("receiver", "medication"),
    "MedicationStatement": ("source", "medication"),
    "DocumentReference": ("author", "related", "subject"),
    "ServiceRequest": ("requester", "performer", "subject"),
    "DiagnosticReport": ("result", "performer", "based-on", "subject"),
    "ImagingStudy": ("referrer", "endpoint", "subject"),
    "Encounter": ("practitioner", "location", "subject"),
    "Patient": ("link", "general-practitioner", "organization"),
    "Provenance": ("target", "agent", "patient"),
    "Group": ("member", "managing-entity"),
    "AuditEvent": ("entity", "agent", "patient"),
    "Task": ("focus", "patient"),
    "Device": ("patient",),
}
_BACKWARD = (
    *(f"Observation:{name}" for name in ("subject", "performer", "focus", "patient")),
    "Condition:asserter",
    "Condition:subject",
    "AllergyIntolerance:asserter",
    "Procedure:performer",
    "MedicationRequest:requester",
    "MedicationAdministration:performer",
    "MedicationDispense:receiver",
    "MedicationStatement:source",
    "DocumentReference:author",
    "DocumentReference:related",
    "ServiceRequest:requester",
    "ServiceRequest:subject",
    "DiagnosticReport:subject",
    "ImagingStudy:subject",
    "Task:patient",
    "Task:subject",
    "Group:member",
    "AuditEvent:patient",
    "AuditEvent:agent",
    "AuditEvent:entity",
    "Provenance:patient",
    "Provenance:agent",
    "Patient:link",
    "Device:patient",
)
_MORE = (
    "Observation?_include=*",
    "Observation?_include=Observation:*",
    "Patient?_include=*",
    "Patient?_include=Patient:*",
    "Patient?_revinclude=*",
    "Patient?_revinclude=Observation:*",
    "Patient?_revinclude:iterate=Observation:focus",
    "Patient?_include:iterate=Patient:link",
    "Patient?_include=Patient:link&_include:iterate=Patient:link",
    "Patient?_include=Patient:link&_revinclude:iterate=Observation:subject",
    "Patient?_revinclude=Observation:focus&_include:iterate=Observation:subject",
    "Patient?_revinclude=Observation:performer&_revinclude:iterate=DiagnosticReport:result",
    "Patient?_revinclude=Group:member&_include:iterate=Group:member",
    "Patient?_include:recurse=Patient:link",
    "Patient?_include:logical=Patient:link",
    "Patient?_INCLUDE=Patient:link",
    "Observation?_include=Observation:focus:Patient",
    "Observation?_include=Observation:focus:Patient&_include:iterate=Patient:general-practitioner",
    "Observation?_include=Observation:focus&_include:iterate=Patient:link",
    "Observation?_include=Observation:has-member&_include:iterate=Observation:performer",
    "Observation?_include=Observation:has-member&_include:iterate=Observation:has-member",
    "Observation?_revinclude=Observation:has-member",
    "Observation?_revinclude=DiagnosticReport:result",
    "Observation?_revinclude=Provenance:target",
    "Observation?_revinclude=Condition:evidence-detail",
    "DiagnosticReport?_revinclude=Provenance:target",
    "DiagnosticReport?_include=DiagnosticReport:result&_include:iterate=Observation:derived-from",
    "DiagnosticReport?_include=DiagnosticReport:result&_include:iterate=Observation:subject",
    "ImagingStudy?_revinclude=Task:focus",
    "ImagingStudy?_revinclude=Observation:derived-from",
    "ServiceRequest?_revinclude=DiagnosticReport:based-on",
    "DocumentReference?_include=DocumentReference:related&_include:iterate=DocumentReference:subject",
    "DocumentReference?_revinclude=DocumentReference:related",
    "Practitioner?_revinclude=Patient:general-practitioner",
    "Practitioner?_id=<own.practitioner>&_revinclude=Patient:general-practitioner",
    "Practitioner?_id=<foreign.practitioner>&_revinclude=Patient:general-practitioner",
    "Practitioner?_id=<foreign.practitioner>&_revinclude=DiagnosticReport:performer",
    "Medication?_id=<foreign.medication>&_revinclude=MedicationRequest:medication",
    "Organization?_id=<foreign.organization>&_revinclude=Patient:organization",
    "Organization?_id=<foreign.organization>&_revinclude=Group:managing-entity",
    "Organization?_id=<hospital.organization>&_revinclude=Group:managing-entity",
    "Location?_id=<foreign.location>&_revinclude=Encounter:location",
    "Endpoint?_id=<foreign.endpoint>&_revinclude=ImagingStudy:endpoint",
    "Patient?_id=<foreign.patient>&_revinclude=Observation:subject",
    "Patient?_id=<own.patient>,<foreign.patient>&_revinclude=Observation:subject",
    "Observation?_id=<foreign.observation>&_include=Observation:focus",
    "Patient?_revinclude=Observation:focus&_summary=count",
    "Patient?_revinclude=Observation:focus&_total=accurate",
    "Patient?_revinclude=Observation:focus&_elements=id",
    "Patient?_revinclude=Observation:performer&_count=1",
)

PROBES = distinct(
    [
        *get(
            *(
                f"{type_}?patient=<own.patient>&_include={type_}:{name}"
                for type_, names in _FORWARD.items()
                for name in names
            )
        ),
        *get(
            *(
                f"{type_}?_include={type_}:{name}"
                for type_ in ("Patient", "Provenance", "Group")
                for name in _FORWARD[type_]
            )
        ),
        *get(*(f"Patient?_id=<own.patient>&_revinclude={one}" for one in _BACKWARD)),
        *get(*_MORE),
    ]
)


async def test_an_include_adds_nothing_of_anybody_else(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
