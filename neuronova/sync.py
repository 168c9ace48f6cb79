"""`neuronova sync`: how OpenEMR's tables stand."""

from __future__ import annotations

import json

import typer
from sqlalchemy import column, func, select
from sqlalchemy import table as sql_table

from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.errors import OpenEMRError
from mappers.openemr.settings import OpenEMRSettings
from mappers.openemr.tables import CROSS_REFERENCE
from neuronova import jobs
from neuronova.installation import JSON, of, reported, table
from subscriptions.catalogue import OPENEMR
from subscriptions.errors import SubscriptionsError

app = typer.Typer(help="Synchronisation with OpenEMR. / OpenEMR 동기화", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Synchronisation with OpenEMR."""


@app.command()
def status(context: typer.Context, as_json: JSON = False) -> None:
    """What was written for which kind of resource, what waits and what failed. / 동기화 상태"""
    with reported(OpenEMRError, SubscriptionsError):
        with jobs.opened(of(context)) as queue:
            waiting = queue.sizes()[OPENEMR]
            dead = sum(letter.queue == OPENEMR for letter in queue.dead_letters())
        of(context).use("worker-openemr")
        written = _written()
        if as_json:
            typer.echo(json.dumps({"waiting": waiting, "dead": dead, "written": written}))
            return
        typer.echo(f"waiting {waiting}, dead letters {dead}")
        table(
            ("resource", "resources", "rows", "last written (UTC)"),
            [
                (name, str(one["resources"]), str(one["rows"]), str(one["last"]))
                for name, one in written.items()
            ],
        )


def _written() -> dict[str, dict[str, int | str | None]]:
    with OpenEMRDatabase(OpenEMRSettings()) as database, database.reading() as connection:
        links = sql_table(
            CROSS_REFERENCE,
            *(column(name) for name in ("resource_type", "resource_id", "applied_at")),
            schema=database.sync_schema,
        )
        rows = connection.execute(
            select(
                links.c.resource_type,
                func.count(func.distinct(links.c.resource_id)),
                func.count(),
                func.max(links.c.applied_at),
            )
            .group_by(links.c.resource_type)
            .order_by(links.c.resource_type)
        )
        return {
            str(row[0]): {
                "resources": int(row[1]),
                "rows": int(row[2]),
                "last": row[3].isoformat(sep=" ", timespec="milliseconds") if row[3] else None,
            }
            for row in rows
        }
