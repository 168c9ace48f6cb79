"""`neuronova audit`: is the trail whole, what is in it, and how far is it behind."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from facade.audit.retention import Removed
from facade.audit.retention import retire as remove_old
from facade.audit.search import Question, find, summary
from facade.audit.settings import AuditSettings
from facade.audit.state import StateDir
from facade.audit.verify import VerifyReport, verify
from facade.hapi import HAPIClient
from neuronova.errors import OperatorError
from neuronova.installation import JSON, of, reported, table

app = typer.Typer(help="The audit trail. / 감사 기록", no_args_is_help=True)
_STALE_S = 30  # the shipper publishes every second
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?")
_SHOWN = (
    "recorded",
    "action",
    "interaction",
    "outcome",
    "user",
    "role",
    "client",
    "address",
    "patient",
    "request",
)

Patient = Annotated[str | None, typer.Option(help="Patient/ID whose record was looked at.")]
User = Annotated[str | None, typer.Option(help="Practitioner/ID, a login's id, or a client id.")]
Since = Annotated[str | None, typer.Option(help="From this date or instant on (2026-01-31T09:00:00+09:00).")]
Until = Annotated[str | None, typer.Option(help="Before this date or instant.")]
Action = Annotated[str | None, typer.Option(help="C, R, U, D or E.")]
Request = Annotated[str | None, typer.Option("--request", help="A request id.")]
Token = Annotated[str | None, typer.Option(help="A token's id (jti).")]
Refused = Annotated[bool, typer.Option("--refused", help="Only what did not succeed.")]


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
    async with _hapi(settings) as hapi:
        return await verify(hapi, settings.state_dir, settings.key)


@asynccontextmanager
async def _hapi(settings: AuditSettings) -> AsyncIterator[HAPIClient]:
    async with HAPIClient(
        settings.hapi_url,
        settings.hapi_secret.get_secret_value(),
        timeout_s=settings.timeout_s,
        connections=2,
    ) as hapi:
        yield hapi


def _question(
    patient: Patient = None,
    user: User = None,
    since: Since = None,
    until: Until = None,
    action: Action = None,
    request: Request = None,
    token: Token = None,
    refused: Refused = False,
) -> Question:
    for instant in (since, until):
        if instant is not None and not _INSTANT.fullmatch(instant):
            raise OperatorError(
                f"{instant} is no date or instant", do="write 2026-01-31 or 2026-01-31T09:00:00Z"
            )
    if action is not None and action not in ("C", "R", "U", "D", "E"):
        raise OperatorError(f"{action} is no action", do="choose C, R, U, D or E")
    if patient is not None and not patient.startswith("Patient/"):
        raise OperatorError("a patient is named as Patient/ID")
    return Question(patient, user, since, until, action, request, token, refused)


def _asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a question, in the place of its parameter `question`."""
    options = inspect.signature(_question, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    parameters = {**{name: own[name] for name in own if name != "question"}, **options}

    @functools.wraps(command)
    def run(**given: Any) -> None:
        with reported():
            question = _question(**{name: given.pop(name) for name in options})
            command(question=question, **given)

    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return run


@app.command()
@_asks
def search(context: typer.Context, question: Question, as_json: JSON = False) -> None:
    """Who did what, when and to whose record; oldest first. / 감사 기록 검색"""
    rows = asyncio.run(_rows(_recorded(context, question, "search"), question))
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        table(_SHOWN, [[row[name] or "-" for name in _SHOWN] for row in rows])


@app.command()
@_asks
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that does not exist yet.")],
    question: Question,
) -> None:
    """Write AuditEvents as NDJSON, seals included; no condition: all of it. / 감사 기록 내보내기"""
    settings = _recorded(context, question, "export")
    typer.echo(f"{asyncio.run(_export(settings, question, file))} events")


def _recorded(context: typer.Context, question: Question, how: str) -> AuditSettings:
    """The settings, after it is on record who reads the trail, and what of it."""
    of(context).use("audit-shipper")
    asked = {f"asked_{name}": str(value) for name, value in vars(question).items() if value}
    of(context).record("audit-read", "R", patient=question.patient, how=how, **asked)
    return AuditSettings()


async def _rows(settings: AuditSettings, question: Question) -> list[dict[str, str]]:
    async with _hapi(settings) as hapi:
        return [summary(event) async for event in find(hapi, question)]


async def _export(settings: AuditSettings, question: Question, file: Path) -> int:
    """Private, never over another file, durable at the end."""
    written = 0
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        async with _hapi(settings) as hapi:
            async for event in find(hapi, question):
                out.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                written += 1
        out.flush()
        os.fsync(out.fileno())
    return written


@app.command()
def retire(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where it is exported to; does not exist yet.")],
) -> None:
    """Export and remove what is older than DEPLOY_AUDIT_KEEP_DAYS. / 기한 지난 기록 내보내고 삭제"""
    with reported():
        installation = of(context)
        installation.use("audit-shipper")
        settings = AuditSettings()
        if not settings.keep_days:
            raise OperatorError("events are kept for ever", do="set DEPLOY_AUDIT_KEEP_DAYS and run `make up`")
        before = datetime.now(UTC) - timedelta(days=settings.keep_days)
        installation.record("audit-retire", "D", before=before.isoformat(timespec="seconds"))
        # No program has this secret in its variables.
        secret = (installation.var / "secrets" / "hapi-retention").read_text().strip()
        removed = asyncio.run(_retire(settings, secret, before, file))
        typer.echo(f"{removed.events} events removed; the trail goes on behind number {removed.checkpoint}")


async def _retire(settings: AuditSettings, secret: str, before: datetime, file: Path) -> Removed:
    async with HAPIClient(settings.hapi_url, secret, timeout_s=settings.timeout_s, connections=2) as hapi:
        return await remove_old(hapi, settings.state_dir, settings.key, before=before, export=file)


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
