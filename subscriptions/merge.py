"""Merges one patient record into another of the same person: the studies and their orders go along.

The old Patient becomes inactive and `replaced-by` the other one, which `replaces` it (FHIR R4 Patient.link).
An imaging order that is open, or that a study belongs to, is written anew for the patient who stays
(ServiceRequest.replaces) and the old one is entered in error, so that OpenEMR closes the one and shows the
other. Everything else of the old record stays where it is and is found by the link.
Source: FHIR R4 patient.html, "Linking Patients" and "Merging records".
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facade.errors import HAPIConflictError, HAPIGoneError, HAPINotFoundError
from facade.hapi import HAPIClient
from imaging.corrections import Correction
from subscriptions.correct import ATTEMPTS, Outside, given, move, refuse_signed, withdraw
from subscriptions.errors import NothingToCorrectError, OtherCorrectionError, PatientUnfitError
from subscriptions.names import CORRECTION_SYSTEM
from subscriptions.release import check_patient

IMAGING = "http://snomed.info/sct|363679005"
_OPEN = frozenset({"draft", "active", "on-hold"})
# These point into the record of the patient who goes.
_OF_THE_OLD = frozenset({"id", "meta", "text", "encounter", "basedOn", "insurance", "supportingInfo"}) | {
    "specimen",
    "reasonReference",
    "relevantHistory",
}
Resource = dict[str, Any]


@dataclass(frozen=True)
class Merged:
    """What went along."""

    studies: tuple[str, ...]


async def merge(
    old_id: str, kept_id: str, *, reason: str, operator: str, outside: Outside, registry: HAPIClient
) -> Merged:
    """Do all of it, or what an earlier run left. `registry`: HAPI that lets patients and orders be written.

    :raises SubscriptionsError: it cannot be done, and nothing was changed
    """
    old, kept, pacs = f"Patient/{old_id}", f"Patient/{kept_id}", outside.pacs
    if old == kept:
        raise NothingToCorrectError("These are one and the same record.")
    with pacs.corrections.one_at_a_time():
        correction = _unfinished(outside, old, kept)
        await check_patient(outside.hapi, kept_id)
        if correction is None:
            await _check_old(registry, old_id, kept)
            studies = [study for study in pacs.index.studies() if study.patient_ref == old]
            await refuse_signed(outside.hapi, studies, "merge")
            for patient in (old, kept):
                outside.record(patient, "intent")
            correction = pacs.corrections.begin(
                "merge",
                old,
                kept,
                reason=reason,
                operator=operator,
                at=time.time(),
                study_uids=[study.study_uid for study in studies],
            )
        await withdraw(outside.hapi, pacs, correction, given(kept))
        await _link(registry, correction, await _based_on(outside, correction))
        await move(outside.hapi, pacs, correction)
        await outside.end_access([old, kept])
        for patient in (old, kept):
            outside.record(patient, "outcome")
        pacs.corrections.finish(correction)
        return Merged(tuple(pacs.corrections.studies(correction)))


async def _check_old(registry: HAPIClient, old_id: str, kept: str) -> None:
    try:
        patient = await registry.read("Patient", old_id)
    except (HAPINotFoundError, HAPIGoneError):
        raise PatientUnfitError("There is no such Patient.") from None
    links = [link for link in patient.get("link", []) if link.get("type") == "replaced-by"]
    if any(link["other"].get("reference") == kept for link in links):
        raise NothingToCorrectError("This record was merged into that one already.")
    if links:
        raise PatientUnfitError("This Patient was merged into another one already.")


def _unfinished(outside: Outside, old: str, kept: str) -> Correction | None:
    for correction in outside.pacs.corrections.unfinished():
        if correction.kind == "deletion":
            continue
        if (correction.kind, correction.from_ref, correction.to_ref) != ("merge", old, kept):
            raise OtherCorrectionError(correction.kind, correction.from_ref, correction.to_ref)
        return correction
    return None


async def _based_on(outside: Outside, correction: Correction) -> set[str]:
    """The orders that the studies belong to, as the rows say it until they are moved."""
    rows = [outside.pacs.index.study(uid) for uid in outside.pacs.corrections.studies(correction)]
    return {row.based_on for row in rows if row is not None and row.based_on is not None}


async def _link(registry: HAPIClient, correction: Correction, based_on: set[str]) -> None:
    """One transaction: the two Patients, and the orders that go along."""
    for attempt in range(ATTEMPTS):
        old = await registry.read(*_parts(correction.from_ref))
        kept = await registry.read(*_parts(correction.to_ref))
        changed = [
            _linked(old | {"active": False}, "replaced-by", correction.to_ref),
            _linked(kept, "replaces", correction.from_ref),
        ]
        entries = [_put(new) for new, before in zip(changed, (old, kept), strict=True) if new != before]
        params = (("subject", correction.from_ref), ("category", IMAGING))
        async for order in registry.search_all("ServiceRequest", params):
            reference = f"ServiceRequest/{order['id']}"
            if order["status"] in _OPEN or (reference in based_on and order["status"] == "completed"):
                entries += _renewed(order, correction)
        if not entries:
            return
        try:
            await registry.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
            return
        except HAPIConflictError:
            if attempt == ATTEMPTS - 1:
                raise


def _renewed(order: Resource, correction: Correction) -> list[Resource]:
    """The order for the patient who stays, and the old one entered in error."""
    number = f"{correction.id}/{order['id']}"
    new = {name: value for name, value in order.items() if name not in _OF_THE_OLD} | {
        "status": order["status"] if order["status"] in _OPEN else "active",
        "subject": {"reference": correction.to_ref},
        "replaces": [*order.get("replaces", []), {"reference": f"ServiceRequest/{order['id']}"}],
        "identifier": [*order.get("identifier", []), {"system": CORRECTION_SYSTEM, "value": number}],
    }
    create = {
        "method": "POST",
        "url": "ServiceRequest",
        "ifNoneExist": f"identifier={CORRECTION_SYSTEM}|{number}",
    }
    return [{"resource": new, "request": create}, _put({**order, "status": "entered-in-error"})]


def _linked(patient: Resource, type_: str, reference: str) -> Resource:
    links: Sequence[Resource] = patient.get("link", [])
    if any(link.get("type") == type_ and link["other"].get("reference") == reference for link in links):
        return patient
    return {**patient, "link": [*links, {"other": {"reference": reference}, "type": type_}]}


def _put(resource: Resource) -> Resource:
    return {
        "resource": resource,
        "request": {
            "method": "PUT",
            "url": f"{resource['resourceType']}/{resource['id']}",
            "ifMatch": f'W/"{resource["meta"]["versionId"]}"',
        },
    }


def _parts(reference: str) -> tuple[str, str]:
    type_, _, id_ = reference.partition("/")
    return type_, id_
