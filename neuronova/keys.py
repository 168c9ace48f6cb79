"""`neuronova keys`: the keys that sign tokens."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from neuronova.installation import JSON, of, reported, table
from smart_auth.key_ring import KeyRing
from smart_auth.keys import Keys
from smart_auth.settings import SMARTAuthSettings

app = typer.Typer(help="Keys that sign tokens. / 토큰 서명 키", no_args_is_help=True)


@app.command("list")
def list_(context: typer.Context, as_json: JSON = False) -> None:
    """List keys and what each one is for now. / 키 목록"""
    with reported():
        rings, _ = _rings(context)
        rows = [
            {
                "name": ring.name,
                "algorithm": ring.algorithm,
                "kid": key.kid,
                "since": key.since,
                "state": state,
            }
            for ring in rings
            for key, state in ring.listed()
        ]
        if as_json:
            typer.echo(json.dumps(rows))
            return
        table(
            ("key", "state", "signs from", "kid"),
            [
                (str(row["name"]), str(row["state"]), _time(int(str(row["since"]))), str(row["kid"]))
                for row in rows
            ],
        )


@app.command()
def rotate(
    context: typer.Context,
    revoke_old: Annotated[
        bool, typer.Option("--revoke-old", help="A key leaked: end it now, with every token. / 즉시 폐기")
    ] = False,
) -> None:
    """Make new keys; published at once, they sign later, and old tokens stay good. / 키 교체

    Running processes follow by themselves. The key of report signatures is not a token key and stays.
    """
    with reported():
        rings, settings = _rings(context)
        of(context).record("keys-rotated", "U", change="revoke-old" if revoke_old else "rotate")
        for ring in rings:
            key = ring.replace() if revoke_old else ring.rotate(publish_s=settings.key_publish_s)
            wait = max(0, key.since - int(time.time()))
            typer.echo(f"{ring.name} {key.kid} signs in {wait} s")


def _rings(context: typer.Context) -> tuple[tuple[KeyRing, KeyRing], SMARTAuthSettings]:
    of(context).use("facade")
    settings = SMARTAuthSettings()
    keys = Keys(settings.keys_dir, keep_s=settings.longest_token_s)
    return (keys.access_ring, keys.id_ring), settings


def _time(since: int) -> str:
    return datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if since else "-"
