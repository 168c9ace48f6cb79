"""Way out: writes. Moving data between patients, ids of one's own choice, references, contained resources."""

from typing import Any

import pytest

from tests.escape.probe import Probe, distinct
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_LOINC = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
_VITAL = {
    "coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
    ]
}
_OTHER = {"reference": "Patient/<other.patient>"}
_OWN, _FOREIGN = {"reference": "Patient/<own.patient>"}, {"reference": "Patient/<foreign.patient>"}


def observation(**more: Any) -> dict[str, Any]:
    """An Observation of the own patient, with what a probe changes."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [_VITAL],
        "code": _LOINC,
        "subject": _OWN,
        **more,
    }


def order(**more: Any) -> dict[str, Any]:
    """An order for the own patient, as an external hospital may send it."""
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "code": {"text": "MR"},
        "subject": _OWN,
        "requester": {"reference": "Organization/<hospital.organization>"},
        **more,
    }


def patch(path: str, *operations: dict[str, Any], **headers: str) -> Probe:
    """A JSON Patch of what is there in its first version."""
    return Probe(
        "PATCH",
        path,
        list(operations),
        {"Content-Type": "application/json-patch+json", "If-Match": 'W/"1"'} | headers,
    )


_TYPES = {
    "Patient": "patient",
    "Observation": "observation",
    "Condition": "condition",
    "Encounter": "encounter",
    "DocumentReference": "document",
    "ServiceRequest": "order",
    "DiagnosticReport": "report",
    "Task": "task",
    "Procedure": "procedure",
    "ImagingStudy": "study",
    "Group": "group",
    "Provenance": "provenance",
    "AuditEvent": "audit",
    "Practitioner": "practitioner",
    "Device": "implant",
}
_TAG = {"If-Match": 'W/"1"'}
# What a reference can look like: the target is another's record, or nobody's.
_REFERENCES = (
    "Observation/<foreign.imaging>",
    "Observation/<foreign.imaging>/_history/1",
    "BASE/Observation/<foreign.imaging>",
    "Observation?_id=<foreign.imaging>",
    "Observation?subject=Patient/<foreign.patient>",
    "Observation?subject.name=<foreign.marker>",
    "Observation?value-string=Value<foreign.marker>",
    "https://example.org/fhir/Observation/<foreign.imaging>",
    "urn:uuid:<foreign.imaging>",
    "#<foreign.imaging>",
    "observation/<foreign.imaging>",
    "Observation/<draft.draft>",
)
_PATIENTS = (
    "Patient/<foreign.patient>",
    "Patient/<foreign.patient>/_history/1",
    "BASE/Patient/<foreign.patient>",
    "Patient?identifier=urn:neuronova:mrn|<foreign.mrn>",
    "Patient?identifier=<foreign.mrn>",
    "Patient?name=<foreign.marker>",
    "Patient?birthdate=<foreign.born>",
    "Patient?_id=<foreign.patient>",
    "Patient?_has:Observation:subject:code=8867-4",
    "https://example.org/fhir/Patient/<foreign.patient>",
    "urn:uuid:<foreign.patient>",
    "#<foreign.patient>",
    "patient/<foreign.patient>",
    "Patient/<foreign.patient>?x",
)
_CONTAINED = {
    "resourceType": "Practitioner",
    "id": "in",
    "qualification": [
        {"code": {"text": "x"}, "issuer": {"reference": "Organization/<foreign.organization>"}}
    ],
}
_HIDING = {"resourceType": "Basic", "id": "in", "code": {"text": "x"}, "subject": _FOREIGN}

_MOVES = [
    # The stored one is another's; the new one would be ours.
    *(
        Probe(
            "PUT",
            f"{type_}/<foreign.{label}>",
            {**observation(), "resourceType": type_, "id": f"<foreign.{label}>"},
            _TAG,
        )
        for type_, label in _TYPES.items()
    ),
    *(Probe("DELETE", f"{type_}/<foreign.{label}>", headers=_TAG) for type_, label in _TYPES.items()),
    *(Probe("DELETE", f"{type_}/<foreign.{label}>") for type_, label in list(_TYPES.items())[:3]),
    *(
        patch(f"{type_}/<foreign.{label}>", {"op": "replace", "path": "/subject", "value": _OWN})
        for type_, label in _TYPES.items()
    ),
    # The stored one is ours; the new one would be another's.
    Probe("PUT", "Observation/<own.observation>", observation(id="<own.observation>", subject=_OTHER), _TAG),
    Probe("PUT", "Observation/<own.observation>", observation(id="<foreign.observation>"), _TAG),
    Probe("PUT", "Observation/<foreign.observation>", observation(id="<own.observation>"), _TAG),
    Probe("PUT", "ServiceRequest/<own.order>", order(id="<own.order>", subject=_OTHER), _TAG),
    patch(
        "Observation/<own.observation>",
        {"op": "replace", "path": "/subject/reference", "value": "Patient/<other.patient>"},
    ),
    patch("Observation/<own.observation>", {"op": "add", "path": "/subject", "value": _FOREIGN}),
    patch("Observation/<own.observation>", {"op": "copy", "from": "/focus/0", "path": "/subject"}),
    patch("Observation/<own.observation>", {"op": "move", "from": "/performer/0", "path": "/subject"}),
    patch("Observation/<own.observation>", {"op": "remove", "path": "/subject"}),
    patch(
        "Observation/<own.observation>",
        {"op": "add", "path": "/derivedFrom", "value": [{"reference": "Observation/<foreign.imaging>"}]},
    ),
    patch(
        "Observation/<own.observation>", {"op": "replace", "path": "/id", "value": "<foreign.observation>"}
    ),
    patch("Observation/<foreign.observation>", {"op": "test", "path": "/status", "value": "final"}),
    patch(
        "Observation/<foreign.observation>",
        {"op": "test", "path": "/valueString", "value": "Value<foreign.marker>"},
    ),
    patch("Patient/<foreign.patient>", {"op": "test", "path": "/name/0/family", "value": "<foreign.marker>"}),
    patch(
        "Patient/<own.patient>",
        {"op": "replace", "path": "/identifier/0/value", "value": "<foreign.mrn>"},
        **{"If-Match": 'W/"2"'},
    ),
    Probe("PATCH", "Patient/<foreign.patient>", "<diff/>", {"Content-Type": "application/xml-patch+xml"}),
    Probe("PATCH", "Patient/<foreign.patient>", {"resourceType": "Parameters"}, _TAG),
    Probe(
        "PATCH",
        "Patient/<foreign.patient>",
        {"active": False},
        {"Content-Type": "application/merge-patch+json"},
    ),
]
_CREATED = [
    *(Probe("POST", "Observation", observation(derivedFrom=[{"reference": text}])) for text in _REFERENCES),
    *(Probe("POST", "Observation", observation(subject={"reference": text})) for text in _PATIENTS),
    *(Probe("POST", "Observation", observation(focus=[{"reference": text}])) for text in _PATIENTS),
    *(Probe("POST", "ServiceRequest", order(subject={"reference": text})) for text in _PATIENTS),
    *(Probe("POST", "ServiceRequest", order(supportingInfo=[{"reference": text}])) for text in _REFERENCES),
    Probe(
        "POST",
        "Observation",
        observation(subject={"identifier": {"system": "urn:neuronova:mrn", "value": "<foreign.mrn>"}}),
    ),
    Probe(
        "POST",
        "Observation",
        observation(
            subject={
                **_OWN,
                "identifier": {"system": "urn:neuronova:mrn", "value": "<foreign.mrn>"},
                "type": "Patient",
            }
        ),
    ),
    Probe(
        "POST",
        "Observation",
        observation(subject={**_OWN, "extension": [{"url": "urn:x", "valueReference": _FOREIGN}]}),
    ),
    Probe("POST", "Observation", observation(extension=[{"url": "urn:x", "valueReference": _FOREIGN}])),
    Probe("POST", "Observation", observation(contained=[_CONTAINED], performer=[{"reference": "#in"}])),
    Probe("POST", "Observation", observation(contained=[_HIDING])),
    Probe(
        "POST",
        "Observation",
        observation(contained=[{"resourceType": "Patient", "id": "in"}], subject={"reference": "#in"}),
    ),
    Probe("POST", "ServiceRequest", order(contained=[_CONTAINED], performer=[{"reference": "#in"}])),
    Probe("POST", "ServiceRequest", order(contained=[_HIDING])),
    Probe("POST", "ServiceRequest", order(requester={"reference": "Organization/<foreign.organization>"})),
    Probe("POST", "ServiceRequest", order(requester={"reference": "Practitioner/<foreign.practitioner>"})),
    Probe("POST", "ServiceRequest", order(encounter={"reference": "Encounter/<foreign.encounter>"})),
    Probe("POST", "ServiceRequest", order(basedOn=[{"reference": "ServiceRequest/<foreign.order>"}])),
    Probe(
        "POST",
        "Patient",
        {
            "resourceType": "Patient",
            "identifier": [{"system": "urn:neuronova:mrn", "value": "<foreign.mrn>"}],
        },
    ),
    Probe("POST", "Patient", {"resourceType": "Patient", "link": [{"other": _FOREIGN, "type": "seealso"}]}),
    Probe(
        "POST",
        "Group",
        {
            "resourceType": "Group",
            "type": "person",
            "actual": True,
            "active": True,
            "member": [{"entity": _FOREIGN}],
            "managingEntity": {"reference": "Organization/<hospital.organization>"},
        },
    ),
    Probe(
        "POST",
        "Provenance",
        {
            "resourceType": "Provenance",
            "target": [_FOREIGN],
            "recorded": "2026-01-01T00:00:00Z",
            "agent": [{"who": _OWN}],
        },
    ),
    Probe("POST", "AuditEvent", {"resourceType": "AuditEvent", "entity": [{"what": _FOREIGN}]}),
    Probe(
        "POST",
        "List",
        {
            "resourceType": "List",
            "status": "current",
            "mode": "working",
            "subject": _OWN,
            "entry": [{"item": _FOREIGN}],
        },
    ),
    Probe(
        "POST",
        "Composition",
        {"resourceType": "Composition", "subject": _OWN, "section": [{"entry": [_FOREIGN]}]},
    ),
    Probe(
        "POST",
        "DocumentReference",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": _OWN,
            "content": [{"attachment": {"url": "BASE/Patient/<foreign.patient>"}}],
        },
    ),
    Probe(
        "POST",
        "Task",
        {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": {"coding": [{"system": "urn:neuronova:task", "code": "ai-inference"}]},
            "focus": {"reference": "ImagingStudy/<foreign.study>"},
            "for": _OWN,
        },
    ),
    Probe(
        "POST",
        "DiagnosticReport",
        {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": _LOINC,
            "subject": _OWN,
            "result": [{"reference": "Observation/<foreign.imaging>"}],
        },
    ),
    Probe(
        "POST",
        "Subscription",
        {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "x",
            "criteria": "Observation?subject=Patient/<foreign.patient>",
            "channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/"},
        },
    ),
]
_CHOSEN = [
    *(
        Probe(
            "PUT",
            f"{type_}/<foreign.accession>",
            {"resourceType": type_, "id": "<foreign.accession>", "status": "active", "subject": _OWN},
            headers,
        )
        for type_ in ("Patient", "Observation", "ServiceRequest")
        for headers in ({}, _TAG, {"If-None-Match": "*"}, {"If-Match": "*"})
    ),
    Probe("POST", "Observation", observation(id="<foreign.observation>")),
    Probe("POST", "ServiceRequest", order(id="<foreign.order>")),
    Probe(
        "POST",
        "ServiceRequest",
        order(identifier=[{"system": "urn:neuronova:accession", "value": "<foreign.accession>"}]),
    ),
    Probe("POST", "Patient/<foreign.patient>", {"resourceType": "Patient"}),
    Probe("PUT", "Patient", {"resourceType": "Patient", "id": "<foreign.patient>"}),
    Probe(
        "PUT", "Patient/<foreign.patient>/_history/1", {"resourceType": "Patient", "id": "<foreign.patient>"}
    ),
    Probe("DELETE", "Patient/<foreign.patient>/_history/1"),
    Probe("DELETE", "Patient/<foreign.patient>/_history"),
    Probe("DELETE", "Patient/<foreign.patient>?_cascade=delete", headers=_TAG),
    Probe("DELETE", "Patient/<foreign.patient>?_expunge=true", headers=_TAG),
    Probe("DELETE", "Patient"),
]

PROBES = distinct([*_MOVES, *_CREATED, *_CHOSEN])


async def test_a_write_touches_and_tells_nothing(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
