"""Way out: pages. Links of the store, offsets behind the end, counts of nothing."""

import pytest

from tests.escape.probe import Probe, distinct, form, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_STORE = (
    "?_getpages=<foreign.patient>",
    "?_getpages=<foreign.patient>&_getpagesoffset=20&_count=20&_bundletype=searchset",
    "Patient?_getpages=<foreign.patient>",
    "Patient?_getpages=<foreign.patient>&_getpagesoffset=0",
    "Patient?_getpagesoffset=1",
    "Observation?_getpages:x=<foreign.patient>",
    "Observation?%5Fgetpages=<foreign.patient>",
    "Observation?_GETPAGES=<foreign.patient>",
    "Patient/<own.patient>?_getpages=<foreign.patient>",
    "Patient/<own.patient>/_history?_getpages=<foreign.patient>",
    "_history?_getpages=<foreign.patient>",
    "metadata?_getpages=<foreign.patient>",
)
_OWN = (
    "Observation?_sort=date&_count=1",
    "Observation?_sort=date&_count=1&_offset=1",
    "Observation?_sort=date&_count=2&_offset=1",
    "Observation?_sort=date&_count=3&_offset=3",
    "Observation?_sort=date&_offset=4",
    "Observation?_sort=date&_offset=1000",
    "Observation?_sort=date&_offset=99999",
    "Observation?_offset=-1",
    "Observation?_offset=x",
    "Observation?_count=-1",
    "Observation?_count=0",
    "Observation?_count=0&_total=accurate",
    "Observation?_count=1000000",
    "Observation?_count=99999999999",
    "Observation?_count=1&_count=2",
    "Observation?_offset=0&_offset=1",
    "Observation?subject=Patient/<foreign.patient>&_count=1",
    "Observation?subject=Patient/<foreign.patient>&_offset=1",
    "Patient?_count=1",
    "Patient?_count=1&_offset=1",
    "Patient?_count=1&_offset=1&_total=accurate",
    "DiagnosticReport?_sort=_lastUpdated&_count=1",
    "DiagnosticReport?_sort=_lastUpdated&_count=1&_offset=1",
    "DiagnosticReport?_sort=_lastUpdated&_count=1&_offset=2",
    "ImagingStudy?_sort=_lastUpdated&_count=1",
    "ImagingStudy?_sort=_lastUpdated&_count=1&_offset=1",
    "Condition?_sort=_lastUpdated&_count=1",
    "Group?_count=1",
    "Patient/<foreign.patient>/_history?_offset=1",
    "Patient/<own.patient>/_history?_count=1",
    "Patient/<own.patient>/_history?_count=1&_offset=1",
    "Patient/<own.patient>/_history?_count=0",
    "ServiceRequest/<foreign.moved>/_history?_count=1&_offset=1",
    "Patient/_history",
    "Patient/_history?_count=1",
    "Observation/_history?_since=2020-01-01T00:00:00Z",
    "_history",
    "_history?_since=2020-01-01T00:00:00Z",
    "ServiceRequest/_history",
    "DiagnosticReport/_history?_count=1",
)
_JSON = {"Content-Type": "application/fhir+json"}

PROBES = distinct(
    [
        *get(*_STORE),
        *get(*(path for path in _OWN if "_sort" in path), is_ordered=True),
        *get(*(path for path in _OWN if "_sort" not in path)),
        Probe("POST", "?_getpages=<foreign.patient>", {"resourceType": "Bundle", "type": "transaction"}),
        Probe("POST", "?_getpages=<foreign.patient>", "", _JSON),
        form("Patient", "_getpages=<foreign.patient>", ""),
        form("Patient", "", "_getpages=<foreign.patient>"),
        form("Observation", "", "_sort=date&_count=1&_offset=1", is_ordered=True),
        form("Observation", "_count=1", "_sort=date&_offset=2", is_ordered=True),
    ]
)


async def test_a_page_is_a_search_of_its_own(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
