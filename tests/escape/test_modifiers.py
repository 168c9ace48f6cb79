"""Way out: modifiers and prefixes that turn a question round."""

import pytest

from tests.escape.probe import distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_REFERENCES = (
    "Observation?subject:Patient=<foreign.patient>",
    "Observation?subject:identifier=urn:neuronova:mrn|<foreign.mrn>",
    "Observation?patient:identifier=<foreign.mrn>",
    "Observation?performer:Patient=<own.patient>",
    "Observation?subject:missing=true",
    "Observation?subject:missing=false&_summary=count",
    "Observation?patient:not=<own.patient>",
    "Observation?subject:not=Patient/<own.patient>",
    "Observation?patient:mdm=<own.patient>",
    "Observation?subject:above=Patient/<own.patient>",
    "Observation?subject:below=Patient/<own.patient>",
    "Observation?performer:missing=false",
    "Observation?focus:missing=false",
    "Condition?asserter:identifier=<foreign.mrn>",
    "Group?member:missing=false",
    "Patient?link:missing=false",
    "Patient?link:identifier=<foreign.mrn>",
    "Device?patient:missing=true",
    "Device?patient:missing=false",
)
_IDS = (
    "Patient?_id:not=<own.patient>",
    "Patient?_id:missing=false",
    "Patient?_id:missing=true",
    "Patient?_id:text=<foreign.patient>",
    "Observation?_id:not=<own.observation>",
    "Patient?_id:above=<foreign.patient>",
    "Patient?_id:in=Group/<foreign.group>",
    "Patient?_id=in:<foreign.group>",
)
_TEXTS = (
    "Patient?family:exact=<foreign.marker>",
    "Patient?family:contains=<foreign.marker>",
    "Patient?name:contains=iven<foreign.marker>",
    "Patient?name:text=<foreign.marker>",
    "Patient?family:not=<own.marker>",
    "Patient?identifier:not=<own.mrn>",
    "Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|<foreign.mrn>",
    "Patient?identifier:text=<foreign.mrn>",
    "Patient?identifier:missing=false",
    "Patient?phonetic=<foreign.marker>",
    "Observation?code:text=Code<foreign.marker>",
    "Observation?code:not=8867-4",
    "Observation?code:in=http://hl7.org/fhir/ValueSet/observation-codes",
    "Observation?code:not-in=http://hl7.org/fhir/ValueSet/observation-codes",
    "Observation?code:above=8867-4",
    "Observation?code:below=8867-4",
    "Observation?category:not=laboratory",
    "Observation?category:missing=true",
    "Observation?status:not=final",
    "Observation?value-string:contains=<foreign.marker>",
    "Observation?value-string:exact=Draft<draft.secret>",
    "Observation?value-string:missing=false",
    "Condition?code:text=Code<foreign.marker>",
    "DiagnosticReport?code:text=Code<draft.secret>",
    "DiagnosticReport?status:not=final",
    "DiagnosticReport?status:missing=false&_summary=count",
    "DiagnosticReport?conclusion:text=<foreign.marker>",
    "ImagingStudy?status:not=available",
    "Location?name:contains=<foreign.staff>",
    "Organization?name:contains=<foreign.staff>",
    "DocumentReference?description:contains=<foreign.marker>",
)
_DATES = (
    "Patient?birthdate=lt<foreign.born>",
    "Patient?birthdate=ne1970-01-01",
    "Patient?birthdate=eb1970-01-01",
    "Patient?birthdate:missing=false",
    "Patient?_lastUpdated=gt2020-01-01",
    "Patient?_lastUpdated=ge2020-01-01&_summary=count",
    "Observation?date=ne2026-01-04",
    "Observation?date=sa2020-01-01",
    "Observation?_lastUpdated=gt2020-01-01",
    "ServiceRequest?_lastUpdated=gt2020-01-01&_summary=count",
    "ImagingStudy?started=ap2026-01-07",
)

PROBES = distinct(get(*_REFERENCES, *_IDS, *_TEXTS, *_DATES))


async def test_no_modifier_turns_a_question_round(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
