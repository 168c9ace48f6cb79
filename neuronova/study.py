"""`neuronova study`: what is stored, what is in quarantine, whose it is, and whether every pixel is there."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from imaging.errors import ChildDiedError, DICOMError, ImagingError, OrthancNotFoundError
from imaging.settings import ImagingSettings
from neuronova.errors import OperatorError
from neuronova.installation import Installation, of, operator, reported, table
from neuronova.outside import opened
from neuronova.users import JSON
from subscriptions import assign as assigning
from subscriptions.assign import Assigned
from subscriptions.errors import SubscriptionsError
from subscriptions.pacs import Pacs, open_pacs

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
    """Give a study to a patient: from quarantine, or from another patient. / 검사를 환자에게 배정"""
    with reported(ImagingError, SubscriptionsError):
        if not reason.strip():
            raise OperatorError("a reason is needed")
        patient_id = patient.removeprefix("Patient/")
        done = asyncio.run(_assign(of(context), study_uid, patient_id, reason.strip()))
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
