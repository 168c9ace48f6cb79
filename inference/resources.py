"""Owns the single FHIR R4 resources that a result consists of; `report.py` puts them together.

Sources: FHIR R4 device.html, observation.html, diagnosticreport.html, provenance.html, task.html. Subject and
order come from the ImagingStudy alone, never from DICOM: identity was decided when the study arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference import names
from inference.bundle import Bundle
from inference.findings import NOT_ASSESSED, Finding

Resource = dict[str, Any]
NOT_FOR_CLINICAL_USE = "Not for clinical use"
_METHOD = {
    "coding": [{"system": names.DCM, "code": "123110", "display": "Artificial Intelligence"}],
    "text": "Automatic segmentation by a neural network; volume = number of voxels x volume of a voxel",
}


def concept(system: str, code: str, display: str = "", text: str = "") -> Resource:
    """A CodeableConcept of one coding."""
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]} | ({"text": text} if text else {})


def algorithm_identifier(bundle: Bundle) -> Resource:
    """What one trained network in one configuration is known by."""
    value = f"{bundle.id}/{bundle.version}/{bundle.weights_sha256[:16]}{bundle.configuration_sha256[:16]}"
    return {"system": names.AI_ALGORITHM, "value": value}


def device(bundle: Bundle) -> Resource:
    """The algorithm: name, version, weights, intended use."""
    own = bundle.metadata.neuronova
    return {
        "resourceType": "Device",
        "identifier": [algorithm_identifier(bundle)],
        "status": "active",
        "manufacturer": bundle.metadata.authors,
        "deviceName": [{"name": own.title, "type": "user-friendly-name"}],
        "modelNumber": bundle.id,
        "type": {"text": "Software: image analysis by a neural network"},
        "version": [
            {"type": {"text": "bundle"}, "value": bundle.version},
            {"type": {"text": "weights SHA-256"}, "value": bundle.weights_sha256},
            {"type": {"text": "configuration SHA-256"}, "value": bundle.configuration_sha256},
        ],
        "safety": [{"text": NOT_FOR_CLINICAL_USE}],
        "note": [{"text": bundle.metadata.intended_use}],
    }


def observation(
    bundle: Bundle, study: Mapping[str, Any], finding: Finding, key: str, device_ref: str
) -> Resource:
    """One measured region."""
    site = bundle.metadata.neuronova.body_site
    confidence = {
        "code": concept(
            names.AI_FINDING, "confidence", text="Confidence (expected Dice overlap, uncalibrated)"
        ),
        "valueQuantity": _quantity(finding.confidence, "1"),
    }
    return {
        "resourceType": "Observation",
        "identifier": [{"system": names.AI_RESULT, "value": f"{key}#{finding.code}"}],
        "status": "preliminary",
        "category": [concept(names.OBSERVATION_CATEGORY, "imaging", "Imaging")],
        "code": {
            "coding": [
                {"system": names.AI_FINDING, "code": finding.code, "display": f"{finding.title}: volume"},
                {"system": names.SNOMED, "code": "118565006", "display": "Volume"},
            ],
            "text": f"{finding.title}: volume",
        },
        **_context(study),
        "valueQuantity": _quantity(finding.volume_ml, "mL"),
        "bodySite": concept(site.system, site.code, site.display),
        "method": _METHOD,
        "device": {"reference": device_ref},
        "derivedFrom": [{"reference": f"ImagingStudy/{study['id']}"}],
        "component": [confidence],
        "note": [{"text": NOT_FOR_CLINICAL_USE}],
    }


def diagnostic_report(
    bundle: Bundle,
    study: Mapping[str, Any],
    findings: Sequence[Finding],
    key: str,
    result_refs: Sequence[str],
) -> Resource:
    """The draft that a doctor reviews and a radiologist signs."""
    volumes = "; ".join(f"{f.title} {f.volume_ml:.1f} mL (confidence {f.confidence:.2f})" for f in findings)
    return {
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": names.AI_RESULT, "value": key}],
        "status": "preliminary",
        "category": [concept(names.DIAGNOSTIC_SERVICE, "RAD", "Radiology")],
        "code": concept(names.LOINC, "24590-2", "MR Brain", f"{bundle.metadata.neuronova.title}: MR brain"),
        **_context(study),
        "imagingStudy": [{"reference": f"ImagingStudy/{study['id']}"}],
        "result": [{"reference": reference} for reference in result_refs],
        "conclusion": f"{NOT_FOR_CLINICAL_USE}. Draft by software: {volumes}. {NOT_ASSESSED}",
    }


def provenance(study: Mapping[str, Any], targets: Sequence[str], device_ref: str, recorded: str) -> Resource:
    """Which algorithm made the result, from which version of the study."""
    version = study.get("meta", {}).get("versionId")
    source = f"ImagingStudy/{study['id']}" + (f"/_history/{version}" if version else "")
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target} for target in targets],
        "recorded": recorded,
        "activity": concept(names.ACTIVITY, "ai-inference"),
        "agent": [
            {"type": concept(names.PARTICIPANT, "assembler", "Assembler"), "who": {"reference": device_ref}}
        ],
        "entity": [{"role": "source", "what": {"reference": source}}],
    }


def amendment_request(
    study: Mapping[str, Any],
    signed: Mapping[str, Any],
    key: str,
    report_ref: str,
    device_ref: str,
    authored: str,
) -> Resource:
    """Asks a radiologist to look at a newer draft beside the report that is signed already."""
    return {
        "resourceType": "Task",
        "identifier": [{"system": names.AI_RESULT, "value": f"{key}#amendment-{signed['id']}"}],
        "status": "requested",
        "intent": "proposal",
        "code": concept(names.TASK, "amendment-request"),
        "description": "A newer automatic result exists for a study whose report is signed.",
        "focus": {"reference": f"DiagnosticReport/{signed['id']}"},
        "for": dict(study["subject"]),
        "authoredOn": authored,
        "requester": {"reference": device_ref},
        "input": [{"type": concept(names.TASK_INPUT, "report"), "valueReference": {"reference": report_ref}}],
    }


def _context(study: Mapping[str, Any]) -> Resource:
    context: Resource = {"subject": dict(study["subject"])}
    orders = [
        dict(b) for b in study.get("basedOn", []) if str(b.get("reference", "")).startswith("ServiceRequest/")
    ]
    if orders:
        context["basedOn"] = orders
    if study.get("started"):
        context["effectiveDateTime"] = study["started"]
    return context


def _quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": names.UCUM, "code": unit}
