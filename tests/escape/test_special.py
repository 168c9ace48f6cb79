"""Way out: parameters that search by other means than the type's own, and what is nobody's parameter."""

import pytest

from tests.escape.probe import distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

# Refused or harmless, on a type that is narrowed, on a Patient, and over all types.
_SPECIAL = (
    "_filter=name eq <foreign.marker>",
    "_filter=subject re Patient/<foreign.patient>",
    "_filter=_id eq <foreign.patient>",
    "_query=all",
    "_query=<foreign.marker>",
    "_content=<foreign.marker>",
    "_text=<foreign.marker>",
    "_contained=true",
    "_contained=both&_containedType=contained",
    "_list=<foreign.group>",
    "_pid=1",
    "_type=Patient,Observation",
    "_source=urn:x",
    "_source:missing=false",
    "_tag=<foreign.marker>",
    "_tag:not=nothing",
    "_tag:missing=true",
    "_security=R",
    "_security:not=R",
    "_profile=http://nothing",
    "_profile:missing=true",
    "_lastUpdated=ge2020-01-01",
    "_compartmentLastUpdated=ge2020-01-01",
    "_mdm=true",
    "_at=2030-01-01",
    "_narrative=<foreign.marker>",
    "_cascade=delete",
    "_expunge=true",
    "_bundletype=searchset",
    "_language=en",
    "_has=x",
    "_in=Group/<foreign.group>",
    "_graph=x",
    "_score=1",
    "_contentlocation=x",
    "near=0|0|100000",
    "nothing=<foreign.marker>",
    "compartment=Patient/<foreign.patient>",
    "$everything=1",
    "_id=<foreign.patient>&nothing=1",
)
_ANYWHERE = (
    "_id=<foreign.patient>",
    "_type=Patient&_id=<foreign.patient>",
    "_lastUpdated=ge2020-01-01",
    "_content=x",
)
LENIENT = {"Prefer": "handling=lenient"}

PROBES = distinct(
    [
        *get(*(f"{type_}?{one}" for type_ in ("Patient", "Observation") for one in _SPECIAL)),
        *get(
            *(f"{type_}?{one}" for type_ in ("Patient", "Observation") for one in _SPECIAL[:12]),
            headers=LENIENT,
        ),
        *get(*(f"?{one}" for one in _ANYWHERE)),
        *get("Observation?nothing=<foreign.marker>&subject=Patient/<foreign.patient>", headers=LENIENT),
        *get("List?subject=Patient/<foreign.patient>", "List", "Composition?patient=<foreign.patient>"),
        *get(
            "Binary/<foreign.document>",
            "Binary",
            "RelatedPerson?patient=<foreign.patient>",
            "Media?patient=<foreign.patient>",
        ),
        *get(
            "Basic?subject=Patient/<foreign.patient>",
            "Bundle",
            "Communication?subject=<foreign.patient>",
            "Coverage?patient=<foreign.patient>",
        ),
        *get(
            "SearchParameter",
            "StructureDefinition",
            "Subscription",
            "CompartmentDefinition",
            "CodeSystem",
            "ValueSet",
        ),
        *get(
            "Parameters/x",
            "OperationOutcome/x",
            "CapabilityStatement/x",
            "OperationDefinition",
            "NamingSystem",
            "Library",
        ),
        *get(
            "Person?patient=<foreign.patient>",
            "Linkage?item=Patient/<foreign.patient>",
            "Flag?patient=<foreign.patient>",
        ),
    ]
)


async def test_a_special_parameter_opens_nothing(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
