"""`neuronova study`: what is stored, what is in quarantine, whose it is, and whether every pixel is there."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from facade.hapi import HAPIClient
from imaging.errors import ChildDiedError, DICOMError, ImagingError, OrthancNotFoundError
from imaging.settings import ImagingSettings
from neuronova.errors import OperatorError
from neuronova.installation import Installation, of, reported, table
from neuronova.users import JSON
from subscriptions.errors import SubscriptionsError
from subscriptions.pacs import Pacs, open_pacs
from subscriptions.release import Released, check_patient, close_task, release
from subscriptions.settings import SubscriptionsSettings

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


async def _list(only_quarantined: bool) -> list[dict[str, str | int]]:
    async with open_pacs(ImagingSettings(), children=1) as pacs:
        rows: list[dict[str, str | int]] = []
        for study in [] if only_quarantined else pacs.index.studies():
            instances = pacs.index.instances(study.study_uid)
            kept = sum(one.outcome == "kept" for one in instances)
            pending = sum(one.outcome == "pending" for one in instances)
            rows.append(
                {
                    "study": study.study_uid,
                    "state": study.state,
                    "patient": study.patient_ref,
                    "instances": len(instances),
                    "note": f"{pending} pending, {kept} kept as they came" if pending or kept else "",
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
    """Release a study from quarantine to a patient. / 격리 해제 후 환자에게 배정"""
    with reported(ImagingError, SubscriptionsError):
        if not reason.strip():
            raise OperatorError("a reason is needed")
        patient_id = patient.removeprefix("Patient/")
        done = asyncio.run(_assign(of(context), study_uid, patient_id, reason.strip()))
        for uid, why in done.kept:
            typer.echo(f"stays in quarantine: {uid}: {why}")
        typer.echo(f"{done.taken} instances taken in for Patient/{patient_id}")
        if done.kept:
            raise OperatorError(f"{len(done.kept)} instances stay in quarantine")


async def _assign(installation: Installation, study_uid: str, patient_id: str, reason: str) -> Released:
    installation.use("ingest")
    settings = SubscriptionsSettings.from_environment()
    async with (
        HAPIClient(settings.hapi_url, settings.hapi_secret.get_secret_value(), connections=2) as hapi,
        open_pacs(ImagingSettings()) as pacs,
    ):
        await check_patient(hapi, patient_id)
        if not pacs.index.quarantined(study_uid) and pacs.index.study(study_uid) is None:
            raise OperatorError("no study with this UID is in quarantine")
        what, whose = [f"urn:oid:{study_uid}"], f"Patient/{patient_id}"
        installation.record("study-assign", "U", what=what, patient=whose, reason=reason, phase="intent")
        done = await release(hapi, pacs, study_uid, patient_id)
        if not pacs.index.quarantined(study_uid):
            await close_task(hapi, study_uid, reason)
        installation.record(
            "study-assign", "U", what=what, patient=whose, phase="outcome", instances=str(done.taken)
        )
        return done


@app.command()
def verify(
    context: typer.Context,
    study_uid: Annotated[str | None, typer.Argument(help="All studies when left out.")] = None,
) -> None:
    """Read every stored instance again and compare its pixels with the recorded digest. / 픽셀 검증"""
    with reported(ImagingError):
        of(context).use("ingest")
        good, bad = asyncio.run(_verify(study_uid))
        for line in bad:
            typer.echo(line)
        typer.echo(f"{good} instances are as they were received, {len(bad)} are not")
        if bad:
            raise typer.Exit(1)


async def _verify(study_uid: str | None) -> tuple[int, list[str]]:
    async with open_pacs(ImagingSettings()) as pacs:
        uids = [study.study_uid for study in pacs.index.studies()] if study_uid is None else [study_uid]
        if study_uid is not None and pacs.index.study(study_uid) is None:
            raise OperatorError("there is no such study")
        good, bad = 0, []
        for uid in uids:
            for row in pacs.index.instances(uid):
                wrong = await _difference(pacs, row.orthanc_id, row.digest)
                if wrong is None:
                    good += 1
                else:
                    bad.append(f"{row.sop_uid}: {wrong}")
        return good, bad


async def _difference(pacs: Pacs, orthanc_id: str, digest: str) -> str | None:
    try:
        found = await pacs.children.inspect(await pacs.orthanc.file(orthanc_id))
    except OrthancNotFoundError:
        return "not in Orthanc"
    except (DICOMError, ChildDiedError) as error:
        return f"cannot be read: {error}"
    return None if found.digest == digest else "other pixels"
