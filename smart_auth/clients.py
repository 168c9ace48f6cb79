"""Registered apps and back ends: register, approve, change, disable, rotate.

Life: pending (an app registered itself, an administrator has not approved it: it can do nothing), active,
disabled. Rules of a registration are in `client_rules`. Sources: RFC 6749 section 2 (client types, redirect
URIs), RFC 8252 section 7.3 (loopback port), RFC 9700 section 4.1.3 (exact redirect URIs), RFC 7591, SMART App
Launch 2.2.0 "Client Authentication".
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from smart_auth import client_rules, scopes
from smart_auth.client_rules import Registration, without_loopback_port
from smart_auth.database import Database
from smart_auth.errors import RuleError
from smart_auth.models import Client, GrantFamily
from smart_auth.revocations import end_back_end, end_grants, raise_epoch
from smart_auth.secret import digest, new_secret

ClientKind = Literal["public", "confidential", "backend"]
VIEWER = "neuronova-viewer"  # the first-party session of the browser; not a registered client
OVERLAP_S = 86400  # both secrets are good for so long, unless the old one leaked
MAX_OVERLAP_S = 30 * 86400
TOKEN_S = 86400  # no access token lives longer; ended grants are remembered for so long
_TEXTS = ("name", "scope", "kind", "launch_uri", "jwks_uri", "role", "organization", "trusted")
_LISTS = ("redirect_uris", "post_logout_redirect_uris", "cors_origins", "contacts")


def register(
    database: Database,
    client_id: str,
    *,
    kind: ClientKind,
    name: str,
    scope: str,
    pending: bool = False,
    created_by: str | None = None,
    http_keys: bool = False,
    **more: Any,
) -> str | None:
    """Register a client (`more`: fields of Registration); returns the secret of one that needs it.

    The secret is shown once and stored hashed. A pending client waits for `approve`.
    """
    given = Registration(kind=kind, name=name, scope=scope, **more)
    client_rules.check_id(client_id)
    client_rules.check(given, pending=pending, http_keys=http_keys)
    needs_secret = kind == "confidential" and given.jwks is None and given.jwks_uri is None
    secret = new_secret() if needs_secret else None
    with database.write() as session:
        if client_id == VIEWER or session.get(Client, client_id) is not None:
            raise RuleError("this client id is taken")
        client = Client(
            id=client_id,
            secret_hash=digest(secret) if secret else None,
            status="pending" if pending else "active",
            created_at=int(time.time()),
            created_by=created_by,
        )
        _fill(client, given)
        session.add(client)
        raise_epoch(session)
    return secret


def listed(database: Database) -> list[Client]:
    """Every client, by id."""
    with database.read() as session:
        return list(session.scalars(select(Client).order_by(Client.id)))


def find(database: Database, client_id: str) -> Client:
    """One client in any state; RuleError when there is none."""
    with database.read() as session:
        return _existing(session, client_id)


def get(database: Database, client_id: str) -> Client | None:
    """One active client."""
    with database.read() as session:
        client = session.get(Client, client_id)
    # A database may take upper and lower case for the same; an id is exact.
    return client if client is not None and client.id == client_id and client.status == "active" else None


def approve(
    database: Database,
    client_id: str,
    *,
    scope: str | None = None,
    trusted: bool = False,
    role: str | None = None,
    organization: str | None = None,
    http_keys: bool = False,
) -> Client:
    """Make a pending client active, with the ceiling, role and trust that the administrator chose."""
    with database.write() as session:
        client = _existing(session, client_id)
        if client.status != "pending":
            raise RuleError("this client is not waiting for approval")
        before = registration(client)
        given = replace(
            before, scope=scope or before.scope, trusted=trusted, role=role, organization=organization
        )
        client_rules.check(given, http_keys=http_keys)
        _fill(client, given)
        client.status = "active"
        raise_epoch(session)
    return client


def reject(database: Database, client_id: str) -> None:
    """Forget a pending client."""
    with database.write() as session:
        if _existing(session, client_id).status != "pending":
            raise RuleError("this client is not waiting for approval")
        session.execute(delete(Client).where(Client.id == client_id))


def change(database: Database, client_id: str, *, http_keys: bool = False, **changes: Any) -> Client:
    """Change what is registered (fields of Registration, but not the kind).

    A narrower ceiling ends what the client has: nobody keeps more than is registered.
    """
    if not changes or not set(changes) <= {field.name for field in fields(Registration)} - {"kind", "lists"}:
        raise RuleError("this cannot be changed")
    with database.write() as session:
        client = _existing(session, client_id)
        before = registration(client)
        given = replace(before, **changes)
        client_rules.check(given, pending=client.status == "pending", http_keys=http_keys)
        if (given.jwks is None and given.jwks_uri is None) != (
            client.jwks is None and client.jwks_uri is None
        ):
            raise RuleError("the way in which a client authenticates does not change: register another one")
        _fill(client, given)
        is_moved = (given.role, given.organization) != (before.role, before.organization)
        if is_moved or not scopes.parse(client.scope).covers(scopes.parse(before.scope)):
            _end_everything(session, client_id)
        raise_epoch(session)
    return client


def set_disabled(database: Database, client_id: str, *, disabled: bool) -> None:
    """Disable or enable; a disabled client's tokens are refused within a second, and never come back."""
    with database.write() as session:
        client = _existing(session, client_id)
        if client.status == "pending":
            raise RuleError("this client waits for approval")
        client.status = "disabled" if disabled else "active"
        if disabled:
            _end_everything(session, client_id)
        raise_epoch(session)


def rotate(
    database: Database, client_id: str, *, jwks: dict[str, Any] | None = None, overlap_s: int = 0
) -> str | None:
    """A new secret (returned once), or new public keys for a back end.

    The old secret is good for `overlap_s` more; old keys end at once, because a set can hold both.
    """
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise RuleError("two secrets are good side by side for 30 days at most")
    with database.write() as session:
        client = _existing(session, client_id)
        if client.secret_hash is not None and jwks is None:
            secret = new_secret()
            client.previous_secret_hash = client.secret_hash if overlap_s else None
            client.previous_secret_until = int(time.time()) + overlap_s if overlap_s else None
            client.secret_hash = digest(secret)
            return secret
        if client.jwks is None or jwks is None:
            raise RuleError("this client has no such secret to rotate")
        client_rules.usable_keys(jwks)
        client.jwks = json.dumps(jwks)
        return None


def forget_pending(database: Database, *, older_than: int) -> int:
    """Drop registrations that nobody approved; how many still wait."""
    with database.write() as session:
        session.execute(delete(Client).where(Client.status == "pending", Client.created_at < older_than))
        return session.scalar(select(func.count()).where(Client.status == "pending")) or 0


def allows_redirect(client: Client, uri: str) -> bool:
    """Exact match; for a loopback address any port (RFC 8252 7.3), everything else exact."""
    return _matches(json.loads(client.redirect_uris), uri)


def allows_after_logout(client: Client, uri: str) -> bool:
    """The same for `post_logout_redirect_uri` (OpenID Connect RP-Initiated Logout 3)."""
    return _matches(json.loads(client.post_logout_redirect_uris), uri)


def registration(client: Client) -> Registration:
    """What is registered, as values."""
    values: dict[str, Any] = {name: getattr(client, name) for name in _TEXTS}
    values |= {name: tuple(json.loads(getattr(client, name))) for name in _LISTS}
    return Registration(**values, jwks=json.loads(client.jwks) if client.jwks else None)


def _fill(client: Client, given: Registration) -> None:
    for name in _TEXTS:
        setattr(client, name, getattr(given, name))
    for name in _LISTS:
        setattr(client, name, json.dumps(list(getattr(given, name))))
    client.jwks = json.dumps(given.jwks) if given.jwks else None
    client.scope = str(scopes.parse(given.scope))


def _matches(registered: Sequence[str], uri: str) -> bool:
    if uri in registered:
        return True
    plain = without_loopback_port(uri)
    return plain is not None and plain in {without_loopback_port(known) for known in registered}


def _existing(session: Session, client_id: str) -> Client:
    client = session.get(Client, client_id)
    if client is None:
        raise RuleError("there is no such client")
    return client


def _end_everything(session: Session, client_id: str) -> None:
    now = int(time.time())
    end_grants(session, GrantFamily.client_id == client_id, now=now, token_s=TOKEN_S)
    end_back_end(session, client_id, now=now)
