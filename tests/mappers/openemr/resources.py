"""Resources for the tests of this folder: invented, and plainly so."""

from typing import Any
from uuid import uuid4

Resource = dict[str, Any]


def made(type_: str, **elements: Any) -> Resource:
    """Return a resource as HAPI would, in version 1."""
    return {"resourceType": type_, "id": str(uuid4()), "meta": {"versionId": "1"}, **elements}


def next_version(resource: Resource, **changes: Any) -> Resource:
    """Return the resource in its next version."""
    number = int(resource["meta"]["versionId"]) + 1
    return {**resource, **changes, "meta": {"versionId": str(number)}}


def link(resource: Resource) -> Resource:
    """Return a reference to a resource."""
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


def practitioner(**elements: Any) -> Resource:
    """A doctor with a Korean licence number."""
    licence = {"type": {"coding": [{"code": "MD"}]}, "value": "12345"}
    name = [{"family": "Demo", "given": ["Doctor", "One"], "prefix": ["Dr"]}]
    phone = [{"system": "phone", "use": "work", "value": "02-000-0000"}]
    return made("Practitioner", **{"identifier": [licence], "name": name, "telecom": phone} | elements)


def patient(**elements: Any) -> Resource:
    """A patient with a Korean and a Latin name."""
    script = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
    names = [
        {"family": "Demo", "given": ["Patient"], "extension": [{"url": script, "valueCode": "ABC"}]},
        {"family": "시험", "given": ["환자"], "extension": [{"url": script, "valueCode": "SYL"}]},
    ]
    return made(
        "Patient",
        **{
            "identifier": [{"system": "urn:neuronova:mrn", "value": f"M{uuid4().hex[:10]}"}],
            "name": names,
            "gender": "female",
            "birthDate": "1970-01-02",
            "address": [{"use": "home", "line": ["1 Test Road"], "city": "Seoul", "country": "KR"}],
        }
        | elements,
    )


def order(subject: Resource, **elements: Any) -> Resource:
    """An order of an MR of the brain."""
    return made(
        "ServiceRequest",
        **{
            "status": "active",
            "intent": "order",
            "priority": "urgent",
            "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "24590-2", "display": "MR Brain"}]},
            "subject": link(subject),
            "authoredOn": "2026-11-20T16:30:00+00:00",
            "identifier": [{"system": "urn:neuronova:accession", "value": "ACC-1"}],
            "reasonCode": [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "R51"}]}],
            "note": [{"text": "headache for two weeks"}],
        }
        | elements,
    )


def encounter(subject: Resource, **elements: Any) -> Resource:
    """A visit to the outpatient clinic."""
    return made(
        "Encounter",
        **{
            "status": "in-progress",
            "class": {"code": "AMB"},
            "subject": link(subject),
            "period": {"start": "2026-11-20T15:00:00Z"},
            "reasonCode": [{"text": "headache"}],
        }
        | elements,
    )


def observation(subject: Resource, **elements: Any) -> Resource:
    """A measured volume."""
    return made(
        "Observation",
        **{
            "status": "final",
            "code": {
                "coding": [{"system": "urn:demo", "code": "core-volume"}],
                "text": "AI: tumour core volume",
            },
            "subject": link(subject),
            "valueQuantity": {
                "value": 12.5,
                "unit": "mL",
                "system": "http://unitsofmeasure.org",
                "code": "mL",
            },
        }
        | elements,
    )


def report(based_on: Resource, results: list[Resource], **elements: Any) -> Resource:
    """A signed report."""
    return made(
        "DiagnosticReport",
        **{
            "status": "final",
            "basedOn": [link(based_on)],
            "subject": based_on["subject"],
            "code": {"text": "MR Brain"},
            "issued": "2026-11-21T02:00:00.123Z",
            "result": [link(result) for result in results],
            "conclusion": "Demonstration finding.",
        }
        | elements,
    )
