"""Stored rows -> the FHIR R4 ImagingStudy. Pure; standard library only.

Sources: FHIR R4 ImagingStudy; DICOM PS3.3 C.7.2, C.7.3; body parts from PS3.16 CID 4 (the part that is a
brain or head), laterality from PS3.3 10.5. A study is `available` only when every instance has a recorded
outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imaging import names
from imaging.index import InstanceRow, SeriesRow, StudyRow

SNOMED = "http://snomed.info/sct"
# BodyPartExamined (defined terms of PS3.16 annex L) to SNOMED CT, the ones that this product images.
BODY_SITE = {
    "BRAIN": ("12738006", "Brain structure"),
    "HEAD": ("69536005", "Head structure"),
    "SKULL": ("89546000", "Bone structure of cranium"),
    "NECK": ("45048000", "Neck structure"),
    "HEADNECK": ("774007", "Head and/or neck structure"),
    "CSPINE": ("122494005", "Cervical spine structure"),
    "TSPINE": ("122495006", "Thoracic spine structure"),
    "LSPINE": ("122496007", "Lumbar spine structure"),
    "CHEST": ("51185008", "Thoracic structure"),
    "ABDOMEN": ("818983003", "Abdomen"),
}
LATERALITY = {"L": ("7771000", "Left"), "R": ("24028007", "Right"), "B": ("51440002", "Bilateral")}


def imaging_study(
    study: StudyRow,
    series: Sequence[SeriesRow],
    instances: Sequence[InstanceRow],
    endpoint_ref: str,
    *,
    existing: Mapping[str, Any] | None = None,
    referrer: str | None = None,
) -> dict[str, Any]:
    """The resource as these rows say it. `existing` keeps its id and what these rows do not know.

    The status is `available` if the study's state is, else `registered`. Withdrawn series are left out.
    """
    shown = [row for row in series if row.state == "shown"]
    by_series = {row.series_uid: [i for i in instances if i.series_uid == row.series_uid] for row in shown}
    resource: dict[str, Any] = {**(existing or {})}
    # The rows know these: a study that was given to another patient has lost its order.
    for name in ("basedOn", "referrer"):
        resource.pop(name, None)
    resource |= {
        "resourceType": "ImagingStudy",
        "identifier": _identifiers(study),
        "status": "available" if study.state == "available" else "registered",
        "modality": [_modality(code) for code in sorted({row.modality for row in shown})],
        "subject": {"reference": study.patient_ref},
        "endpoint": [{"reference": endpoint_ref}],
        "numberOfSeries": len(shown),
        "numberOfInstances": sum(map(len, by_series.values())),
        "series": [_series(row, by_series[row.series_uid]) for row in shown],
    }
    optional = {
        "started": study.started,
        "description": study.description or None,
        "basedOn": [{"reference": study.based_on}] if study.based_on else None,
        "referrer": {"display": referrer} if referrer else None,
    }
    resource |= {key: value for key, value in optional.items() if value is not None}
    return resource


def study_identifier(study_uid: str) -> str:
    """The token by which a study is searched: `urn:dicom:uid|urn:oid:…`."""
    return f"{names.DICOM_UID}|urn:oid:{study_uid}"


def _identifiers(study: StudyRow) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"system": names.DICOM_UID, "value": f"urn:oid:{study.study_uid}"}]
    if study.accession:
        coding = {"system": names.IDENTIFIER_TYPE, "code": "ACSN"}
        found.append({"type": {"coding": [coding]}, "system": names.ACCESSION, "value": study.accession})
    return found


def _series(row: SeriesRow, instances: Sequence[InstanceRow]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "uid": row.series_uid,
        "modality": _modality(row.modality),
        "numberOfInstances": len(instances),
        "instance": [_instance(instance) for instance in instances],
    }
    if row.number is not None and row.number >= 0:
        found["number"] = row.number
    if row.description:
        found["description"] = row.description
    if row.body_part:
        found["bodySite"] = _body_site(row.body_part)
    if row.laterality in LATERALITY:
        code, display = LATERALITY[row.laterality]
        found["laterality"] = {"system": SNOMED, "code": code, "display": display}
    return found


def _instance(row: InstanceRow) -> dict[str, Any]:
    found: dict[str, Any] = {
        "uid": row.sop_uid,
        "sopClass": {"system": names.SOP_CLASS_SYSTEM, "code": f"urn:oid:{row.sop_class}"},
    }
    if row.instance_number is not None and row.instance_number >= 0:  # unsignedInt in FHIR, IS in DICOM
        found["number"] = row.instance_number
    return found


def _modality(code: str) -> dict[str, str]:
    return {"system": names.DCM, "code": code}


def _body_site(body_part: str) -> dict[str, str]:
    known = BODY_SITE.get(body_part.upper())
    if known is None:
        return {"display": body_part}
    code, display = known
    return {"system": SNOMED, "code": code, "display": display}
