"""Way out: what says how the answer is wanted. Sort order, totals, counts, elements, format."""

import pytest

from tests.escape.probe import distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_SORTED = (
    "Observation?patient=<own.patient>&_sort=focus.name",
    "Observation?patient=<own.patient>&_sort=focus:Patient.name",
    "Observation?patient=<own.patient>&_sort=Patient:focus.family",
    "Observation?patient=<own.patient>&_sort=-performer",
    "Observation?patient=<own.patient>&_sort=focus",
    "Observation?patient=<own.patient>&_sort=has-member",
    "Observation?patient=<own.patient>&_sort=subject.birthdate",
    "Observation?patient=<own.patient>&_sort=date",
    "Observation?patient=<own.patient>&_sort=-date",
    "Observation?patient=<own.patient>&_sort=code,date",
    "Observation?patient=<own.patient>&_sort=_pid",
    "Observation?patient=<own.patient>&_sort:desc=date",
    "Patient?_sort=link.name",
    "Patient?_sort=link",
    "Patient?_sort=name",
    "Patient?_sort=-birthdate",
    "Patient?_sort=_has:Observation:focus:date",
    "Patient?_sort=_lastUpdated",
    "DiagnosticReport?_sort=result.value-string",
    "DiagnosticReport?_sort=result",
    "Condition?_sort=asserter",
    "Condition?_sort=asserter:Patient.name",
    "Provenance?target=DiagnosticReport/<own.report>&_sort=target",
    "Group?_sort=member",
)
_TYPES = (
    "Patient",
    "Observation",
    "Condition",
    "DiagnosticReport",
    "ImagingStudy",
    "ServiceRequest",
    "DocumentReference",
    "Task",
    "Group",
    "Device",
)
_COUNTED = ("_summary=count", "_total=accurate", "_total=estimate", "_count=0", "_count=1&_sort=_lastUpdated")
_SHOWN = (
    "Patient/<foreign.patient>?_elements=name",
    "Patient/<foreign.patient>?_elements=link",
    "Patient/<foreign.patient>?_summary=count",
    "Patient/<foreign.patient>?_summary=text",
    "Patient/<foreign.patient>?_format=json",
    "Patient/<foreign.patient>?_format=xml",
    "Patient/<foreign.patient>?_format=html",
    "Patient/<foreign.patient>?_format=application/fhir%2Bjson",
    "Patient/<foreign.patient>?_format=ttl",
    "Patient/<foreign.patient>?_format=application/fhir%2Bndjson",
    "Patient/<foreign.patient>?_pretty=true",
    "Patient?_elements=name",
    "Patient?_elements=link,name",
    "Observation?_elements=focus",
    "Observation?_elements=subject.name",
    "Observation?_summary=true",
    "Observation?_summary=text",
    "Observation?_summary=data",
    "Observation?_summary=false",
    "Observation?_summary=other",
    "Observation?_elements=*",
    "DiagnosticReport?_elements=conclusion",
    "AuditEvent?date=2020-01-01&_elements=agent",
    "AuditEvent?date=2020-01-01&_summary=count",
    "Provenance?target=DiagnosticReport/<foreign.report>&_summary=count",
    "Provenance?target=DiagnosticReport/<draft.preliminary>&_total=accurate",
)

PROBES = distinct(
    [
        *get(*_SORTED, is_ordered=True),
        *get(*(f"{type_}?{counted}" for type_ in _TYPES for counted in _COUNTED)),
        *get(*_SHOWN),
    ]
)


async def test_the_form_of_an_answer_tells_nothing(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
