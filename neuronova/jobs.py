"""`neuronova jobs`: dead letters, and how much waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from neuronova.installation import JSON, Installation, of, reported, table
from subscriptions.errors import SubscriptionsError
from subscriptions.lease import Leases
from subscriptions.queue import JobQueue, connect
from subscriptions.settings import SubscriptionsSettings

app = typer.Typer(help="Background work. / 백그라운드 작업", no_args_is_help=True)
IDS = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")]
ALL = Annotated[bool, typer.Option("--all", help="Every dead letter. / 전부")]


@contextmanager
def opened(installation: Installation) -> Iterator[JobQueue]:
    """The queues."""
    installation.use("scheduler")
    settings = SubscriptionsSettings.from_environment()
    connection = connect(settings.redis_url)
    try:
        yield JobQueue(connection, Leases(connection, settings.lease_s))
    finally:
        connection.close()


@app.command("list")
def list_(context: typer.Context, as_json: JSON = False) -> None:
    """List what failed for good, and count what waits. / 실패한 작업 목록"""
    with reported(SubscriptionsError), opened(of(context)) as queue:
        letters, sizes = queue.dead_letters(), queue.sizes()
        if as_json:
            dead = [
                {
                    "id": one.id,
                    "job": one.name,
                    "queue": one.queue,
                    "arguments": list(one.arguments),
                    "failed_at": one.failed_at.isoformat() if one.failed_at else None,
                    "reason": one.reason,
                }
                for one in letters
            ]
            typer.echo(json.dumps({"waiting": sizes, "dead": dead}))
            return
        typer.echo("waiting: " + ", ".join(f"{name} {count}" for name, count in sizes.items()))
        if not letters:
            typer.echo("no dead letters")
            return
        table(
            ("id", "job", "failed at", "reason"),
            [
                (one.id, one.name, f"{one.failed_at:%Y-%m-%d %H:%M:%S}" if one.failed_at else "-", one.reason)
                for one in letters
            ],
        )


@app.command()
def replay(context: typer.Context, ids: IDS = None, every: ALL = False) -> None:
    """Run dead letters again. / 실패한 작업 다시 실행"""
    with reported(SubscriptionsError), opened(of(context)) as queue:
        for job_id in _chosen(queue, ids, every):
            of(context).record("job-replay", "E", job=job_id)
            typer.echo(f"{job_id}: {queue.replay(job_id).value}")


@app.command()
def discard(context: typer.Context, ids: IDS = None, every: ALL = False) -> None:
    """Throw dead letters away. / 실패한 작업 버리기"""
    with reported(SubscriptionsError), opened(of(context)) as queue:
        for job_id in _chosen(queue, ids, every):
            of(context).record("job-discard", "D", job=job_id)
            queue.discard(job_id)
            typer.echo(f"{job_id}: discarded")


def _chosen(queue: JobQueue, ids: list[str] | None, every: bool) -> list[str]:
    if bool(ids) == every:
        raise typer.BadParameter("name ids, or --all")
    return [letter.id for letter in queue.dead_letters()] if every else list(ids or ())
