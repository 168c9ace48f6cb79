"""`neuronova clients`: apps and back ends that may ask for tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from neuronova.errors import OperatorError
from neuronova.installation import JSON, of, reported, table
from neuronova.users import opened
from smart_auth import clients
from smart_auth.clients import ClientKind
from smart_auth.secret import new_id

app = typer.Typer(help="Apps and back ends. / 앱과 백엔드 클라이언트", no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(help="As `clients list` shows it. / 클라이언트 ID")]
Uris = list[str] | None
RedirectUri = Annotated[Uris, typer.Option(help="May be given several times.")]
LogoutUri = Annotated[Uris, typer.Option(help="Where the browser may go after a logout; several times.")]
CorsOrigin = Annotated[Uris, typer.Option(help="Origin of a browser app, https://host; several times.")]
Contact = Annotated[Uris, typer.Option(help="Who answers for the app; several times. / 연락처")]
LaunchUri = Annotated[str | None, typer.Option(help="Where a launch from the EHR begins.")]
JWKSFile = Annotated[Path | None, typer.Option("--jwks", help="File with the client's public keys (JWKS).")]
JWKSUri = Annotated[str | None, typer.Option(help="https address of the client's public keys.")]
Role = Annotated[str | None, typer.Option(help="Role of a back end. / 백엔드의 역할")]
Organization = Annotated[str | None, typer.Option(help="Organization id, for role external")]


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Shown when a person is asked for consent. / 이름")],
    scope: Annotated[str, typer.Option(help="The most that it may ever ask for (SMART scopes). / 범위")],
    client_id: Annotated[str | None, typer.Option(help="Chosen by us when left out.")] = None,
    kind: Annotated[str, typer.Option(help="public, confidential or backend / 종류")] = "public",
    redirect_uri: RedirectUri = None,
    post_logout_redirect_uri: LogoutUri = None,
    cors_origin: CorsOrigin = None,
    contact: Contact = None,
    launch_uri: LaunchUri = None,
    jwks: JWKSFile = None,
    jwks_uri: JWKSUri = None,
    role: Role = None,
    organization: Organization = None,
    trusted: Annotated[bool, typer.Option("--trusted", help="Our own app: no consent page.")] = False,
    as_json: JSON = False,
) -> None:
    """Register a client; a secret is printed once and never again. / 클라이언트 등록"""
    with reported(), opened(of(context)) as (database, settings):
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
            post_logout_redirect_uris=post_logout_redirect_uri or (),
            cors_origins=cors_origin or (),
            contacts=contact or (),
            launch_uri=launch_uri,
            jwks=_keys(jwks),
            jwks_uri=jwks_uri,
            role=role,
            organization=organization,
            trusted=trusted,
            http_keys=settings.jwks_loopback,
        )
        _show(client_id, secret, as_json)


app.command("register", hidden=True)(add)  # the older name


@app.command("list")
def list_(
    context: typer.Context,
    pending: Annotated[
        bool, typer.Option("--pending", help="Those that wait for approval. / 승인 대기")
    ] = False,
    as_json: JSON = False,
) -> None:
    """List clients. / 클라이언트 목록"""
    with reported(), opened(of(context)) as (database, _):
        found = [one for one in clients.listed(database) if not pending or one.status == "pending"]
        if as_json:
            shown = ("id", "name", "kind", "role", "organization", "status", "scope")
            typer.echo(json.dumps([{field: getattr(one, field) for field in shown} for one in found]))
            return
        table(
            ("client", "kind", "role", "state", "name", "scope"),
            [(one.id, one.kind, one.role or "-", one.status, one.name, one.scope) for one in found],
        )


@app.command()
def show(context: typer.Context, client_id: ClientId, as_json: JSON = False) -> None:
    """Show everything that is registered of a client, but no secret. / 클라이언트 상세"""
    with reported(), opened(of(context)) as (database, _):
        client = clients.find(database, client_id)
        given = clients.registration(client)
        values: dict[str, Any] = {"client_id": client.id, "status": client.status}
        values |= {name: getattr(given, name) for name in given.__dataclass_fields__ if name != "lists"}
        if as_json:
            typer.echo(json.dumps(values))
            return
        filled = {name: value for name, value in values.items() if value not in (None, (), "")}
        table(("field", "value"), [(name, _plain(value)) for name, value in filled.items()])


@app.command()
def approve(
    context: typer.Context,
    client_id: ClientId,
    scope: Annotated[str | None, typer.Option(help="A lower ceiling than it asked for. / 범위 상한")] = None,
    trusted: Annotated[bool, typer.Option("--trusted", help="Our own app: no consent page.")] = False,
    role: Role = None,
    organization: Organization = None,
) -> None:
    """Let an app in that registered itself. / 등록 승인"""
    with reported(), opened(of(context)) as (database, settings):
        of(context).record("client-approved", "U", client=client_id, role=role or "")
        client = clients.approve(
            database,
            client_id,
            scope=scope,
            trusted=trusted,
            role=role,
            organization=organization,
            http_keys=settings.jwks_loopback,
        )
        typer.echo(f"{client_id} is {client.status}")


@app.command()
def reject(context: typer.Context, client_id: ClientId) -> None:
    """Forget an app that registered itself and was not approved. / 등록 거절"""
    with reported(), opened(of(context)) as (database, _):
        of(context).record("client-changed", "D", client=client_id, change="reject")
        clients.reject(database, client_id)
        typer.echo(f"{client_id} is forgotten")


@app.command("set")
def set_(
    context: typer.Context,
    client_id: ClientId,
    name: Annotated[str | None, typer.Option(help="New name. / 이름")] = None,
    scope: Annotated[
        str | None, typer.Option(help="New ceiling; a lower one ends what the app has. / 범위")
    ] = None,
    redirect_uri: RedirectUri = None,
    post_logout_redirect_uri: LogoutUri = None,
    cors_origin: CorsOrigin = None,
    contact: Contact = None,
    launch_uri: LaunchUri = None,
    jwks_uri: JWKSUri = None,
    trusted: Annotated[bool | None, typer.Option(help="Our own app: no consent page.")] = None,
) -> None:
    """Change what is registered; a list replaces the one before, one empty value empties it. / 변경"""
    given = {
        "name": name,
        "scope": scope,
        "redirect_uris": _list(redirect_uri),
        "post_logout_redirect_uris": _list(post_logout_redirect_uri),
        "cors_origins": _list(cors_origin),
        "contacts": _list(contact),
        "launch_uri": launch_uri,
        "jwks_uri": jwks_uri,
        "trusted": trusted,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    with reported(), opened(of(context)) as (database, settings):
        of(context).record("client-changed", "U", client=client_id, change=" ".join(changes))
        clients.change(database, client_id, http_keys=settings.jwks_loopback, **changes)
        typer.echo(f"{client_id} is changed")


@app.command()
def disable(
    context: typer.Context,
    client_id: ClientId,
    enable: Annotated[bool, typer.Option("--enable", help="Take it back. / 다시 사용")] = False,
) -> None:
    """Disable a client; its tokens end within a second, for good. / 사용 중지"""
    _switch(context, client_id, disabled=not enable)


@app.command("enable")
def enable_(context: typer.Context, client_id: ClientId) -> None:
    """Let a disabled client ask for tokens again. / 다시 사용"""
    _switch(context, client_id, disabled=False)


@app.command("rotate-secret")
def rotate_secret(
    context: typer.Context,
    client_id: ClientId,
    jwks: JWKSFile = None,
    overlap_hours: Annotated[
        int, typer.Option(help="How long the old secret stays good; 0 when it leaked. / 병행 시간")
    ] = clients.OVERLAP_S // 3600,
    as_json: JSON = False,
) -> None:
    """Give a new secret, or take new public keys (old keys end at once). / 비밀 교체"""
    with reported(), opened(of(context)) as (database, _):
        of(context).record("client-changed", "U", client=client_id, change="rotate-secret")
        secret = clients.rotate(database, client_id, jwks=_keys(jwks), overlap_s=overlap_hours * 3600)
        _show(client_id, secret, as_json)


def _switch(context: typer.Context, client_id: str, *, disabled: bool) -> None:
    with reported(), opened(of(context)) as (database, _):
        change = "disable" if disabled else "enable"
        of(context).record("client-changed", "U", client=client_id, change=change)
        clients.set_disabled(database, client_id, disabled=disabled)
        typer.echo(f"{client_id} is {'disabled' if disabled else 'active'}")


def _list(values: Uris) -> list[str] | None:
    """An option that may be given several times; `--option ""` means an empty list."""
    return None if values is None else [value for value in values if value]


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)


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
