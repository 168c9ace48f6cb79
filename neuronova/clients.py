"""`neuronova clients`: apps and back ends that may ask for tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from neuronova.errors import OperatorError
from neuronova.installation import of, reported, table
from neuronova.users import JSON, opened
from smart_auth import clients
from smart_auth.clients import ClientKind
from smart_auth.secret import new_id

app = typer.Typer(help="Apps and back ends. / 앱과 백엔드 클라이언트", no_args_is_help=True)


@app.command()
def register(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Shown when a person is asked for consent. / 이름")],
    scope: Annotated[str, typer.Option(help="The most that it may ever ask for (SMART scopes). / 범위")],
    client_id: Annotated[str | None, typer.Option(help="Chosen by us when left out.")] = None,
    kind: Annotated[str, typer.Option(help="public, confidential or backend / 종류")] = "public",
    redirect_uri: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    jwks: Annotated[Path | None, typer.Option(help="File with the client's public keys (JWKS).")] = None,
    role: Annotated[str | None, typer.Option(help="Role of a back end. / 백엔드의 역할")] = None,
    organization: Annotated[str | None, typer.Option(help="Organization id, for role external")] = None,
    trusted: Annotated[bool, typer.Option("--trusted", help="Our own app: no consent page.")] = False,
    as_json: JSON = False,
) -> None:
    """Register a client; a secret is printed once and never again. / 클라이언트 등록"""
    with reported(), opened(of(context)) as (database, _):
        if kind not in get_args(ClientKind):
            raise OperatorError("a client is public, confidential or backend")
        chosen: ClientKind = next(one for one in get_args(ClientKind) if one == kind)
        client_id = client_id or new_id()
        of(context).record("client-changed", "C", client=client_id, change="register", role=role or "")
        secret = clients.register(
            database,
            client_id,
            kind=chosen,
            name=name,
            scope=scope,
            redirect_uris=redirect_uri or (),
            jwks=_keys(jwks),
            role=role,
            organization=organization,
            trusted=trusted,
        )
        _show(client_id, secret, as_json)


@app.command("list")
def list_(context: typer.Context, as_json: JSON = False) -> None:
    """List clients. / 클라이언트 목록"""
    with reported(), opened(of(context)) as (database, _):
        found = clients.listed(database)
        if as_json:
            shown = ("id", "name", "kind", "role", "organization", "status", "scope")
            typer.echo(json.dumps([{field: getattr(one, field) for field in shown} for one in found]))
            return
        table(
            ("client", "kind", "role", "state", "name", "scope"),
            [(one.id, one.kind, one.role or "-", one.status, one.name, one.scope) for one in found],
        )


@app.command()
def disable(
    context: typer.Context,
    client_id: str,
    enable: Annotated[bool, typer.Option("--enable", help="Take it back. / 다시 사용")] = False,
) -> None:
    """Disable a client; its tokens end within a second. / 사용 중지"""
    with reported(), opened(of(context)) as (database, _):
        of(context).record("client-changed", "U", client=client_id, change="enable" if enable else "disable")
        clients.set_disabled(database, client_id, disabled=not enable)
        typer.echo(f"{client_id} is {'active' if enable else 'disabled'}")


@app.command("rotate-secret")
def rotate_secret(
    context: typer.Context,
    client_id: str,
    jwks: Annotated[Path | None, typer.Option(help="File with the new public keys of a back end.")] = None,
    as_json: JSON = False,
) -> None:
    """Give a new secret, or take new public keys; the old ones end at once. / 비밀 교체"""
    with reported(), opened(of(context)) as (database, _):
        of(context).record("client-changed", "U", client=client_id, change="rotate-secret")
        _show(client_id, clients.rotate(database, client_id, jwks=_keys(jwks)), as_json)


def _keys(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        keys: Any = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise OperatorError(f"{path} is not JSON") from error
    if not isinstance(keys, dict):
        raise OperatorError(f"{path} is not a JWKS")
    return keys


def _show(client_id: str, secret: str | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"client_id": client_id} | ({"client_secret": secret} if secret else {})))
        return
    typer.echo(f"client {client_id}")
    if secret:
        typer.echo(f"secret {secret}   (shown once)")
