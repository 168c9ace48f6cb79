"""The resources that the demo registers, as plain FHIR R4. Nobody in here is a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Resource = dict[str, Any]

MRN = "urn:neuronova:mrn"
ACCESSION = "urn:neuronova:accession"
AE_TITLE = "urn:neuronova:ae-title"
PATIENT_IDENTIFIER_SYSTEM = "urn:neuronova:patient-identifier-system"
SNOMED = "http://snomed.info/sct"


def hospital() -> Resource:
    """The own hospital: its PatientIDs are MRNs."""
    return {
        "resourceType": "Organization",
        "active": True,
        "name": "NeuroNova Demo Hospital",
        "identifier": [{"system": PATIENT_IDENTIFIER_SYSTEM, "value": MRN}],
    }


def practitioner(username: str, number: str) -> Resource:
    """A member of staff, named after the role that the login has."""
    return {
        "resourceType": "Practitioner",
        "active": True,
        "identifier": [{"system": "urn:neuronova:staff-number", "value": number}],
        "name": [{"use": "official", "family": "Demo", "given": [username.capitalize()]}],
    }


def patient(mrn: str, family: str, given: str, *, korean: str | None = None, **fields: Any) -> Resource:
    """A patient by MRN; `korean` is the ideographic form beside the Latin one."""
    names: list[Resource] = [{"use": "official", "family": family, "given": [given]}]
    if korean:
        representation = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
        names[0]["extension"] = [{"url": representation, "valueCode": "ABC"}]
        ideographic = {
            "use": "official",
            "text": korean,
            "extension": [{"url": representation, "valueCode": "IDE"}],
        }
        names.append(ideographic)
    return {
        "resourceType": "Patient",
        "active": True,
        "identifier": [{"system": MRN, "value": mrn}],
        "name": names,
        **fields,
    }


def modality(ae_title: str, organization: str, url: str) -> Resource:
    """A modality that may send images: its AE title, whose PatientIDs it uses, and where it answers."""
    return {
        "resourceType": "Device",
        "status": "active",
        "identifier": [{"system": AE_TITLE, "value": ae_title}],
        "type": {"coding": [{"system": SNOMED, "code": "90003000", "display": "MRI unit"}]},
        "deviceName": [{"name": "Demo MR", "type": "user-friendly-name"}],
        "owner": {"reference": organization},
        "url": url,
    }


def brain_mr_order(patient_reference: str, requester: str, accession: str) -> Resource:
    """An active order of an MR of the brain with its accession number."""
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "priority": "routine",
        "identifier": [
            {
                "type": {
                    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
                },
                "system": ACCESSION,
                "value": accession,
            }
        ],
        "category": [{"coding": [{"system": SNOMED, "code": "363679005", "display": "Imaging"}]}],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "24590-2", "display": "MR Brain"}],
            "text": "MR Brain",
        },
        "subject": {"reference": patient_reference},
        "requester": {"reference": requester},
        "authoredOn": datetime.now(UTC).isoformat(timespec="seconds"),
    }
