"""Logins: create, invite, set a password, disable, reset; the first administrator.

Every change of rights raises the user's generation, which ends all older tokens and sessions within a second.
Nobody changes their own role or state. `record` writes the audit record of a change: it is called inside the
transaction, after the rules held and before the commit, so that nothing is granted without a record.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from smart_auth import totp
from smart_auth.database import Database
from smart_auth.errors import RuleError
from smart_auth.models import GrantFamily, Link, User
from smart_auth.passwords import check_password, hash_password, verify_password
from smart_auth.revocations import end_grants, raise_epoch
from smart_auth.roles import ROLES
from smart_auth.secret import digest, new_id, new_secret

SETUP_CODE_S = 86400
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,62}")
_FHIR_USER = re.compile(r"(Practitioner|PractitionerRole|Patient)/[A-Za-z0-9\-.]{1,64}")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


Record = Callable[[User], None]


def _caller_records(user: User) -> None:
    """For callers that write their record themselves."""


@dataclass(frozen=True)
class Invitation:
    """A user and the one-time code that lets the person choose a password."""

    user: User
    code: str


def normalise(username: str) -> str:
    """User names are compared in lower case, without spaces around."""
    return username.strip().lower()


def bootstrap(database: Database, *, lifetime_s: int = SETUP_CODE_S) -> str:
    """A one-time set-up code for the first administrator; earlier codes end. Used at /auth/setup."""
    code = new_secret()
    with database.write() as session:
        if _has_administrator(session):
            raise RuleError("there is an administrator already")
        _end_links(session, "setup", None)
        session.add(Link(hash=digest(code), purpose="setup", expires_at=int(time.time()) + lifetime_s))
    return code


def set_up(database: Database, code: str, username: str, password: str, *, length: int) -> User:
    """Use the set-up code: makes the first administrator."""
    name = _checked_name(username)
    with database.read() as session:
        if not _is_good(session.get(Link, digest(code)), "setup"):
            raise RuleError("this code is not valid, or no longer")
    check_password(password, name, length=length)
    hashed = hash_password(password)
    with database.write() as session:
        link = _use_link(session, code, ("setup",))
        if link is None or _has_administrator(session):
            raise RuleError("this code is not valid, or no longer")
        user = _new_user(session, name, "admin", None, None, created_by=None)
        user.password_hash, user.status = hashed, "active"
        raise_epoch(session)
    return user


def create(
    database: Database,
    username: str,
    role: str,
    *,
    fhir_user: str | None = None,
    organization: str | None = None,
    created_by: str | None = None,
    lifetime_s: int = 3 * 86400,
    record: Record = _caller_records,
) -> Invitation:
    """A new user without a password, and the code of the invitation link."""
    name = _checked_name(username)
    _check_role(role, fhir_user, organization)
    code = new_secret()
    with database.write() as session:
        user = _new_user(session, name, role, fhir_user, organization, created_by=created_by)
        session.flush()
        session.add(_link(code, "invite", user.id, lifetime_s))
        record(user)
    return Invitation(user, code)


def reset(
    database: Database,
    user_id: str,
    *,
    lifetime_s: int = 86400,
    actor: str | None = None,
    record: Record = _caller_records,
) -> Invitation:
    """End a user's password, tokens and sessions; the code lets the person choose a new password.

    Not one's own: who has an administrator's token only must not get at the password by it.
    """
    code = new_secret()
    with database.write() as session:
        user = _existing(session, user_id, actor)
        user.password_hash = None
        _end_rights(session, user)
        _end_links(session, None, user.id)
        session.add(_link(code, "reset", user.id, lifetime_s))
        record(user)
    return Invitation(user, code)


def accept(database: Database, code: str, password: str, *, length: int) -> User:
    """Use an invitation or reset link: sets the password."""
    with database.read() as session:
        user = _linked(session, code)
    if user is None:
        raise RuleError("this link is not valid, or no longer")
    check_password(password, user.username, length=length)
    hashed = hash_password(password)
    with database.write() as session:
        link = _use_link(session, code, ("invite", "reset"))
        if link is None or link.user_id is None:
            raise RuleError("this link is not valid, or no longer")
        user = _existing(session, link.user_id)
        if user.status == "disabled":
            raise RuleError("this link is not valid, or no longer")
        user.password_hash, user.status = hashed, "active"
        _end_rights(session, user)
    return user


def change_password(database: Database, user_id: str, password: str, *, length: int) -> User:
    """A person's own new password; every token and session ends."""
    with database.read() as session:
        user = _existing(session, user_id)
    check_password(password, user.username, length=length)
    if verify_password(password, user.password_hash):
        raise RuleError("this is the password that you have")
    hashed = hash_password(password)
    with database.write() as session:
        user = _existing(session, user_id)
        user.password_hash = hashed
        _end_rights(session, user)
    return user


def end_sessions(database: Database, user_id: str, *, record: Record = _caller_records) -> User:
    """Every session and token of a user is over."""
    with database.write() as session:
        user = _existing(session, user_id)
        _end_rights(session, user)
        record(user)
    return user


def remove_second_factor(database: Database, user_id: str) -> None:
    """A person's own decision, after password and code."""
    with database.write() as session:
        totp.turn_off(session, _existing(session, user_id))


def reset_second_factor(
    database: Database, user_id: str, *, actor: str | None, record: Record = _caller_records
) -> User:
    """For a person who lost phone and recovery codes, never for oneself; every token and session ends."""
    with database.write() as session:
        user = _existing(session, user_id, actor)
        totp.turn_off(session, user)
        _end_rights(session, user)
        record(user)
    return user


def is_invited(database: Database, code: str) -> bool:
    """Whether an invitation or reset link is still good."""
    with database.read() as session:
        return _linked(session, code) is not None


def set_disabled(
    database: Database,
    user_id: str,
    *,
    disabled: bool,
    actor: str | None,
    record: Record = _caller_records,
) -> User:
    """Disable or enable a user; every token and session of theirs ends."""
    with database.write() as session:
        user = _existing(session, user_id, actor)
        if disabled:
            user.status = "disabled"
        elif user.status == "disabled":
            user.status = "active" if user.password_hash else "invited"
        _end_rights(session, user)
        record(user)
    return user


def set_role(
    database: Database,
    user_id: str,
    role: str,
    *,
    fhir_user: str | None = None,
    organization: str | None = None,
    actor: str | None,
    record: Record = _caller_records,
) -> User:
    """Give another role, never to oneself; every token and session ends."""
    _check_role(role, fhir_user, organization)
    with database.write() as session:
        user = _existing(session, user_id, actor)
        user.role, user.fhir_user, user.organization = role, fhir_user, organization
        _end_rights(session, user)
        record(user)
    return user


def find(database: Database, username: str) -> User | None:
    """By name."""
    with database.read() as session:
        user = session.scalar(select(User).where(User.username == normalise(username)))
    # A database may take letters with and without accents for the same; failures are counted by exact name.
    return user if user is not None and user.username == normalise(username) else None


def get(database: Database, user_id: str) -> User | None:
    """By id."""
    with database.read() as session:
        return session.get(User, user_id)


def listed(database: Database) -> list[User]:
    """Every user, by name."""
    with database.read() as session:
        return list(session.scalars(select(User).order_by(User.username)))


def _existing(session: Session, user_id: str, actor: str | None = None) -> User:
    if actor is not None and actor == user_id:
        raise RuleError("nobody changes their own role or state")
    user = session.get(User, user_id)
    if user is None:
        raise RuleError("there is no such user")
    return user


def _end_rights(session: Session, user: User) -> None:
    """Every token, session and grant of the user is over."""
    user.generation += 1
    end_grants(session, GrantFamily.user_id == user.id, now=int(time.time()), token_s=0)
    raise_epoch(session)


def _has_administrator(session: Session) -> bool:
    return session.scalar(select(User.id).where(User.role == "admin").limit(1)) is not None


def _checked_name(username: str) -> str:
    name = normalise(username)
    if not _USERNAME.fullmatch(name):
        raise RuleError("a user name has 2 to 63 letters, digits or . _ @ -")
    return name


def _check_role(role: str, fhir_user: str | None, organization: str | None) -> None:
    if role not in ROLES:
        raise RuleError("there is no such role")
    if fhir_user is not None and not _FHIR_USER.fullmatch(fhir_user):
        raise RuleError("fhirUser is a reference like Practitioner/id or Patient/id")
    if organization is not None and not _ID.fullmatch(organization):
        raise RuleError("organization is the id of an Organization")
    is_patient = fhir_user is not None and fhir_user.startswith("Patient/")
    if is_patient != (role == "patient"):
        raise RuleError("the role patient, and no other, has a Patient as fhirUser")
    if (organization is not None) != (role == "external"):
        raise RuleError("the role external, and no other, has an organization")


def _new_user(
    session: Session,
    name: str,
    role: str,
    fhir_user: str | None,
    organization: str | None,
    *,
    created_by: str | None,
) -> User:
    if session.scalar(select(User.id).where(User.username == name)) is not None:
        raise RuleError("this user name is taken")
    user = User(
        id=new_id(),
        username=name,
        role=role,
        fhir_user=fhir_user,
        organization=organization,
        status="invited",
        generation=0,
        created_at=int(time.time()),
        created_by=created_by,
    )
    session.add(user)
    return user


def _link(code: str, purpose: str, user_id: str, lifetime_s: int) -> Link:
    return Link(hash=digest(code), purpose=purpose, user_id=user_id, expires_at=int(time.time()) + lifetime_s)


def _linked(session: Session, code: str) -> User | None:
    link = session.get(Link, digest(code))
    if link is None or link.user_id is None or not _is_good(link, "invite", "reset"):
        return None
    return session.get(User, link.user_id)


def _is_good(link: Link | None, *purposes: str) -> bool:
    """Whether it could be used now; `_use_link` decides."""
    return (
        link is not None
        and link.used_at is None
        and link.expires_at > time.time()
        and link.purpose in purposes
    )


def _use_link(session: Session, code: str, purposes: tuple[str, ...]) -> Link | None:
    """Take the link, once: the UPDATE decides between two who come together."""
    now = int(time.time())
    taken = session.execute(
        update(Link)
        .where(
            Link.hash == digest(code),
            Link.purpose.in_(purposes),
            Link.used_at.is_(None),
            Link.expires_at > now,
        )
        .values(used_at=now)
    )
    return session.get(Link, digest(code)) if taken.rowcount == 1 else None  # type: ignore[attr-defined]


def _end_links(session: Session, purpose: str | None, user_id: str | None) -> None:
    statement = update(Link).where(Link.used_at.is_(None), Link.user_id == user_id)
    if purpose is not None:
        statement = statement.where(Link.purpose == purpose)
    session.execute(statement.values(used_at=int(time.time())))
