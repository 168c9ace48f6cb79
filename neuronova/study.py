"""`neuronova study`: what is stored, what is in quarantine, whose it is, and whether every pixel is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from imaging.errors import ChildDiedError, DICOMError, ImagingError, OrthancNotFoundError
from imaging.fetched import fetched
from imaging.frames import HTJ2K_LOSSLESS_RPCL
from imaging.index import InstanceRow, StudyRow
from imaging.pipeline import Counts
from imaging.restore import Restored
from imaging.settings import ImagingSettings
from neuronova.errors import OperatorError
from neuronova.installation import JSON, Installation, of, operator, reported, table
from neuronova.outside import opened
from subscriptions import assign as assigning
from subscriptions.assign import Assigned
from subscriptions.errors import SubscriptionsError
from subscriptions.pacs import Pacs, open_pacs

AS_RECEIVED = "as received"
UNFINISHED = "being corrected; if nobody is at it, run the same command again"

app = typer.Typer(help="Imaging studies. / 영상 검사", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    quarantined: Annotated[
        bool, typer.Option("--quarantine", help="Only what is set aside. / 격리된 것만")
    ] = False,
    as_json: JSON = False,
) -> None:
    """List studies and what is in quarantine: UIDs and reasons, no names. / 검사 목록"""
    with reported(ImagingError):
        of(context).use("ingest")
        rows = asyncio.run(_list(quarantined))
        if as_json:
            typer.echo(json.dumps(rows))
            return
        head = ("study", "state", "patient", "instances", "note")
        table(head, [[str(row[name]) for name in head] for row in rows])


def _outcomes(instances: list[InstanceRow]) -> str:
    kept = sum(one.outcome == "kept" for one in instances)
    pending = sum(one.outcome == "pending" for one in instances)
    return f"{pending} pending, {kept} kept as they came" if pending or kept else ""


async def _list(only_quarantined: bool) -> list[dict[str, str | int]]:
    async with open_pacs(ImagingSettings(), children=1) as pacs:
        rows: list[dict[str, str | int]] = []
        for study in [] if only_quarantined else pacs.index.studies():
            instances = pacs.index.instances(study.study_uid)
            is_corrected = pacs.corrections.is_under_way(study.study_uid)
            rows.append(
                {
                    "study": study.study_uid,
                    "state": study.state,
                    "patient": study.patient_ref,
                    "instances": len(instances),
                    "note": UNFINISHED if is_corrected else _outcomes(instances),
                }
            )
        aside: dict[str, list[str]] = {}
        for row in pacs.index.quarantined():
            aside.setdefault(row.study_uid or row.orthanc_id, []).append(row.code)
        for uid, codes in aside.items():
            rows.append(
                {
                    "study": uid,
                    "state": "quarantine",
                    "patient": "-",
                    "instances": len(codes),
                    "note": ", ".join(sorted(set(codes))),
                }
            )
        return rows


@app.command()
def assign(
    context: typer.Context,
    study_uid: str,
    patient: Annotated[str, typer.Argument(help="Patient/ID")],
    reason: Annotated[str, typer.Option(help="Why this is certain; it goes into the trail. / 사유")],
) -> None:
    """Give a study to a patient: from quarantine, or from another patient. / 검사를 환자에게 배정"""
    with reported(ImagingError, SubscriptionsError):
        patient_id = patient.removeprefix("Patient/")
        done = asyncio.run(_assign(of(context), study_uid, patient_id, _given(reason)))
        for uid, why in done.kept:
            typer.echo(f"stays in quarantine: {uid}: {why}")
        if done.from_ref is not None:
            typer.echo(f"the study was {done.from_ref}'s and is Patient/{patient_id}'s; it is analysed again")
        typer.echo(f"{done.taken} instances taken in for Patient/{patient_id}")
        if done.kept:
            raise OperatorError(f"{len(done.kept)} instances stay in quarantine")


async def _assign(installation: Installation, study_uid: str, patient_id: str, reason: str) -> Assigned:
    async with opened(installation, "study-assign", [f"urn:oid:{study_uid}"], reason) as (outside, _):
        return await assigning.assign(
            study_uid, patient_id, reason=reason, operator=operator(), outside=outside
        )


@app.command()
def verify(
    context: typer.Context,
    study_uid: Annotated[str | None, typer.Argument(help="All studies when left out.")] = None,
    as_json: JSON = False,
) -> None:
    """Decode every stored instance with the second decoder and compare its pixels with the recorded digest.
    Nothing is changed; ends with 1 if any instance differs. / 픽셀 검증"""
    with reported(ImagingError):
        of(context).use("ingest")
        rows = asyncio.run(_verify(study_uid))
        if as_json:
            typer.echo(json.dumps(rows))
        else:
            head = ("instance", "stored", "result")
            table(head, [[row[name] for name in head] for row in rows])
        bad = sum(row["result"] != AS_RECEIVED for row in rows)
        typer.echo(f"{len(rows) - bad} instances are as they were received, {bad} are not", err=as_json)
        if bad:
            raise typer.Exit(1)


async def _verify(study_uid: str | None) -> list[dict[str, str]]:
    async with open_pacs(ImagingSettings()) as pacs:
        return [
            {
                "study": uid,
                "instance": row.sop_uid,
                "stored": row.transfer_syntax,
                "result": await _compared(pacs, row),
            }
            for uid in _asked(pacs, study_uid)
            for row in pacs.index.instances(uid)
        ]


async def _compared(pacs: Pacs, row: InstanceRow) -> str:
    try:
        async with fetched(pacs.orthanc, row.orthanc_id, pacs.data_dir) as path:
            digest = await pacs.children.second_digest(path)
    except OrthancNotFoundError:
        return "not in Orthanc"
    except (DICOMError, ChildDiedError) as error:
        return f"cannot be read: {error}"
    return AS_RECEIVED if digest == row.digest else "other pixels"


def _asked(pacs: Pacs, study_uid: str | None) -> list[str]:
    """The study of this UID, or all of them."""
    if study_uid is None:
        return [study.study_uid for study in pacs.index.studies()]
    return [_known(pacs, study_uid).study_uid]


@app.command()
def transcode(
    context: typer.Context,
    study_uid: str,
    reason: Annotated[str, typer.Option(help="Why; it goes into the trail. / 사유")],
) -> None:
    """Put what is not stored as HTJ2K (kept or restored) through the conversion again. / HTJ2K 변환 다시 실행

    What cannot be converted stays as it is, with the reason. A study is `registered` meanwhile; the workers
    end what a killed command leaves.
    """
    with reported(ImagingError):
        done = asyncio.run(_transcode(of(context), study_uid, _given(reason)))
        typer.echo(f"{done.done} converted, {done.kept} kept as they are, {done.not_applicable} without need")
        if done.busy:
            typer.echo(f"{done.busy} are being converted by a worker")


async def _transcode(installation: Installation, study_uid: str, reason: str) -> Counts:
    installation.use("ingest")
    async with open_pacs(ImagingSettings()) as pacs:
        async with _recorded(installation, pacs, "study-transcode", study_uid, reason) as outcome:
            pacs.index.reopen(study_uid, HTJ2K_LOSSLESS_RPCL)
            done = await pacs.pipeline.transcode_study(study_uid)
            outcome["instances"] = str(done.done)
        return done


@app.command()
def restore(
    context: typer.Context,
    study_uid: str,
    reason: Annotated[str, typer.Option(help="Why; it goes into the trail. / 사유")],
) -> None:
    """Put a converted study back: its original bytes while they are kept, else Explicit VR Little Endian with
    the recorded pixels. Each instance is replaced whole or not at all; run it again after a kill. / 원본 복원
    """
    with reported(ImagingError):
        done = asyncio.run(_restore(of(context), study_uid, _given(reason)))
        for uid, why in done.failed:
            typer.echo(f"stays as it is: {uid}: {why}")
        typer.echo(
            f"{done.originals} with their original bytes, {done.explicit} as Explicit VR Little Endian"
        )
        if done.failed:
            raise OperatorError(f"{len(done.failed)} instances stay as they are")


async def _restore(installation: Installation, study_uid: str, reason: str) -> Restored:
    installation.use("ingest")
    async with open_pacs(ImagingSettings()) as pacs:
        async with _recorded(installation, pacs, "study-restore", study_uid, reason) as outcome:
            done = await pacs.restorer.restore_study(study_uid)
            outcome["instances"] = str(done.originals + done.explicit)
            outcome["failed"] = str(len(done.failed))
        return done


@asynccontextmanager
async def _recorded(
    installation: Installation, pacs: Pacs, kind: str, study_uid: str, reason: str
) -> AsyncIterator[dict[str, str]]:
    """An intent in the trail before the work, and an outcome after it."""
    patient, what = _known(pacs, study_uid).patient_ref, [f"urn:oid:{study_uid}"]
    installation.record(kind, "U", what=what, patient=patient, reason=reason, phase="intent")
    outcome: dict[str, str] = {}
    yield outcome
    installation.record(kind, "U", what=what, patient=patient, phase="outcome", **outcome)


def _known(pacs: Pacs, study_uid: str) -> StudyRow:
    study = pacs.index.study(study_uid)
    if study is None:
        raise OperatorError("there is no such study")
    return study


def _given(reason: str) -> str:
    if not reason.strip():
        raise OperatorError("a reason is needed")
    return reason.strip()
