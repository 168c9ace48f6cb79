"""Way out: an address by id. read, vread and history of what is another's, unsigned, moved or gone."""

import pytest

from tests.escape.probe import Probe, distinct, get
from tests.escape.record import TYPES
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_FORMS = (
    "{t}/<foreign.{l}>",
    "{t}/<foreign.{l}>/_history",
    "{t}/<foreign.{l}>/_history/1",
)
_ONCE = (
    "{t}/<foreign.{l}>?_summary=true",
    "{t}/<foreign.{l}>?_elements=id",
    "{t}/<foreign.{l}>/_history?_count=0",
    "{t}/<foreign.{l}>/_history?_since=2020-01-01T00:00:00Z",
    "{t}/<foreign.{l}>/_history/2",
    "{t}/<foreign.{l}>/_history/99",
)
_DRAFTS = {
    "draft": "Observation",
    "preliminary": "DiagnosticReport",
    "registered": "ImagingStudy",
    "task": "Task",
    "origin": "Provenance",
}

PROBES = distinct(
    [
        *get(*(form.format(t=type_, l=label) for label, type_ in TYPES.items() for form in _FORMS)),
        *get(
            *(
                form.format(t=type_, l=label)
                for label, type_ in (
                    ("patient", "Patient"),
                    ("moved", "ServiceRequest"),
                    ("report", "DiagnosticReport"),
                )
                for form in _ONCE
            )
        ),
        *get(
            *(
                f"{type_}/<draft.{label}>{rest}"
                for label, type_ in _DRAFTS.items()
                for rest in ("", "/_history", "/_history/1")
            )
        ),
        # The right id under the wrong type.
        *get(
            "Practitioner/<foreign.patient>", "Patient/<foreign.observation>", "Observation/<foreign.report>"
        ),
        *(Probe("HEAD", f"{type_}/<foreign.{label}>") for label, type_ in TYPES.items()),
    ]
)


async def test_an_id_tells_nothing(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
