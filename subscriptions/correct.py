"""The steps that a study takes to another patient, in an order that may end anywhere and be gone again.

journal (nobody else touches the study) > one transaction in HAPI, with the Provenance > rows (until here the
record and the rows name two patients, and the study is served to nobody) and metadata > whoever worked with
one of the patients is logged out of it > journal closed. Ingest then publishes the study again, and it is
analysed again. The transaction is known by its Provenance, which names the correction; every other step
changes nothing when it is done twice.
Sources: FHIR R4 http.html (transaction, If-Match), provenance.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from facade.errors import HAPIConflictError
from facade.hapi import HAPIClient
from facade.identify import Identities
from imaging.corrections import Correction
from imaging.identity import BasedOn
from imaging.index import StudyRow
from imaging.patient_module import rewrite
from subscriptions import register
from subscriptions.errors import SignedReportError
from subscriptions.names import ACTIVITY_SYSTEM, CORRECTION_SYSTEM, OPERATOR_SYSTEM
from subscriptions.pacs import Pacs
from subscriptions.results import Results, ask_signers, results_of

ATTEMPTS = 5
"""Somebody may write a report or Task at the same moment; then it is read again."""

ACTIVITY = {"assign": "study-assigned", "merge": "patient-merged", "deletion": "study-deleted"}
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
Resource = dict[str, Any]

Record = Callable[[str, str], None]
"""Makes a durable record for one patient: reference, phase (intent, outcome)."""

EndAccess = Callable[[Sequence[str]], Awaitable[None]]
"""Ends tokens, sessions and launch contexts that are about one of these Patients (references)."""


Changed = Callable[[Resource], Resource]
"""The next version of an ImagingStudy."""


@dataclass(frozen=True)
class Outside:
    """What a correction works with beside its arguments."""

    hapi: HAPIClient
    pacs: Pacs
    record: Record
    end_access: EndAccess


async def refuse_signed(hapi: HAPIClient, studies: Sequence[StudyRow], kind: str) -> None:
    """Raise where a signed report stands in the way, after its signer was asked to withdraw it.

    :raises SignedReportError: it names the reports
    """
    signed: list[Resource] = []
    for row in studies:
        study = await register.find(hapi, row.study_uid)
        if study is not None:
            signed += (await results_of(hapi, study, row.patient_ref)).signed
    await _refuse(hapi, signed, kind)


async def withdraw(hapi: HAPIClient, pacs: Pacs, correction: Correction, changed: Changed) -> None:
    """The one transaction of a correction in HAPI, if it was not done before.

    Signed reports on deleted images stay, and their signers are asked to look at them.

    :raises SignedReportError: a report was signed since; nothing was changed
    """
    study_uids = pacs.corrections.studies(correction)
    for attempt in range(ATTEMPTS):
        found = [await register.find(hapi, uid) for uid in study_uids]
        present = [study for study in found if study is not None]
        is_about_study = correction.kind != "merge" and present
        target = f"ImagingStudy/{present[0]['id']}" if is_about_study else correction.from_ref
        if await _is_recorded(hapi, target, correction):
            return
        results = [await results_of(hapi, study, correction.from_ref) for study in present]
        signed = [part for one in results for part in one.signed]
        if correction.kind == "deletion":
            await ask_signers(hapi, signed, correction.kind)
        else:
            if signed:
                pacs.corrections.cancel(correction)  # nothing of it was written
            await _refuse(hapi, signed, correction.kind)
        try:
            await hapi.transaction(_bundle(correction, results, changed))
            return
        except HAPIConflictError:
            if attempt == ATTEMPTS - 1:
                raise


def given(to_ref: str) -> Changed:
    """An ImagingStudy that is another patient's from now on, until it is published again."""

    def change(study: Resource) -> Resource:
        rest = {name: value for name, value in study.items() if name != "basedOn"}
        return {**rest, "status": "registered", "subject": {"reference": to_ref}}

    return change


async def move(hapi: HAPIClient, pacs: Pacs, correction: Correction) -> None:
    """The rows, and the order that each study belongs to under its new patient."""
    pacs.corrections.move(correction)
    identities = Identities(hapi)
    for uid in pacs.corrections.studies(correction):
        row = pacs.index.study(uid)
        if row is None or row.patient_ref != correction.to_ref:
            continue
        order = await identities.order(row.accession, row.patient_ref)
        if isinstance(order, BasedOn) and order.service_request_ref is not None:
            pacs.index.set_study(uid, based_on=order.service_request_ref)
    await name_again(hapi, pacs, pacs.corrections.studies(correction), correction.to_ref)


async def name_again(hapi: HAPIClient, pacs: Pacs, study_uids: Iterable[str], to_ref: str) -> None:
    """Let the metadata of these studies name their patient, whatever stands in the files."""
    type_, _, id_ = to_ref.partition("/")
    patient = await hapi.read(type_, id_)
    for uid in study_uids:
        rows = [row for row in pacs.index.instances(uid) if row.patient_ref == to_ref and not row.own]
        await asyncio.to_thread(rewrite, pacs.data_dir, rows, patient)


async def _refuse(hapi: HAPIClient, signed: Sequence[Resource], kind: str) -> None:
    reports = await ask_signers(hapi, signed, kind)
    if signed:
        raise SignedReportError([f"{part['resourceType']}/{part['id']}" for part in reports or signed])


async def _is_recorded(hapi: HAPIClient, target: str, correction: Correction) -> bool:
    async for provenance in hapi.search_all("Provenance", (("target", target),)):
        for entity in provenance.get("entity", []):
            identifier = entity.get("what", {}).get("identifier", {})
            if identifier.get("system") == CORRECTION_SYSTEM and identifier.get("value") == correction.id:
                return True
    return False


def _bundle(correction: Correction, results: Sequence[Results], changed: Changed) -> Resource:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    parts = [changed(one.study) for one in results] + [
        part for one in results for part in one.withdrawn(correction.kind, now)
    ]
    entries: list[Resource] = [
        {
            "resource": part,
            "request": {
                "method": "PUT",
                "url": f"{part['resourceType']}/{part['id']}",
                "ifMatch": f'W/"{part["meta"]["versionId"]}"',
            },
        }
        for part in parts
    ]
    entries.append(
        {
            "resource": _provenance(correction, parts, now),
            "request": {"method": "POST", "url": "Provenance"},
        }
    )
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _provenance(correction: Correction, parts: Sequence[Resource], now: str) -> Resource:
    targets = [
        f"{part['resourceType']}/{part['id']}/_history/{int(part['meta']['versionId']) + 1}" for part in parts
    ]
    if correction.kind == "merge" or not targets:
        targets += [ref for ref in (correction.from_ref, correction.to_ref) if ref]
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target} for target in targets],
        "recorded": now,
        "activity": {"coding": [{"system": ACTIVITY_SYSTEM, "code": ACTIVITY[correction.kind]}]},
        "reason": [{"text": correction.reason}],
        "agent": [
            {
                "type": {"coding": [{"system": _PARTICIPANT, "code": "performer"}]},
                "who": {"identifier": {"system": OPERATOR_SYSTEM, "value": correction.operator}},
            }
        ],
        "entity": [
            {
                "role": "source",
                "what": {"identifier": {"system": CORRECTION_SYSTEM, "value": correction.id}},
            }
        ],
    }
