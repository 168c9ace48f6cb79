"""Gives a study to the patient that an operator names: from quarantine, or from another patient.

Killed anywhere, the same command goes on where it stopped: an unfinished correction is found in the journal.
The files themselves stay as they came, whatever name stands in them; whose they are stands in the rows, in
ImagingStudy and in the metadata.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from imaging.corrections import Correction
from imaging.index import StudyRow
from subscriptions.correct import Outside, given, move, name_again, refuse_signed, withdraw
from subscriptions.errors import NothingToCorrectError, OtherCorrectionError, StudyUnknownError
from subscriptions.release import check_patient, close_task, release


@dataclass(frozen=True)
class Assigned:
    """What was done. `kept`: SOP UID (or Orthanc's id) and why it stays in quarantine."""

    from_ref: str | None
    taken: int
    kept: tuple[tuple[str, str], ...]


async def assign(
    study_uid: str, patient_id: str, *, reason: str, operator: str, outside: Outside
) -> Assigned:
    """Do all of it, or what an earlier run left.

    :raises SubscriptionsError: it cannot be done, and nothing was changed
    """
    pacs, to_ref = outside.pacs, f"Patient/{patient_id}"
    with pacs.corrections.one_at_a_time():
        correction = _unfinished(outside, study_uid, to_ref)
        await check_patient(outside.hapi, patient_id)
        row = pacs.index.study(study_uid)
        if row is None and not pacs.index.quarantined(study_uid):
            raise StudyUnknownError
        is_known = row is not None and row.patient_ref == to_ref and correction is None
        if is_known and not pacs.index.quarantined(study_uid):
            if await close_task(outside.hapi, study_uid, reason):
                return Assigned(None, 0, ())  # all but this was done by a run that was killed
            raise NothingToCorrectError("The study is this patient's already.")
        if row is not None and correction is None and not is_known:
            correction = await _begun(outside, row, to_ref, reason, operator)
        return await _carry_out(outside, study_uid, patient_id, reason, operator, correction)


async def _begun(outside: Outside, row: StudyRow, to_ref: str, reason: str, operator: str) -> Correction:
    await refuse_signed(outside.hapi, [row], "assign")
    for patient in (row.patient_ref, to_ref):
        outside.record(patient, "intent")
    return outside.pacs.corrections.begin(
        "assign",
        row.patient_ref,
        to_ref,
        reason=reason,
        operator=operator,
        at=time.time(),
        study_uids=[row.study_uid],
    )


async def _carry_out(
    outside: Outside,
    study_uid: str,
    patient_id: str,
    reason: str,
    operator: str,
    correction: Correction | None,
) -> Assigned:
    hapi, pacs, to_ref = outside.hapi, outside.pacs, f"Patient/{patient_id}"
    concerned = [to_ref]
    if correction is not None:
        concerned = [correction.from_ref, to_ref]
        await withdraw(hapi, pacs, correction, given(to_ref))
        await move(hapi, pacs, correction)
        await outside.end_access(concerned)
    else:
        outside.record(to_ref, "intent")
        pacs.corrections.note(to_ref, reason=reason, operator=operator, at=time.time(), study_uid=study_uid)
    released = await release(hapi, pacs, study_uid, patient_id)
    await name_again(hapi, pacs, [study_uid], to_ref)
    if not pacs.index.quarantined(study_uid):
        await close_task(hapi, study_uid, reason)
    for patient in concerned:
        outside.record(patient, "outcome")
    if correction is not None:
        pacs.corrections.finish(correction)
    return Assigned(correction.from_ref if correction else None, released.taken, released.kept)


def _unfinished(outside: Outside, study_uid: str, to_ref: str) -> Correction | None:
    """What an earlier run of this very command left; any other one has to be finished first."""
    for correction in outside.pacs.corrections.unfinished():
        studies = outside.pacs.corrections.studies(correction)
        if correction.kind == "deletion" and study_uid not in studies:
            continue  # ingest finishes it by itself
        is_this = correction.kind == "assign" and correction.to_ref == to_ref
        if not is_this or studies != [study_uid]:
            raise OtherCorrectionError(correction.kind, correction.from_ref, correction.to_ref)
        return correction
    return None
