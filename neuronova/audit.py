"""`neuronova audit`: is the trail whole, and how far is it behind."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from facade.audit.settings import AuditSettings
from facade.audit.state import StateDir
from facade.audit.verify import VerifyReport, verify
from facade.hapi import HAPIClient
from neuronova.errors import OperatorError
from neuronova.installation import of, reported
from neuronova.users import JSON

app = typer.Typer(help="The audit trail. / 감사 기록", no_args_is_help=True)
_STALE_S = 30  # the shipper publishes every second


@app.command("verify")
def verify_(context: typer.Context, as_json: JSON = False) -> None:
    """Check hashes, chain, signatures, gaps, anchors and tail; 1 on a break. / 감사 기록 검증"""
    with reported():
        of(context).use("audit-shipper")
        settings = AuditSettings()
        of(context).record("audit-read", "R")
        report = asyncio.run(_verify(settings))
        found = report.first_break
        if as_json:
            typer.echo(
                json.dumps(
                    {
                        "whole": report.is_whole,
                        "events": report.events,
                        "anchors": report.anchors,
                        "head": report.head,
                        "first_break": None
                        if found is None
                        else {"kind": found.kind, "event": found.event, "what": found.what},
                    }
                )
            )
        elif found is None:
            typer.echo(f"the trail is whole: {report.events} events, {report.anchors} anchors")
        else:
            typer.echo(f"the trail is broken after {report.events} good events: {found.kind}: {found.what}")
    if found is not None:
        raise typer.Exit(1)


async def _verify(settings: AuditSettings) -> VerifyReport:
    async with HAPIClient(
        settings.hapi_url,
        settings.hapi_secret.get_secret_value(),
        timeout_s=settings.timeout_s,
        connections=2,
    ) as hapi:
        return await verify(hapi, settings.state_dir, settings.key)


@app.command()
def status(
    context: typer.Context,
    as_json: JSON = False,
    most_s: Annotated[float, typer.Option(help="Older waiting records make the exit code 1.")] = 300,
) -> None:
    """Backlog and drain rate of the shipper. / 감사 기록 전송 상태"""
    with reported():
        of(context).use("audit-shipper")
        published = StateDir(AuditSettings().state_dir).status()
        if published is None:
            raise OperatorError("the audit shipper has never run here", do="run `make up`")
        age_s = (datetime.now(UTC) - datetime.fromisoformat(published["at"])).total_seconds()
        if as_json:
            typer.echo(json.dumps(published | {"age_s": round(age_s, 1)}))
        else:
            for name, value in published.items():
                typer.echo(f"{name:<20} {value if value is not None else '-'}")
        if age_s > _STALE_S:
            raise OperatorError(f"the audit shipper has not reported for {age_s:.0f} s", do="see its log")
    if published["oldest_s"] > most_s:
        raise typer.Exit(1)
