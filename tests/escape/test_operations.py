"""Way out: operations of the store and of the product; export, GraphQL, subscriptions."""

import pytest

from tests.escape.probe import Probe, distinct, get
from tests.escape.record import TYPES
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_PARAMETERS = {"resourceType": "Parameters"}
_ON_PATIENT = (
    "$everything",
    "$everything?_count=1",
    "$everything?_type=Observation",
    "$everything?start=2020-01-01",
    "$everything?_since=2020-01-01T00:00:00Z",
    "$everything?_elements=id",
    "$everything?_offset=1",
    "$export",
    "$summary",
    "$merge",
    "$match",
    "$diff",
    "$meta",
    "$validate",
    "$graphql?query=%7Bid%7D",
    "$member-match",
    "$hapi.fhir.replace-references",
    "$expunge",
    "$graph?graph=x",
    "$EVERYTHING",
    "%24everything",
    "$everything/",
    "$nothing",
)
_ON_TYPE = (
    "Patient/$everything",
    "Patient/$export",
    "Patient/$match",
    "Patient/$merge",
    "Patient/$meta",
    "Patient/$everything?_id=<foreign.patient>",
    "Group/<foreign.group>/$export",
    "Group/<hospital.shared>/$export",
    "Encounter/<foreign.encounter>/$everything",
    "Encounter/<own.encounter>/$everything",
    "Observation/$lastn?patient=<foreign.patient>",
    "Observation/$lastn?patient=<own.patient>",
    "Observation/$stats?subject=Patient/<foreign.patient>",
    "Observation/<foreign.observation>/$meta",
    "Observation/<foreign.observation>/$binary-access-read?path=Observation.value",
    "DocumentReference/$docref?patient=<foreign.patient>",
    "DocumentReference/<foreign.document>/$binary-access-read?path=DocumentReference.content.attachment",
    "Composition/<foreign.document>/$document",
    "DiagnosticReport/<foreign.report>/$document",
    "Practitioner/<foreign.practitioner>/$everything",
    "ImagingStudy/<foreign.study>/$everything",
    "Device/<foreign.implant>/$everything",
    "List/$find?patient=<foreign.patient>&name=problems",
    "Binary/<foreign.document>/$meta",
)
_ON_SYSTEM = (
    "$export",
    "$export?_type=Patient",
    "$export-poll-status?_jobId=<foreign.patient>",
    "$graphql?query=%7BPatient(id:%22<foreign.patient>%22)%7Bid%7D%7D",
    "$get-resource-counts",
    "$meta",
    "$diff?from=Patient/<foreign.patient>&to=Patient/<own.patient>",
    "$reindex",
    "$expunge",
    "$mark-all-resources-for-reindexing",
    "$process-message",
    "$perform-reindexing-pass",
    "$import",
    "$versions",
    "$convert",
    "$cql",
    "_search?_id=<foreign.patient>",
    "$async-job-status/<foreign.patient>",
)
_PRODUCT = (
    "Task/<foreign.task>/$review",
    "Task/<draft.task>/$review",
    "DiagnosticReport/<foreign.report>/$sign",
    "DiagnosticReport/<foreign.preliminary>/$sign",
    "DiagnosticReport/<draft.preliminary>/$sign",
    "Task/<foreign.task>/$sign",
    "Patient/<foreign.patient>/$review",
)
_DIFF = {
    "resourceType": "Parameters",
    "parameter": [{"name": "resource", "resource": {"resourceType": "Patient", "id": "<foreign.patient>"}}],
}
_MATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "resource",
            "resource": {"resourceType": "Patient", "name": [{"family": "<foreign.marker>"}]},
        }
    ],
}
_QUERY = {"query": '{Patient(id:"<foreign.patient>"){name{family}}}'}
_ASYNC = {"Prefer": "respond-async"}

PROBES = distinct(
    [
        *get(*(f"Patient/<foreign.patient>/{name}" for name in _ON_PATIENT)),
        *(Probe("POST", f"Patient/<foreign.patient>/{name}", _PARAMETERS) for name in _ON_PATIENT),
        *get(*_ON_TYPE, *_ON_SYSTEM),
        *(Probe("POST", path, _PARAMETERS) for path in (*_ON_TYPE, *_ON_SYSTEM)),
        *get(
            "$export",
            "Patient/$export",
            "Group/<foreign.group>/$export",
            "Patient/<foreign.patient>",
            headers=_ASYNC,
        ),
        *(Probe("POST", path, _PARAMETERS, {"If-Match": 'W/"1"'}) for path in _PRODUCT),
        *(Probe("POST", path, _PARAMETERS) for path in _PRODUCT),
        *(Probe("POST", f"{type_}/<foreign.{label}>/$meta", _PARAMETERS) for label, type_ in TYPES.items()),
        *get(*(f"{type_}/<foreign.{label}>/$meta" for label, type_ in TYPES.items())),
        Probe("POST", "Patient/$validate", _DIFF),
        Probe("POST", "Patient/$match", _MATCH),
        Probe("POST", "Patient/$member-match", _MATCH),
        Probe("POST", "Patient/<foreign.patient>/$validate", _DIFF),
        Probe(
            "POST",
            "Observation/$validate",
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": "x"},
                "subject": {"reference": "Patient/<foreign.patient>"},
            },
        ),
        Probe("POST", "$graphql", _QUERY, {"Content-Type": "application/json"}),
        Probe("POST", "Patient/<own.patient>/$everything", _PARAMETERS),
        *get("Patient/<own.patient>/$everything", "Patient/<own.patient>/$everything?_type=Observation,Task"),
        *get(
            "Patient/<own.patient>/$everything?_count=1000",
            "Patient/<own.patient>/$everything?_since=2020-01-01T00:00:00Z",
        ),
        *get(
            "Subscription",
            "Subscription/<foreign.patient>",
            "Subscription?criteria=Observation",
            "SubscriptionTopic",
        ),
        *get(
            "Subscription/<foreign.patient>/$status",
            "Subscription/$status",
            "Subscription/$get-ws-binding-token",
        ),
    ]
)


async def test_an_operation_tells_nothing(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
