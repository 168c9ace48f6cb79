"""Way out: FHIRPath Patch and other forms of PATCH, whose paths and values could ask for what is hidden."""

from typing import Any

import pytest

from tests.escape.probe import Probe, distinct
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_TAG = {"If-Match": 'W/"1"'}
_TYPES = {
    "Patient": "patient",
    "Observation": "observation",
    "ServiceRequest": "order",
    "Condition": "condition",
}
_PATHS = (
    "{0}.where(subject.resolve().name.family = '<foreign.marker>')",
    "{0}.subject.resolve().name",
    "%resource.link.other.resolve().birthDate",
    "{0}.id",
    "Patient.where(id = '<foreign.patient>').name",
)
_FORMS = (
    "application/fhir+json",
    "application/json",
    "application/xml-patch+xml",
    "application/merge-patch+json",
    "application/json-patch+json",
)


def fhirpath_patch(kind: str, path: str, **more: Any) -> dict[str, Any]:
    """A Parameters resource with one operation (FHIR R4 fhirpatch.html)."""
    parts = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    parts += [{"name": name, **value} for name, value in more.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def bundled(kind: str, url: str, resource: dict[str, Any]) -> Probe:
    """The same as an entry."""
    entry = {"resource": resource, "request": {"method": "PATCH", "url": url, "ifMatch": 'W/"1"'}}
    return Probe("POST", "", {"resourceType": "Bundle", "type": kind, "entry": [entry]})


_VALUES: tuple[dict[str, Any], ...] = (
    {"value": {"valueString": "<foreign.marker>"}},
    {"value": {"valueReference": {"reference": "Patient/<foreign.patient>"}}},
    {},
)

PROBES = distinct(
    [
        *(
            Probe("PATCH", f"{type_}/<{side}.{label}>", body, _TAG | {"Content-Type": _FORMS[0]})
            for type_, label in _TYPES.items()
            for side in ("own", "foreign")
            for path in _PATHS
            for body in (fhirpath_patch("replace", path.format(type_)),)
        ),
        *(
            Probe("PATCH", f"Observation/<{side}.observation>", body, _TAG | {"Content-Type": form})
            for side in ("own", "foreign")
            for form in _FORMS
            for value in _VALUES
            for body in (fhirpath_patch("add", "Observation", name={"valueString": "subject"}, **value),)
        ),
        *(
            bundled(kind, f"Observation/<{side}.observation>", body)
            for kind in ("batch", "transaction")
            for side in ("own", "foreign")
            for path in _PATHS
            for body in (fhirpath_patch("delete", path.format("Observation")),)
        ),
        *(
            bundled(kind, f"Patient?{query}", fhirpath_patch("replace", "Patient.active"))
            for kind in ("batch", "transaction")
            for query in ("_id=<foreign.patient>", "name=<foreign.marker>")
        ),
    ]
)  # fmt: skip


async def test_a_patch_of_another_form_tells_nothing(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
