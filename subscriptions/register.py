"""A study in HAPI: one ImagingStudy for each study UID, `registered`, then `available`; and the Endpoint.

The UID is the identifier of a conditional create, and growth is written with If-Match, so that writers that
are killed or race leave one resource.
"""

import dataclasses
from typing import Any

from facade.hapi import HAPIClient
from imaging.index import StudyRow, StudyState
from imaging.metadata import read_tags
from imaging.person_name import display
from imaging.study import imaging_study
from subscriptions.names import ENDPOINT_SYSTEM, ENDPOINT_VALUE, STUDY_SYSTEM
from subscriptions.pacs import Pacs
from subscriptions.trail import Trail

Resource = dict[str, Any]


async def endpoint_ref(hapi: HAPIClient, base_url: str) -> str:
    """The Endpoint of our own DICOMweb, made if it is not there."""
    endpoint = await hapi.create(
        {
            "resourceType": "Endpoint",
            "identifier": [{"system": ENDPOINT_SYSTEM, "value": ENDPOINT_VALUE}],
            "status": "active",
            "connectionType": {
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                "code": "dicom-wado-rs",
            },
            "name": "DICOMweb of NeuroNova",
            "payloadType": [{"text": "DICOM"}],
            "payloadMimeType": ["application/dicom"],
            "address": f"{base_url}/dicom-web",
        },
        if_none_exist=f"identifier={ENDPOINT_SYSTEM}|{ENDPOINT_VALUE}",
    )
    return f"Endpoint/{endpoint['id']}"


async def find(hapi: HAPIClient, study_uid: str) -> Resource | None:
    """The ImagingStudy of a study UID."""
    wanted = ("identifier", f"{STUDY_SYSTEM}|urn:oid:{study_uid}")
    bundle = await hapi.search("ImagingStudy", [wanted], count=2)
    found = [entry["resource"] for entry in bundle.get("entry", [])]
    return found[0] if found else None


async def write(
    hapi: HAPIClient, trail: Trail, pacs: Pacs, study: StudyRow, state: StudyState, endpoint: str
) -> Resource:
    """Bring the ImagingStudy to what the stored rows say, in this state; nothing is sent if nothing changed.

    :raises HAPIError: HAPI did not answer, or somebody else changed the resource at the same moment
    """
    existing = await find(hapi, study.study_uid)
    resource = imaging_study(
        dataclasses.replace(study, state=state),
        # What the product drew is known by its report alone: until that is signed, not everybody may know.
        [series for series in pacs.index.series(study.study_uid) if not series.own],
        [instance for instance in pacs.index.instances(study.study_uid) if not instance.own],
        endpoint,
        existing=existing,
        referrer=_referrer(pacs, study.study_uid),
    )
    if existing is not None and (
        _content(existing) == _content(resource)
        # Published, and killed before the rows said so: nothing has grown, so nothing is taken back.
        or (state == "registered" and _content(existing) == _content(resource) | {"status": "available"})
    ):
        return existing
    what = [f"urn:oid:{study.study_uid}"]
    if existing is None:
        async with trail.around("create", "C", what=what, patient=study.patient_ref):
            created = await hapi.create(
                resource, if_none_exist=f"identifier={STUDY_SYSTEM}|urn:oid:{study.study_uid}"
            )
        if _content(created) == _content(resource):
            return created
        existing = created
        resource["id"] = created["id"]
    what.append(f"ImagingStudy/{existing['id']}")
    async with trail.around("update", "U", what=what, patient=study.patient_ref, detail={"state": state}):
        return await hapi.update(resource, if_match=existing["meta"]["versionId"])


def _referrer(pacs: Pacs, study_uid: str) -> str | None:
    """ReferringPhysicianName (0008,0090) as the first image of the study has it."""
    first = next((row for row in pacs.index.instances(study_uid) if not row.own), None)
    if first is None:
        return None
    tags = read_tags(pacs.data_dir, study_uid, first.series_uid, first.sop_uid)
    names = tags.get("00080090", {}).get("Value") or [{}]
    return display(names[0] or {}) or None


def _content(resource: Resource) -> Resource:
    return {key: value for key, value in resource.items() if key not in ("id", "meta", "text")}
