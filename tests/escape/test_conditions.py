"""Way out: conditions as questions. If-None-Match, If-Modified-Since, If-None-Exist, conditional writes."""

import pytest

from tests.escape.bodies import ORDER, observation
from tests.escape.probe import Probe, distinct
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_PATIENT = {"resourceType": "Patient", "active": True}
_OBSERVATION = observation("foreign")
_PATCH = [{"op": "replace", "path": "/active", "value": False}]
_JSON_PATCH = {"Content-Type": "application/json-patch+json"}
_TAGS = ('W/"1"', '"1"', "*", 'W/"2"', 'W/"1", W/"2"', 'W/"99"', "x")
_QUERIES = (
    "_id=<foreign.patient>",
    "identifier=urn:neuronova:mrn|<foreign.mrn>",
    "identifier=<foreign.mrn>",
    "name=<foreign.marker>",
    "birthdate=<foreign.born>",
    "_has:Observation:subject:code=8867-4",
    "general-practitioner:Practitioner.name=<foreign.staff>",
    "_lastUpdated=ge2020-01-01",
    "_id:missing=false",
    "",
)
_OBSERVATIONS = (
    "_id=<foreign.observation>",
    "subject=Patient/<foreign.patient>",
    "performer=Patient/<foreign.patient>&patient=<foreign.patient>",
    "value-string=Value<foreign.marker>",
    "focus:Patient.name=<foreign.marker>",
    "code=8867-4&patient=<foreign.patient>",
)
_LABELS = {
    "Patient": "patient",
    "Observation": "observation",
    "ServiceRequest": "order",
    "DiagnosticReport": "report",
}

PROBES = distinct(
    [
        *(
            Probe("GET", f"{type_}/<foreign.{label}>", headers={"If-None-Match": tag})
            for type_, label in _LABELS.items()
            for tag in _TAGS
        ),
        *(
            Probe("GET", "Patient/<foreign.patient>", headers={"If-Modified-Since": date})
            for date in ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "x")
        ),
        *(
            Probe("GET", "Patient/<foreign.patient>", headers={name: 'W/"1"'})
            for name in ("If-Match", "If-Range")
        ),
        *(Probe("HEAD", "Patient/<foreign.patient>", headers={"If-None-Match": tag}) for tag in _TAGS[:3]),
        *(Probe("POST", "Patient", _PATIENT, {"If-None-Exist": query}) for query in _QUERIES),
        *(Probe("POST", "Observation", _OBSERVATION, {"If-None-Exist": query}) for query in _OBSERVATIONS),
        *(
            Probe("POST", "ServiceRequest", ORDER, {"If-None-Exist": q})
            for q in ("identifier=<foreign.accession>", "_id=<foreign.order>")
        ),
        *(Probe("PUT", f"Patient?{query}", _PATIENT, {"If-Match": 'W/"1"'}) for query in _QUERIES),
        *(Probe("PUT", f"Observation?{query}", _OBSERVATION) for query in _OBSERVATIONS),
        *(
            Probe("PATCH", f"Patient?{query}", _PATCH, _JSON_PATCH | {"If-Match": 'W/"1"'})
            for query in _QUERIES
        ),
        *(Probe("PATCH", f"Observation?{query}", _PATCH, _JSON_PATCH) for query in _OBSERVATIONS),
        *(Probe("DELETE", f"Patient?{query}", headers={"If-Match": 'W/"1"'}) for query in _QUERIES),
        *(Probe("DELETE", f"Observation?{query}") for query in _OBSERVATIONS),
    ]
)


async def test_a_condition_answers_no_question(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
