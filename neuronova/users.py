"""`neuronova users`: the first administrator, and help when nobody can log in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from neuronova.errors import OperatorError
from neuronova.installation import Installation, of, reported, table
from smart_auth import users
from smart_auth.database import Database
from smart_auth.models import User
from smart_auth.settings import SMARTAuthSettings

app = typer.Typer(help="People who log in. / 로그인 사용자", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="Print JSON. / JSON으로 출력")]


@contextmanager
def opened(installation: Installation) -> Iterator[tuple[Database, SMARTAuthSettings]]:
    """The database of logins and clients, its tables up to date."""
    installation.use("facade")
    settings = SMARTAuthSettings()
    database = Database(settings.database_url.get_secret_value())
    try:
        database.migrate()
        yield database, settings
    finally:
        database.close()


@app.command()
def bootstrap(context: typer.Context, as_json: JSON = False) -> None:
    """Print the one-time code for the first administrator. / 최초 관리자용 일회용 코드"""
    with reported(), opened(of(context)) as (database, settings):
        of(context).record("setup", "C")
        code = users.bootstrap(database, lifetime_s=settings.setup_code_s)
        address = f"{settings.issuer}/setup"
        if as_json:
            typer.echo(json.dumps({"code": code, "url": address, "valid_s": settings.setup_code_s}))
            return
        typer.echo(f"Open {address} and enter this code, within {settings.setup_code_s // 3600} hours:")
        typer.echo(code)


@app.command("list")
def list_(context: typer.Context, as_json: JSON = False) -> None:
    """List users. / 사용자 목록"""
    with reported(), opened(of(context)) as (database, _):
        found = users.listed(database)
        if as_json:
            typer.echo(json.dumps([_shown(user) for user in found]))
            return
        table(
            ("user", "role", "state", "FHIR user", "id"),
            [(user.username, user.role, user.status, user.fhir_user or "-", user.id) for user in found],
        )


@app.command()
def invite(
    context: typer.Context,
    username: str,
    role: Annotated[str, typer.Option(help="admin, doctor, rib, lab, nurse, patient or external / 역할")],
    fhir_user: Annotated[str | None, typer.Option(help="Practitioner/ID or Patient/ID")] = None,
    organization: Annotated[str | None, typer.Option(help="Organization id, for role external")] = None,
    as_json: JSON = False,
) -> None:
    """Create a user and print the link by which the person sets a password. / 사용자 초대"""
    with reported(), opened(of(context)) as (database, settings):
        of(context).record("invite", "C", role=role)
        invitation = users.create(
            database,
            username,
            role,
            fhir_user=fhir_user,
            organization=organization,
            lifetime_s=settings.invitation_s,
        )
        address = f"{settings.issuer}/invite/{invitation.code}"
        typer.echo(json.dumps(_shown(invitation.user) | {"url": address}) if as_json else address)


@app.command()
def disable(
    context: typer.Context,
    username: str,
    enable: Annotated[bool, typer.Option("--enable", help="Take it back. / 다시 사용")] = False,
) -> None:
    """Disable a user; tokens and sessions end within a second. / 사용 중지"""
    with reported(), opened(of(context)) as (database, _):
        user = users.find(database, username)
        if user is None:
            raise OperatorError("there is no such user")
        of(context).record("user-changed", "U", user=user.id, change="enable" if enable else "disable")
        changed = users.set_disabled(database, user.id, disabled=not enable, actor=None)
        typer.echo(f"{changed.username} is {changed.status}")


def _shown(user: User) -> dict[str, str | None]:
    return {
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "status": user.status,
        "fhirUser": user.fhir_user,
        "organization": user.organization,
    }
