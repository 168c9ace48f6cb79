"""`neuronova users`: the first administrator, and help when nobody can log in.

Who may run it owns the machine: the operator may give any role, and every change is recorded before it holds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from facade.audit.event import Action
from neuronova.errors import OperatorError
from neuronova.installation import JSON, Installation, of, reported, table
from smart_auth import login, totp, users
from smart_auth.database import Database
from smart_auth.models import User
from smart_auth.revocations import Feed
from smart_auth.session import Listed, Sessions
from smart_auth.settings import SMARTAuthSettings
from smart_auth.store import Store, connect
from smart_auth.throttle import Throttle

app = typer.Typer(help="People who log in. / 로그인 사용자", no_args_is_help=True)
Role = Annotated[str, typer.Option(help="admin, doctor, rib, lab, nurse, patient or external / 역할")]
FHIRUser = Annotated[str | None, typer.Option("--fhir-user", help="Practitioner/ID or Patient/ID")]
OrganizationId = Annotated[str | None, typer.Option("--organization", help="Organization id, for external")]


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
    with reported(), opened(of(context)) as (database, settings):
        found = [_shown(user, _throttle(database, settings)) for user in users.listed(database)]
        if as_json:
            typer.echo(json.dumps(found))
            return
        table(
            ("user", "role", "state", "second factor", "FHIR user", "id"),
            [
                (
                    *(one["username"], one["role"], _state(one), "on" if one["secondFactor"] else "-"),
                    *(one["fhirUser"] or "-", one["id"]),
                )
                for one in found
            ],
        )


@app.command()
def show(context: typer.Context, username: str, as_json: JSON = False) -> None:
    """Show one user. / 사용자 보기"""
    with reported(), opened(of(context)) as (database, settings):
        shown = _shown(_named(database, username), _throttle(database, settings))
        if as_json:
            typer.echo(json.dumps(shown))
            return
        table(("", ""), [(name, "-" if value is None else str(value)) for name, value in shown.items()])


@app.command()
def add(
    context: typer.Context,
    username: str,
    role: Role,
    fhir_user: FHIRUser = None,
    organization: OrganizationId = None,
    as_json: JSON = False,
) -> None:
    """Create a user and print the link by which the person sets a password. / 사용자 초대"""
    with reported(), opened(of(context)) as (database, settings):
        invitation = users.create(
            database,
            username,
            role,
            fhir_user=fhir_user,
            organization=organization,
            lifetime_s=settings.invitation_s,
            record=_recorder(context, ("user-created", "C"), ("role-granted", "C")),
        )
        _print_link(invitation, settings, _throttle(database, settings), as_json)


app.command("invite", hidden=True)(add)  # the older name


@app.command()
def reset(context: typer.Context, username: str, as_json: JSON = False) -> None:
    """End a password, print the link for a new one. / 비밀번호 재설정"""
    with reported(), opened(of(context)) as (database, settings):
        user = _named(database, username)
        record = _recorder(context, ("user-changed", "U"), change="reset")
        invitation = users.reset(database, user.id, lifetime_s=settings.setup_code_s, record=record)
        _print_link(invitation, settings, _throttle(database, settings), as_json)


@app.command()
def disable(context: typer.Context, username: str) -> None:
    """Disable a user; tokens and sessions end within a second. / 사용 중지"""
    _switch(context, username, disabled=True)


@app.command()
def enable(context: typer.Context, username: str) -> None:
    """Let a disabled user log in again. / 다시 사용"""
    _switch(context, username, disabled=False)


@app.command("set-role")
def set_role(
    context: typer.Context,
    username: str,
    role: Role,
    fhir_user: FHIRUser = None,
    organization: OrganizationId = None,
) -> None:
    """Give another role; tokens and sessions end within a second. / 역할 변경"""
    with reported(), opened(of(context)) as (database, _):
        changed = users.set_role(
            database,
            _named(database, username).id,
            role,
            fhir_user=fhir_user,
            organization=organization,
            actor=None,
            record=_recorder(context, ("role-granted", "U")),
        )
        typer.echo(f"{changed.username} is {changed.role}")


@app.command()
def unlock(context: typer.Context, username: str) -> None:
    """Forget failed logins of an account. / 잠금 해제"""
    with reported(), opened(of(context)) as (database, settings):
        user = _named(database, username)
        _recorder(context, ("user-changed", "U"), change="unlock")(user)
        _throttle(database, settings).unlock(*login.throttled(user))
        typer.echo(f"{user.username} may try again")


@app.command()
def sessions(context: typer.Context, username: str, as_json: JSON = False) -> None:
    """Where a user is logged in. / 로그인된 곳"""
    with reported(), opened(of(context)) as (database, settings):
        user = _named(database, username)
        found = asyncio.run(_sessions(database, settings, user))
        if as_json:
            typer.echo(json.dumps([one.to_json() for one in found]))
            return
        table(
            ("since", "last used", "address", "browser"),
            [
                (
                    *(_time(one.session.auth_time), _time(one.used)),
                    *(one.session.address or "-", one.session.browser or "-"),
                )
                for one in found
            ],
        )


@app.command("end-sessions")
def end_sessions(context: typer.Context, username: str) -> None:
    """End every session and token of a user within a second. / 모든 세션 종료"""
    with reported(), opened(of(context)) as (database, _):
        record = _recorder(context, ("sessions-ended", "U"))
        user = users.end_sessions(database, _named(database, username).id, record=record)
        typer.echo(f"every session and token of {user.username} has ended")


@app.command("reset-totp")
def reset_totp(context: typer.Context, username: str) -> None:
    """Take a lost second factor away; sessions and tokens end. / 2단계 인증 초기화"""
    with reported(), opened(of(context)) as (database, _):
        record = _recorder(context, ("second-factor-off", "U"), change="reset")
        user = users.reset_second_factor(database, _named(database, username).id, actor=None, record=record)
        typer.echo(f"{user.username} has no second factor")


async def _sessions(database: Database, settings: SMARTAuthSettings, user: User) -> list[Listed]:
    redis = connect(settings.redis_url.get_secret_value())
    feed = Feed(database)
    feed.refresh()
    try:
        return await Sessions(Store(redis), feed, lifetime_s=settings.session_s, origin=settings.origin).of(
            user.id
        )
    finally:
        await redis.aclose()


def _switch(context: typer.Context, username: str, *, disabled: bool) -> None:
    with reported(), opened(of(context)) as (database, _):
        user = _named(database, username)
        record = _recorder(context, ("user-changed", "U"), change="disable" if disabled else "enable")
        changed = users.set_disabled(database, user.id, disabled=disabled, actor=None, record=record)
        typer.echo(f"{changed.username} is {changed.status}")


def _recorder(context: typer.Context, *kinds: tuple[str, Action], **detail: str) -> users.Record:
    def record(user: User) -> None:
        for kind, action in kinds:
            of(context).record(kind, action, target=user.id, role=user.role, **detail)

    return record


def _named(database: Database, username: str) -> User:
    user = users.find(database, username)
    if user is None:
        raise OperatorError("there is no such user")
    return user


def _throttle(database: Database, settings: SMARTAuthSettings) -> Throttle:
    return Throttle(database, lock_after=settings.lock_after, lock_s=settings.lock_s)


def _print_link(
    invitation: users.Invitation, settings: SMARTAuthSettings, throttle: Throttle, as_json: bool
) -> None:
    address = f"{settings.issuer}/invite/{invitation.code}"
    shown = _shown(invitation.user, throttle)
    typer.echo(json.dumps(shown | {"url": address}) if as_json else address)


def _shown(user: User, throttle: Throttle) -> dict[str, Any]:
    failures = throttle.failures([user.username])[user.username]
    return {
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "status": user.status,
        "fhirUser": user.fhir_user,
        "organization": user.organization,
        "secondFactor": totp.is_on(user),
        "failures": failures.count,
        "lockedUntil": failures.locked_until,
    }


def _state(shown: dict[str, Any]) -> str:
    return f"{shown['status']}, locked" if shown["lockedUntil"] else str(shown["status"])


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
