"""Takes a quarantined study in under the patient that an operator names, with a reason.

The same steps as ingest's own, but for the match: read in a child, metadata, rows, then out of quarantine;
killed in between, it is run again and finds what is done. Ingest registers the study afterwards. An
instance whose UIDs belong to another patient, or whose pixels differ from known ones, stays where it is
whatever the operator says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from facade.errors import HAPIGoneError, HAPINotFoundError
from facade.hapi import HAPIClient
from facade.identify import Identities
from imaging.arrival import Arrival, take_in
from imaging.errors import ChildDiedError, DICOMError, OtherPixelsError, UIDConflictError
from imaging.fetched import inspect_stored
from imaging.identity import BasedOn
from imaging.index import QuarantineRow
from imaging.orthanc import Origin
from subscriptions.errors import PatientUnfitError
from subscriptions.names import QUARANTINE_SYSTEM
from subscriptions.pacs import Pacs


@dataclass(frozen=True)
class Released:
    """What became of the instances of a study."""

    taken: int
    kept: tuple[tuple[str, str], ...]
    """SOP UID (or Orthanc's id) and why it stays in quarantine."""


async def check_patient(hapi: HAPIClient, patient_id: str) -> None:
    """Raise unless images may be given to this Patient."""
    try:
        patient = await hapi.read("Patient", patient_id)
    except (HAPINotFoundError, HAPIGoneError):
        raise PatientUnfitError("There is no such Patient.") from None
    if patient.get("active") is False or any(
        link.get("type") == "replaced-by" for link in patient.get("link", [])
    ):
        raise PatientUnfitError


async def release(hapi: HAPIClient, pacs: Pacs, study_uid: str, patient_id: str) -> Released:
    """Take in every instance of the study that may be taken in."""
    taken, kept = 0, []
    identities = Identities(hapi)
    for row in pacs.index.quarantined(study_uid):
        try:
            arrival = await _read(pacs, row)
            # The order, if it is this patient's; an accession of somebody else gives no link.
            order = await identities.order(arrival.inspection.tags.accession, f"Patient/{patient_id}")
            based_on = order.service_request_ref if isinstance(order, BasedOn) else None
            take_in(pacs.index, pacs.data_dir, arrival, f"Patient/{patient_id}", based_on)
        except (UIDConflictError, OtherPixelsError, DICOMError, ChildDiedError) as error:
            kept.append((row.sop_uid or row.orthanc_id, str(error)))
            continue
        pacs.index.release(row.orthanc_id)
        taken += 1
    return Released(taken, tuple(kept))


async def close_task(hapi: HAPIClient, study_uid: str, reason: str) -> bool:
    """Complete the administrator's Task of a study that has left quarantine; False if none was open."""
    closed = False
    found = await hapi.search("Task", [("identifier", f"{QUARANTINE_SYSTEM}|{study_uid}")], count=2)
    for entry in found.get("entry", []):
        task = entry["resource"]
        if task["status"] != "completed":
            changed = task | {"status": "completed", "note": [{"text": reason}]}
            await hapi.update(changed, if_match=task["meta"]["versionId"])
            closed = True
    return closed


async def _read(pacs: Pacs, row: QuarantineRow) -> Arrival:
    inspection = await inspect_stored(pacs.children, pacs.orthanc, row.orthanc_id, pacs.data_dir)
    aet, _, address = row.source.partition("@")
    origin = Origin(protocol="assigned", aet=aet, address=address, called_aet="")
    return Arrival(inspection, origin, pacs.index.upload(row.orthanc_id), False, None, time.time())
