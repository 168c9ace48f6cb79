"""Resources that probes send; `<own.patient>` and the like are filled in when a probe is asked."""

from typing import Any

ORDER: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "status": "active",
    "intent": "order",
    "code": {"text": "MR"},
    "subject": {"reference": "Patient/<foreign.patient>"},
    "requester": {"reference": "Organization/<hospital.organization>"},
}


def observation(patient: str) -> dict[str, Any]:
    """A vital sign of the `own` or the `foreign` patient."""
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": system, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": f"Patient/<{patient}.patient>"},
    }
