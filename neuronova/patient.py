"""`neuronova patient`: two records of one person become one."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from imaging.errors import ImagingError
from neuronova.errors import OperatorError
from neuronova.installation import of, operator, reported
from neuronova.outside import opened
from subscriptions import merge as merging
from subscriptions.errors import SubscriptionsError
from subscriptions.merge import Merged

app = typer.Typer(help="Patient records. / 환자 기록", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps the name of the one command."""


@app.command()
def merge(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="Patient/ID of the record that is given up. / 폐기할 기록")],
    kept: Annotated[str, typer.Argument(help="Patient/ID of the record that stays. / 유지할 기록")],
    reason: Annotated[str, typer.Option(help="Why this is certain; it goes into the trail. / 사유")],
) -> None:
    """Merge a patient's second record into the first; its studies go along. / 중복 환자 기록 병합"""
    with reported(ImagingError, SubscriptionsError):
        if not reason.strip():
            raise OperatorError("a reason is needed")
        ids = (old.removeprefix("Patient/"), kept.removeprefix("Patient/"))
        installation = of(context)

        async def run() -> Merged:
            what = [f"Patient/{id_}" for id_ in ids]
            async with opened(installation, "patient-merge", what, reason.strip()) as (outside, registry):
                return await merging.merge(
                    *ids, reason=reason.strip(), operator=operator(), outside=outside, registry=registry
                )

        done = asyncio.run(run())
        typer.echo(
            f"Patient/{ids[0]} is replaced by Patient/{ids[1]}; {len(done.studies)} studies went along"
        )
        for study_uid in done.studies:
            typer.echo(f"  {study_uid}")
