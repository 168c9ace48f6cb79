"""Tables of smart_auth: users, clients, grants and what ends them. Times are seconds since 1970 (UTC).

Secrets and one-time codes are stored as SHA-256 of 256 random bits; passwords by argon2 (`passwords.py`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID = String(64)
LONG_ID = String(255)


class Base(DeclarativeBase):
    """Declarative base; `migrations/` is what makes the tables."""


class User(Base):
    """A login: a person with one role."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    username: Mapped[str] = mapped_column(LONG_ID, unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    fhir_user: Mapped[str | None] = mapped_column(String(128))
    organization: Mapped[str | None] = mapped_column(ID)
    status: Mapped[str] = mapped_column(String(16))  # invited, active, disabled
    generation: Mapped[int] = mapped_column(Integer, default=0)  # a higher one ends every older token
    totp_secret: Mapped[str | None] = mapped_column(Text)  # sealed with a key of the service, never in clear
    totp_step: Mapped[int | None] = mapped_column(
        BigInteger
    )  # last time step that was used; None: unconfirmed
    created_at: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str | None] = mapped_column(ID)


class RecoveryCode(Base):
    """A one-time code for the day the second factor is lost."""

    __tablename__ = "recovery_codes"

    hash: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class Client(Base):
    """A registered app or back end."""

    __tablename__ = "clients"

    id: Mapped[str] = mapped_column(LONG_ID, primary_key=True)
    name: Mapped[str] = mapped_column(LONG_ID)
    kind: Mapped[str] = mapped_column(String(16))  # public, confidential, backend
    secret_hash: Mapped[str | None] = mapped_column(ID)
    previous_secret_hash: Mapped[str | None] = mapped_column(ID)  # good until the time below (rotation)
    previous_secret_until: Mapped[int | None] = mapped_column(BigInteger)
    jwks: Mapped[str | None] = mapped_column(Text)
    jwks_uri: Mapped[str | None] = mapped_column(Text)
    redirect_uris: Mapped[str] = mapped_column(Text)  # JSON list
    post_logout_redirect_uris: Mapped[str] = mapped_column(Text, default="[]")  # JSON list
    cors_origins: Mapped[str] = mapped_column(Text, default="[]")  # JSON list
    launch_uri: Mapped[str | None] = mapped_column(Text)  # where an EHR launch begins
    contacts: Mapped[str] = mapped_column(Text, default="[]")  # JSON list, as registered (RFC 7591)
    scope: Mapped[str] = mapped_column(Text)  # ceiling
    role: Mapped[str | None] = mapped_column(String(16))  # back ends only
    organization: Mapped[str | None] = mapped_column(ID)
    trusted: Mapped[bool]  # first party: no consent page
    status: Mapped[str] = mapped_column(String(16))  # pending (awaits an administrator), active, disabled
    created_at: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str | None] = mapped_column(ID)  # None: the operator, or registered by itself


class GrantFamily(Base):
    """What one authorization code led to: the family of its access and refresh tokens."""

    __tablename__ = "grants"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"), index=True)
    session_id: Mapped[str] = mapped_column(ID, index=True)
    code_hash: Mapped[str] = mapped_column(ID, unique=True)
    scope: Mapped[str] = mapped_column(Text)
    patient: Mapped[str | None] = mapped_column(ID)
    encounter: Mapped[str | None] = mapped_column(ID)
    launch: Mapped[str | None] = mapped_column(Text)  # JSON: the rest of the launch context for the response
    auth_time: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)


class RefreshToken(Base):
    """One refresh token; a used one that comes again ends its family."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[str] = mapped_column(ID, primary_key=True)
    grant_id: Mapped[str] = mapped_column(ForeignKey("grants.id"), index=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class Consent(Base):
    """What a person has allowed an app."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("user_id", "client_id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"))
    asked: Mapped[str] = mapped_column(Text)  # the scopes that the person was shown
    scope: Mapped[str] = mapped_column(Text)  # those that they allowed
    granted_at: Mapped[int] = mapped_column(BigInteger)


class Link(Base):
    """A one-time code that a person was handed: set-up, invitation or reset."""

    __tablename__ = "links"

    hash: Mapped[str] = mapped_column(ID, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))  # setup, invite, reset
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class Revocation(Base):
    """A token, grant or session that ended before its time; kept until its last token is past."""

    __tablename__ = "revocations"
    __table_args__ = (UniqueConstraint("kind", "value"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(16))  # token, grant, session
    value: Mapped[str] = mapped_column(ID)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


class Epoch(Base):
    """One row, raised by every change that takes a right away; processes poll it."""

    __tablename__ = "epoch"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class LoginFailure(Base):
    """Failed logins in a row for one account name or one address (known or not: the same work)."""

    __tablename__ = "login_failures"

    key: Mapped[str] = mapped_column(ID, primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[int] = mapped_column(BigInteger, index=True)
    wait_until: Mapped[int] = mapped_column(BigInteger)
