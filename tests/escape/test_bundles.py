"""Way out: batch and transaction. Each entry is a request; references and conditions inside are questions."""

from typing import Any

import pytest

from tests.escape.bodies import ORDER, observation
from tests.escape.probe import Probe, distinct
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_OBSERVATION = observation("own")


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **request: str) -> dict[str, Any]:
    """One entry."""
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    return {"resource": resource} | made if resource is not None else made


def bundles(*entries: dict[str, Any]) -> list[Probe]:
    """The same entries as a batch and as a transaction."""
    return [
        Probe("POST", "", {"resourceType": "Bundle", "type": kind, "entry": list(entries)})
        for kind in ("batch", "transaction")
    ]


_READS = (
    "Patient/<foreign.patient>",
    "Patient/<foreign.patient>/_history",
    "Patient/<foreign.patient>/_history/1",
    "Patient/<foreign.patient>/$everything",
    "Patient/<foreign.patient>/Observation",
    "Patient?_id=<foreign.patient>",
    "Patient?name=<foreign.marker>",
    "Patient?_id=<own.patient>&_revinclude=Observation:focus",
    "Patient?_has:Observation:performer:code=8867-4",
    "Patient?_summary=count",
    "Observation/<foreign.observation>",
    "Observation?subject=Patient/<foreign.patient>",
    "Observation?focus:Patient.name=<foreign.marker>",
    "Observation?patient=<own.patient>&_include=Observation:focus",
    "DiagnosticReport/<draft.preliminary>",
    "DiagnosticReport?status=preliminary",
    "ImagingStudy?status=registered",
    "ServiceRequest/<foreign.deleted>",
    "ServiceRequest/<foreign.moved>/_history/1",
    "Task?patient=<own.patient>",
    "Group?member=Patient/<own.patient>",
    "/Patient/<foreign.patient>",
    "//Patient/<foreign.patient>",
    "./Patient/<foreign.patient>",
    "../fhir/Patient/<foreign.patient>",
    "BASE/Patient/<foreign.patient>",
    "https://example.org/fhir/Patient/<foreign.patient>",
    "patient/<foreign.patient>",
    "Patient%2F<foreign.patient>",
    "?_getpages=<foreign.patient>",
    "?_id=<foreign.patient>",
    "metadata",
    "$export",
    "",
)
_HEADS = ("Patient/<foreign.patient>", "Observation?subject=Patient/<foreign.patient>")
_WRITES = [
    entry("POST", "Observation", {**_OBSERVATION, "subject": {"reference": "Patient/<foreign.patient>"}}),
    entry(
        "POST", "Observation", {**_OBSERVATION, "subject": {"reference": "Patient?identifier=<foreign.mrn>"}}
    ),
    entry("POST", "Observation", {**_OBSERVATION, "focus": [{"reference": "Patient?name=<foreign.marker>"}]}),
    entry(
        "POST",
        "Observation",
        {**_OBSERVATION, "derivedFrom": [{"reference": "Observation/<foreign.imaging>"}]},
    ),
    entry("POST", "Observation", _OBSERVATION, ifNoneExist="subject=Patient/<foreign.patient>"),
    entry("POST", "Observation", _OBSERVATION, ifNoneExist="value-string=Value<foreign.marker>"),
    entry("POST", "ServiceRequest", ORDER),
    entry("POST", "ServiceRequest", ORDER, ifNoneExist="identifier=<foreign.accession>"),
    entry("POST", "Patient", {"resourceType": "Patient"}, ifNoneExist="identifier=<foreign.mrn>"),
    entry("POST", "Patient?identifier=<foreign.mrn>", {"resourceType": "Patient"}),
    entry(
        "PUT",
        "Patient/<foreign.patient>",
        {"resourceType": "Patient", "id": "<foreign.patient>"},
        ifMatch='W/"1"',
    ),
    entry("PUT", "Patient?identifier=<foreign.mrn>", {"resourceType": "Patient"}),
    entry(
        "PUT",
        "Observation/<foreign.observation>",
        {**_OBSERVATION, "id": "<foreign.observation>"},
        ifMatch='W/"1"',
    ),
    entry(
        "PUT",
        "Observation/<own.observation>",
        {**_OBSERVATION, "id": "<own.observation>", "subject": {"reference": "Patient/<foreign.patient>"}},
        ifMatch='W/"1"',
    ),
    entry("PUT", "Observation?value-string=Value<foreign.marker>", _OBSERVATION),
    entry("DELETE", "Patient/<foreign.patient>", ifMatch='W/"1"'),
    entry("DELETE", "Observation/<foreign.observation>"),
    entry("DELETE", "Observation?subject=Patient/<foreign.patient>"),
    entry("PATCH", "Patient/<foreign.patient>", {"resourceType": "Parameters"}, ifMatch='W/"1"'),
    entry(
        "PATCH",
        "Observation/<foreign.observation>",
        {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "W10="},
        ifMatch='W/"1"',
    ),
    entry(
        "PATCH",
        "Observation?subject=Patient/<foreign.patient>",
        {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "W10="},
    ),
    entry("POST", "Patient/<foreign.patient>/$everything"),
    entry("POST", "Patient/_search?_id=<foreign.patient>"),
    entry(
        "POST",
        "",
        {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient/<foreign.patient>")]},
    ),
    entry("POST", "Bundle", {"resourceType": "Bundle", "type": "collection"}),
    entry("GET", "Patient/<foreign.patient>", ifNoneMatch='W/"1"'),
    entry("GET", "Patient/<foreign.patient>", ifModifiedSince="2100-01-01T00:00:00Z"),
]
_NEW = "urn:uuid:5d0f5a2e-0000-4000-8000-000000000001"
_TOGETHER = [
    # A placeholder that names what another entry finds.
    bundles(
        {
            "fullUrl": _NEW,
            **entry("POST", "Patient", {"resourceType": "Patient"}, ifNoneExist="identifier=<foreign.mrn>"),
        },
        entry("POST", "Observation", {**_OBSERVATION, "subject": {"reference": _NEW}}),
    ),
    bundles(
        {"fullUrl": "Patient/<foreign.patient>", **entry("POST", "Patient", {"resourceType": "Patient"})},
        entry("POST", "Observation", {**_OBSERVATION, "subject": {"reference": "Patient/<foreign.patient>"}}),
    ),
    bundles(entry("GET", "Patient/<own.patient>"), entry("GET", "Patient/<foreign.patient>")),
    bundles(entry("POST", "Observation", _OBSERVATION), entry("GET", "Observation/<foreign.observation>")),
    bundles(entry("POST", "Observation", _OBSERVATION), entry("DELETE", "Observation/<foreign.observation>")),
    bundles(entry("GET", "Patient/<foreign.patient>"), entry("GET", "Patient/<foreign.patient>")),
]

PROBES = distinct(
    [
        *(probe for url in _READS for probe in bundles(entry("GET", url))),
        *(probe for url in _HEADS for probe in bundles(entry("HEAD", url))),
        *(probe for one in _WRITES for probe in bundles(one)),
        *(probe for together in _TOGETHER for probe in together),
        Probe(
            "POST",
            "",
            {
                "resourceType": "Bundle",
                "type": "history",
                "entry": [entry("GET", "Patient/<foreign.patient>")],
            },
        ),
        Probe(
            "POST", "", {"resourceType": "Bundle", "type": "message", "entry": [{"resource": _OBSERVATION}]}
        ),
        Probe(
            "POST",
            "",
            {"resourceType": "Bundle", "type": "Batch", "entry": [entry("GET", "Patient/<foreign.patient>")]},
        ),
        Probe(
            "POST",
            "?_format=json",
            {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient/<foreign.patient>")]},
        ),
        Probe(
            "POST",
            "Bundle",
            {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient/<foreign.patient>")]},
        ),
        Probe(
            "PUT",
            "",
            {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient/<foreign.patient>")]},
        ),
    ]
)


async def test_an_entry_is_a_request_like_any_other(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
