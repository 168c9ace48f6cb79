"""The records of two patients, written so that each names the other wherever FHIR lets it.

`self` is whose record it is, `cross` the patient on the other side, who is performer, asserter, author,
focus, receiver, member and second target of what is in it. No subject is ever shared, so neither patient may
learn of the other's record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.facade.world import MRN, observation, order

Resource = dict[str, Any]
Row = tuple[str, Resource]

LABORATORY, VITAL, IMAGING = "laboratory", "vital-signs", "imaging"
DIRECTORY = ("practitioner", "organization", "location", "role", "endpoint", "device", "medication")
"""What names no patient: a doctor who is bound to one patient may still look it up."""
# Every label of the foreign record that a probe can name, with its type.
TYPES = {
    "patient": "Patient",
    "practitioner": "Practitioner",
    "organization": "Organization",
    "location": "Location",
    "role": "PractitionerRole",
    "endpoint": "Endpoint",
    "device": "Device",
    "implant": "Device",
    "medication": "Medication",
    "encounter": "Encounter",
    "observation": "Observation",
    "imaging": "Observation",
    "draft": "Observation",
    "condition": "Condition",
    "allergy": "AllergyIntolerance",
    "procedure": "Procedure",
    "prescription": "MedicationRequest",
    "administration": "MedicationAdministration",
    "dispense": "MedicationDispense",
    "statement": "MedicationStatement",
    "document": "DocumentReference",
    "order": "ServiceRequest",
    "study": "ImagingStudy",
    "report": "DiagnosticReport",
    "preliminary": "DiagnosticReport",
    "task": "Task",
    "group": "Group",
    "provenance": "Provenance",
    "both": "Provenance",
    "audit": "AuditEvent",
    "deleted": "ServiceRequest",
    "moved": "ServiceRequest",
}


def directory() -> Iterator[Row]:
    """Staff and places that only this record refers to; they carry a mark of their own."""
    yield "organization", {"resourceType": "Organization", "name": "Org<self.staff>"}
    yield "practitioner", {"resourceType": "Practitioner", "name": [{"family": "Staff<self.staff>"}]}
    yield "location", {"resourceType": "Location", "status": "active", "name": "Ward<self.staff>"}
    yield (
        "role",
        {
            "resourceType": "PractitionerRole",
            "practitioner": ref("Practitioner/<self.practitioner>"),
            "organization": ref("Organization/<self.organization>"),
            "specialty": [{"text": "S<self.staff>"}],
        },
    )
    yield (
        "endpoint",
        {
            "resourceType": "Endpoint",
            "status": "active",
            "connectionType": {"code": "dicom-wado-rs"},
            "payloadType": [{"text": "DICOM"}],
            "name": "E<self.staff>",
            "address": "http://localhost/dicom-web",
        },
    )
    yield "device", {"resourceType": "Device", "deviceName": [{"name": "D<self.staff>", "type": "other"}]}
    yield "medication", {"resourceType": "Medication", "code": {"text": "M<self.staff>"}}


def person() -> Resource:
    """The Patient itself."""
    return {
        "resourceType": "Patient",
        "active": True,
        "identifier": [{"system": MRN, "value": "<self.mrn>"}],
        "name": [{"family": "<self.marker>", "given": ["Given<self.marker>"]}],
        "telecom": [{"system": "email", "value": "<self.marker>@example.org"}],
        "address": [{"city": "City<self.marker>"}],
        "birthDate": "<self.born>",
        "gender": "<self.gender>",
        "generalPractitioner": [ref("Practitioner/<self.practitioner>")],
        "managingOrganization": ref("Organization/<self.organization>"),
    }


def clinical(with_laboratory: bool) -> Iterator[Row]:
    """One patient's record; the other patient takes part in all of it."""
    subject, other, who = (
        "Patient/<self.patient>",
        "Patient/<cross.patient>",
        "Practitioner/<self.practitioner>",
    )
    coded = {
        "code": {"text": "Code<self.marker>"},
        "subject": ref(subject),
        "note": [{"text": "<self.marker>"}],
    }
    medicine = {"medicationReference": ref("Medication/<self.medication>"), "subject": ref(subject)}
    yield (
        "encounter",
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": ref(subject),
            "participant": [{"individual": ref(who)}],
            "location": [{"location": ref("Location/<self.location>")}],
            "reasonCode": [{"text": "Reason<self.marker>"}],
        },
    )
    spoken = {"valueString": "Value<self.marker>", "performer": [ref(other)], "focus": [ref(other)]}
    yield "observation", observation(subject, VITAL, effectiveDateTime="2026-01-03", **spoken)
    if with_laboratory:
        yield "laboratory", observation(subject, LABORATORY, effectiveDateTime="2026-01-04", **spoken)
    yield (
        "condition",
        {
            "resourceType": "Condition",
            **coded,
            "asserter": ref(other),
            "recordedDate": "2026-01-05",
            "evidence": [{"detail": [ref("Observation/<self.observation>")]}],
        },
    )
    yield (
        "allergy",
        {
            "resourceType": "AllergyIntolerance",
            "code": {"text": "Code<self.marker>"},
            "patient": ref(subject),
            "asserter": ref(other),
            "recorder": ref(who),
        },
    )
    yield (
        "procedure",
        {"resourceType": "Procedure", "status": "completed", **coded, "performer": [{"actor": ref(other)}]},
    )
    yield (
        "prescription",
        {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            **medicine,
            "requester": ref(other),
        },
    )
    yield (
        "administration",
        {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            **medicine,
            "effectiveDateTime": "2026-01-06",
            "performer": [{"actor": ref(other)}],
        },
    )
    yield (
        "dispense",
        {"resourceType": "MedicationDispense", "status": "completed", **medicine, "receiver": [ref(other)]},
    )
    yield (
        "statement",
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            **medicine,
            "informationSource": ref(other),
        },
    )
    yield (
        "document",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": ref(subject),
            "author": [ref(other)],
            "description": "About<self.marker>",
            "content": [{"attachment": {"contentType": "text/plain", "title": "<self.marker>"}}],
            "context": {"related": [ref(other)], "sourcePatientInfo": ref(other)},
        },
    )
    contained = {
        "contained": [
            {"resourceType": "Practitioner", "id": "inner", "name": [{"family": "In<self.marker>"}]}
        ],
        "performer": [ref("#inner")],
    }
    accession = {"identifier": [{"system": "urn:neuronova:accession", "value": "<self.accession>"}]}
    yield "order", order(subject, other, supportingInfo=[ref(other)], **accession, **contained)
    uid = {"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:<self.uid>"}]}
    yield (
        "study",
        {
            "resourceType": "ImagingStudy",
            "status": "available",
            "subject": ref(subject),
            "started": "2026-01-07",
            **uid,
            "endpoint": [ref("Endpoint/<self.endpoint>")],
            "description": "Study<self.marker>",
            "referrer": ref(who),
            "series": [{"uid": "<self.uid>.1", "modality": {"code": "MR"}}],
        },
    )
    ours = {"device": ref("Device/<self.device>"), "derivedFrom": [ref("ImagingStudy/<self.study>")]}
    yield (
        "imaging",
        observation(
            subject, IMAGING, valueString="Value<self.marker>", effectiveDateTime="2026-01-08", **ours
        ),
    )
    yield (
        "report",
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "Code<self.marker>"},
            "subject": ref(subject),
            "performer": [ref(who)],
            "result": [ref("Observation/<self.imaging>")],
            "basedOn": [ref("ServiceRequest/<self.order>")],
            "conclusion": "Conclusion<self.marker>",
        },
    )
    yield "provenance", provenance("DiagnosticReport/<self.report>", who)
    yield "implant", {"resourceType": "Device", "patient": ref(subject), "lotNumber": "Lot<self.marker>"}


def entangled() -> Iterator[Row]:
    """The own record pointing into the foreign one: what it points at stays hidden."""
    subject, theirs = "Patient/<self.patient>", "Observation/<cross.observation>"
    links = {"hasMember": [ref(theirs)], "derivedFrom": [ref(theirs)], "effectiveDateTime": "2026-01-09"}
    yield "member", observation(subject, LABORATORY, **links)
    yield (
        "evidence",
        {
            "resourceType": "Condition",
            "subject": ref(subject),
            "evidence": [{"detail": [ref(theirs), ref("DocumentReference/<cross.document>")]}],
        },
    )
    yield (
        "reply",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": ref(subject),
            "content": [{"attachment": {"contentType": "text/plain"}}],
            "context": {"related": [ref("DocumentReference/<cross.document>")]},
        },
    )
    info = [ref("Condition/<cross.condition>")]
    yield (
        "follow",
        order(subject, "Practitioner/<self.practitioner>", supportingInfo=info, reasonReference=info),
    )
    result = [ref("Observation/<cross.imaging>")]
    yield (
        "summary",
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "Summary"},
            "subject": ref(subject),
            "result": result,
        },
    )


KNOWN = ("patient", "observation", "document", "condition", "imaging")
"""Ids of the foreign record that the own record names: their owner may know them and no more."""


def unreleased() -> Iterator[Row]:
    """What exists before somebody signs: no patient and no other hospital may learn of it."""
    subject = "Patient/<self.patient>"
    values = {"valueString": "Draft<self.secret>", "effectiveDateTime": "2026-01-10"}
    yield "draft", observation(subject, IMAGING, "preliminary", **values)
    yield (
        "preliminary",
        {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": {"text": "Code<self.secret>"},
            "subject": ref(subject),
            "result": [ref("Observation/<self.draft>")],
            "conclusion": "<self.secret>",
        },
    )
    uid = {"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:<self.incomplete>"}]}
    yield (
        "registered",
        {"resourceType": "ImagingStudy", "status": "registered", "subject": ref(subject), **uid},
    )
    yield (
        "task",
        {
            "resourceType": "Task",
            "status": "completed",
            "intent": "order",
            "code": {"coding": [{"system": "urn:neuronova:task", "code": "ai-inference"}]},
            "for": ref(subject),
            "focus": ref("ImagingStudy/<self.study>"),
            "description": "<self.secret>",
        },
    )
    yield "origin", provenance("DiagnosticReport/<self.preliminary>", "Practitioner/<self.practitioner>")


def late() -> Iterator[Row]:
    """What names both patients at once and is neither's."""
    both = ["DiagnosticReport/<self.report>", "DiagnosticReport/<cross.report>"]
    yield (
        "both",
        {**provenance("x", "Practitioner/<self.practitioner>"), "target": [ref(one) for one in both]},
    )
    yield "group", group("<self.organization>", "<self.patient>", "<cross.patient>")
    yield "audit", audit("Patient/<self.patient>", "Patient/<cross.patient>")


def seen() -> Iterator[Row]:
    """An access that the patient may know of."""
    yield "access", audit("Patient/<self.patient>", "Practitioner/<self.practitioner>")


def sharing() -> Iterator[Row]:
    """Groups of one external hospital that share its patient, and what looks like sharing but is not."""
    yield "shared", group("<hospital.organization>", "<own.patient>")
    for label, change in {
        "inactive": {"active": False},
        "definitional": {"actual": False},
        "animals": {"type": "animal"},
    }.items():
        yield label, {**group("<hospital.organization>", "<other.patient>"), **change}
    expired = {"period": {"start": "2019-01-01", "end": "2020-01-01"}}
    for label, more in {"expired": expired, "left": {"inactive": True}}.items():
        member = {"entity": ref("Patient/<other.patient>"), **more}
        yield label, {**group("<hospital.organization>"), "member": [member]}


def group(organization: str, *patients: str) -> Resource:
    """A Group of patients that this Organization manages."""
    return {
        "resourceType": "Group",
        "active": True,
        "type": "person",
        "actual": True,
        "managingEntity": ref(f"Organization/{organization}"),
        "member": [{"entity": ref(f"Patient/{one}")} for one in patients],
    }


def provenance(target: str, who: str) -> Resource:
    """Who made it."""
    return {
        "resourceType": "Provenance",
        "recorded": "2026-01-08T00:00:00Z",
        "target": [ref(target)],
        "agent": [{"who": ref(who)}],
    }


def audit(patient: str, who: str) -> Resource:
    """An access to one patient's record by the other."""
    return {
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "recorded": "2020-01-01T00:00:00Z",
        "agent": [{"who": ref(who), "requestor": True}],
        "source": {"observer": {"display": "test"}},
        "entity": [{"what": ref(patient)}],
    }


def ref(text: str) -> Resource:
    """A literal reference."""
    return {"reference": text}
