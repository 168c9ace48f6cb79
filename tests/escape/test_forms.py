"""Way out: the same question in another form. POST, doubled parameters, encodings, case, lists."""

import pytest

from tests.escape.probe import distinct, form, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_POSTED = (
    ("Patient", "", "_id=<foreign.patient>"),
    ("Patient", "_id=<foreign.patient>", ""),
    ("Patient", "_id=<own.patient>", "_id=<foreign.patient>"),
    ("Patient", "_id=<foreign.patient>", "_id=<own.patient>"),
    ("Patient", "", "name=<foreign.marker>"),
    ("Patient", "", "name=<foreign.marker>&_summary=count"),
    ("Patient", "", "identifier=urn:neuronova:mrn%7C<foreign.mrn>"),
    ("Patient", "", "_has:Observation:performer:code=8867-4"),
    ("Observation", "", "subject=Patient/<foreign.patient>"),
    ("Observation", "subject=Patient/<own.patient>", "subject=Patient/<foreign.patient>"),
    ("Observation", "patient=<own.patient>", "code=8867-4"),
    ("Observation", "", "focus:Patient.name=<foreign.marker>"),
    ("Observation", "_include=Observation:focus", "patient=<own.patient>"),
    ("Observation", "", "_include=Observation:focus&patient=<own.patient>"),
    ("Observation", "", "_filter=x"),
    ("DiagnosticReport", "", "status=preliminary"),
    ("DiagnosticReport", "", "conclusion=<foreign.marker>"),
    ("Task", "", "patient=<own.patient>"),
    ("Group", "", "member=Patient/<own.patient>"),
    ("Patient", "", "%5Fid=<foreign.patient>"),
    ("Patient", "", "_id=%00<foreign.patient>"),
)
_DOUBLED = (
    "Observation?subject=Patient/<own.patient>&subject=Patient/<foreign.patient>",
    "Observation?subject=Patient/<foreign.patient>&subject=Patient/<own.patient>",
    "Observation?subject=Patient/<own.patient>,Patient/<foreign.patient>",
    "Observation?subject=Patient/<own.patient>\\,Patient/<foreign.patient>",
    "Observation?patient=<own.patient>&subject=Patient/<foreign.patient>",
    "Observation?_id=<own.observation>&_id=<foreign.observation>",
    "Observation?_summary=count&_summary=false",
    "Observation?_sort=date&_sort=-date",
    "Patient?_id=<own.patient>&_id=<foreign.patient>",
    "Patient?_id=<foreign.patient>,<own.patient>,<foreign.patient>",
    "Patient?_id=<foreign.patient>,",
    "Patient?_id=,<foreign.patient>",
    "DiagnosticReport?status=final&status=preliminary",
    "DiagnosticReport?status=final,preliminary",
    "ImagingStudy?status=available,registered",
)
_ENCODED = (
    "Patient?%5Fid=<foreign.patient>",
    "Patient?_%69d=<foreign.patient>",
    "Patient?_id=%20<foreign.patient>",
    "Patient?_id=<foreign.patient>%20",
    "Patient?_id=<foreign.patient>%00",
    "Patient?_id=<foreign.patient>%0d%0a",
    "Patient?_id=%EF%BC%90<foreign.patient>",
    "Patient?_id=<foreign.patient>%26_id%3D<foreign.patient>",
    "Patient?_id=<own.patient>%26_id=<foreign.patient>",
    "Patient?_id=<own.patient>%2C<foreign.patient>",
    "Patient?_id=<own.patient>%252C<foreign.patient>",
    "Patient?_id=<own.patient>;_id=<foreign.patient>",
    "Patient?_id=<own.patient>%3B_id=<foreign.patient>",
    "Patient?_id=<own.patient>%23<foreign.patient>",
    "Patient?_id[]=<foreign.patient>",
    "Patient?_id==<foreign.patient>",
    "Patient?_id",
    "Patient?_id=",
    "Patient?=<foreign.patient>",
    "Patient?&&_id=<foreign.patient>&",
    "Patient?_id%3D<foreign.patient>",
    "Patient?name=%C0%AE<foreign.marker>",
    "Patient?name=%FF<foreign.marker>",
    "Patient?name=<foreign.marker>%25",
    "Patient?name=%25",
    "Patient?name=_",
    "Patient?name=*",
    "Patient?name=' or 1=1 --",
    "Patient?ID=<foreign.patient>",
    "Patient?_ID=<foreign.patient>",
    "Patient?Name=<foreign.marker>",
    "Patient?_iԁ=<foreign.patient>",
    "Observation?subject=patient/<foreign.patient>",
    "Observation?subject=Patient%2F<foreign.patient>",
    "Observation?subject=Patient%252F<foreign.patient>",
    "Observation?subject=/Patient/<foreign.patient>",
    "Observation?subject=./Patient/<foreign.patient>",
    "Observation?subject=Patient/../Patient/<foreign.patient>",
    "Observation?subject=Patient/<foreign.patient>/_history/1",
    "Observation?subject=http://localhost:8080/fhir/Patient/<foreign.patient>",
    "Observation?subject=http://localhost:8080/fhir/Patient/<own.patient>",
    "Observation?subject=https://example.org/Patient/<foreign.patient>",
    "Observation?subject=urn:uuid:<foreign.patient>",
    "Observation?subject=<foreign.patient>",
    "Observation?subject=Group/<foreign.patient>",
    "Observation?subject=Practitioner/<foreign.practitioner>",
    "Observation?subject=Patient?identifier=<foreign.mrn>",
    "Observation?subject=Patient/",
    "Observation?subject=%23<foreign.patient>",
    "Observation?code=http://loinc.org|8867-4",
    "Observation?code=|8867-4",
    "Observation?code=http://loinc.org|",
)

PROBES = distinct([*(form(*one) for one in _POSTED), *get(*_DOUBLED, *_ENCODED)])


async def test_no_form_of_a_question_says_more(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
