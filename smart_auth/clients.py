"""Registered apps and back ends: register, list, disable, rotate; and who a client is at the token endpoint.

Sources: RFC 6749 section 2 (client types, redirect URIs), RFC 8252 section 7.3 (loopback port), RFC 9700
section 4.1.3 (exact redirect URIs), SMART App Launch 2.2.0 "Client Authentication".
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import select

from smart_auth import scopes
from smart_auth.database import Database
from smart_auth.errors import RuleError
from smart_auth.models import Client
from smart_auth.revocations import raise_epoch
from smart_auth.roles import ROLES, within_role
from smart_auth.secret import digest, new_secret

ClientKind = Literal["public", "confidential", "backend"]
VIEWER = "neuronova-viewer"  # the first-party session of the browser; not a registered client
LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,127}")


def register(
    database: Database,
    client_id: str,
    *,
    kind: ClientKind,
    name: str,
    scope: str,
    redirect_uris: Sequence[str] = (),
    jwks: dict[str, Any] | None = None,
    role: str | None = None,
    organization: str | None = None,
    trusted: bool = False,
) -> str | None:
    """Register a client; returns the secret of one that needs it (shown once, stored hashed)."""
    _check(client_id, kind, redirect_uris, jwks, role, organization, scope)
    secret = new_secret() if kind == "confidential" and jwks is None else None
    with database.write() as session:
        if client_id == VIEWER or session.get(Client, client_id) is not None:
            raise RuleError("this client id is taken")
        session.add(
            Client(
                id=client_id,
                name=name,
                kind=kind,
                secret_hash=digest(secret) if secret else None,
                jwks=json.dumps(jwks) if jwks else None,
                redirect_uris=json.dumps(list(redirect_uris)),
                scope=str(scopes.parse(scope)),
                role=role,
                organization=organization,
                trusted=trusted,
                status="active",
                created_at=int(time.time()),
            )
        )
        raise_epoch(session)
    return secret


def listed(database: Database) -> list[Client]:
    """Every client, by id."""
    with database.read() as session:
        return list(session.scalars(select(Client).order_by(Client.id)))


def get(database: Database, client_id: str) -> Client | None:
    """One active client."""
    with database.read() as session:
        client = session.get(Client, client_id)
    return client if client is not None and client.status == "active" else None


def set_disabled(database: Database, client_id: str, *, disabled: bool) -> None:
    """Disable or enable; a disabled client's tokens are refused within a second."""
    with database.write() as session:
        _existing(session.get(Client, client_id)).status = "disabled" if disabled else "active"
        raise_epoch(session)


def rotate(database: Database, client_id: str, *, jwks: dict[str, Any] | None = None) -> str | None:
    """A new secret (returned once), or new public keys for a back end; the old ones end."""
    with database.write() as session:
        client = _existing(session.get(Client, client_id))
        if client.secret_hash is not None and jwks is None:
            secret = new_secret()
            client.secret_hash = digest(secret)
            return secret
        if client.jwks is None or jwks is None:
            raise RuleError("this client has no such secret to rotate")
        _check_jwks(jwks)
        client.jwks = json.dumps(jwks)
        return None


def allows_redirect(client: Client, uri: str) -> bool:
    """Exact match; for a loopback address any port (RFC 8252 7.3), everything else exact."""
    registered = json.loads(client.redirect_uris)
    if uri in registered:
        return True
    plain = _without_loopback_port(uri)
    return plain is not None and plain in {_without_loopback_port(known) for known in registered}


def _without_loopback_port(uri: str) -> str | None:
    match = re.fullmatch(r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?(/[!-~]*)?", uri)
    return f"http://{match[1]}{match[2] or ''}" if match else None


def _existing(client: Client | None) -> Client:
    if client is None:
        raise RuleError("there is no such client")
    return client


def _check(
    client_id: str,
    kind: str,
    redirect_uris: Sequence[str],
    jwks: dict[str, Any] | None,
    role: str | None,
    organization: str | None,
    scope: str,
) -> None:
    if not _CLIENT_ID.fullmatch(client_id):
        raise RuleError("a client id has 3 to 128 letters, digits or . _ -")
    wanted = scopes.parse(scope)
    if len(wanted.grants) + len(wanted.words) == 0:
        raise RuleError("the scope names nothing that is supported")
    if kind == "backend":
        if role not in ROLES or role == "patient":
            raise RuleError("a back end is registered with one role")
        if (organization is not None) != (role == "external"):
            raise RuleError("the role external, and no other, has an organization")
        if jwks is None or redirect_uris:
            raise RuleError("a back end has public keys and no redirect address")
        if not within_role(wanted, role).grants:
            raise RuleError("this role has none of these scopes")
    elif kind in ("public", "confidential"):
        if role is not None or organization is not None:
            raise RuleError("the role of an app is the role of the person who uses it")
        if not redirect_uris or not all(map(_is_redirect, redirect_uris)):
            raise RuleError("redirect addresses are https, or http on this machine, without a fragment")
    else:
        raise RuleError("a client is public, confidential or backend")
    if jwks is not None:
        _check_jwks(jwks)


def _is_redirect(uri: str) -> bool:
    if not re.fullmatch(r"[!-~]+", uri) or "#" in uri or "\\" in uri:
        return False
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or _without_loopback_port(uri) is not None


def _check_jwks(jwks: dict[str, Any]) -> None:
    try:
        keys = KeySet.import_key_set(jwks).keys  # type: ignore[arg-type]
    except (JoseError, KeyError, TypeError, ValueError) as error:
        raise RuleError("the public keys cannot be read") from error
    if not keys or any(key.is_private or not key.kid for key in keys):
        raise RuleError("public keys only, each with its kid")
    if any(key.key_type not in ("EC", "RSA") for key in keys):
        raise RuleError("keys are RSA (RS384) or EC P-384 (ES384)")
