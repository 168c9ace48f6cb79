"""What a registration may say: addresses, keys, scopes. One place for operators, administrators and apps.

Sources: RFC 6749 section 3.1.2, RFC 8252 sections 7.3 and 8.3 (loopback), RFC 9700 section 4.1 (exact
redirect addresses), RFC 7591 section 2, RFC 6454 (origin), RFC 7518 sections 3.3 and 3.4 (keys).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from smart_auth import scopes
from smart_auth.errors import RuleError
from smart_auth.roles import ROLES, within_role

MAX_URI = 2000
MAX_LIST = 20
RSA_BITS = 2048
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,127}")
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?(/[!-~]*)?")


@dataclass(frozen=True)
class Registration:
    """Everything that is registered of a client but its id and secret."""

    kind: str
    name: str
    scope: str
    redirect_uris: Sequence[str] = ()
    post_logout_redirect_uris: Sequence[str] = ()
    cors_origins: Sequence[str] = ()
    launch_uri: str | None = None
    contacts: Sequence[str] = ()
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    role: str | None = None
    organization: str | None = None
    trusted: bool = False
    lists: tuple[str, ...] = field(
        default=("redirect_uris", "post_logout_redirect_uris", "cors_origins", "contacts"), repr=False
    )


def check_id(client_id: str) -> None:
    """RuleError unless the id is plain."""
    if not _CLIENT_ID.fullmatch(client_id):
        raise RuleError("a client id has 3 to 128 letters, digits or . _ -")


def check(given: Registration, *, pending: bool = False, http_keys: bool = False) -> None:
    """RuleError unless the registration keeps every rule.

    `pending`: the role of a back end is chosen at its approval. `http_keys`: keys may come from this machine.
    """
    if not given.name.strip() or len(given.name) > 200 or not given.name.isprintable():
        raise RuleError("a client has a name of at most 200 characters")
    for name in given.lists:
        values = getattr(given, name)
        if len(values) > MAX_LIST or len(set(values)) != len(values):
            raise RuleError(f"{name} has at most {MAX_LIST} values, none twice")
    _check_addresses(given)
    _check_keys(given, http_keys=http_keys)
    wanted = scopes.parse(given.scope)
    if len(wanted.grants) + len(wanted.words) == 0:
        raise RuleError("the scope names nothing that is supported")
    if given.kind == "backend":
        _check_backend(given, wanted, pending=pending)
    elif given.kind in ("public", "confidential"):
        _check_app(given)
    else:
        raise RuleError("a client is public, confidential or backend")


def is_redirect(uri: str) -> bool:
    """https, or http on this machine; no fragment, user, wildcard or character beyond ASCII."""
    if not re.fullmatch(r"[!-~]+", uri) or len(uri) > MAX_URI or any(mark in uri for mark in "#\\*"):
        return False
    try:
        parts = urlsplit(uri)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or without_loopback_port(uri) is not None


def without_loopback_port(uri: str) -> str | None:
    """The address without its port, if it is one of this machine (RFC 8252 7.3)."""
    match = _LOOPBACK.fullmatch(uri)
    return f"http://{match[1]}{match[2] or ''}" if match else None


def is_origin(text: str) -> bool:
    """An origin as browsers write it (RFC 6454 6.2): scheme, host and port, nothing else."""
    if not is_redirect(text) or text != text.lower():
        return False
    parts = urlsplit(text)
    default = {"https": 443, "http": 80}[parts.scheme]
    return text == f"{parts.scheme}://{parts.netloc}" and parts.port != default


def is_keys_address(uri: str, *, http_keys: bool) -> bool:
    """https; http of this machine only where a setting allows it."""
    return is_redirect(uri) and (uri.startswith("https://") or http_keys)


def usable_keys(jwks: object) -> KeySet:
    """The public RSA and EC keys of a set, each with its kid; RuleError when it is not such a set."""
    if _has_small_rsa(jwks):
        raise RuleError(f"an RSA key has at least {RSA_BITS} bits")
    try:
        keys = KeySet.import_key_set(jwks).keys  # type: ignore[arg-type]
    except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RuleError("the public keys cannot be read") from error
    if not keys or any(key.is_private or not key.kid for key in keys):
        raise RuleError("public keys only, each with its kid")
    if any(key.key_type not in ("EC", "RSA") for key in keys):
        raise RuleError("keys are RSA (RS384) or EC P-384 (ES384)")
    return KeySet(keys)


def _has_small_rsa(jwks: object) -> bool:
    """Looked at before the library reads the key: it would only warn."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    moduli = [key.get("n") for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
    return any(isinstance(n, str) and len(n.rstrip("=")) * 6 < RSA_BITS for n in moduli)


def _check_addresses(given: Registration) -> None:
    if not all(map(is_redirect, given.redirect_uris)):
        raise RuleError("redirect addresses are https, or http on this machine, without a fragment")
    if not all(map(is_redirect, given.post_logout_redirect_uris)):
        raise RuleError("addresses after logout are https, or http on this machine, without a fragment")
    if given.launch_uri is not None and not is_redirect(given.launch_uri):
        raise RuleError("a launch address is https, or http on this machine, without a fragment")
    if not all(map(is_origin, given.cors_origins)):
        raise RuleError("an origin is https://host or http://localhost with a port, and nothing after it")
    if any(len(contact) > 200 or not contact.isprintable() for contact in given.contacts):
        raise RuleError("a contact has at most 200 characters")


def _check_keys(given: Registration, *, http_keys: bool) -> None:
    if given.jwks is not None and given.jwks_uri is not None:
        raise RuleError("keys or their address, not both")
    if given.jwks is not None:
        usable_keys(given.jwks)
    if given.jwks_uri is not None and not is_keys_address(given.jwks_uri, http_keys=http_keys):
        raise RuleError("the address of keys is https")
    if given.kind == "public" and (given.jwks is not None or given.jwks_uri is not None):
        raise RuleError("a public client has no keys")


def _check_backend(given: Registration, wanted: scopes.ScopeSet, *, pending: bool) -> None:
    if (given.jwks is None and given.jwks_uri is None) or given.redirect_uris:
        raise RuleError("a back end has public keys and no redirect address")
    if pending:
        return
    if given.role not in ROLES or given.role == "patient":
        raise RuleError("a back end is registered with one role")
    if (given.organization is not None) != (given.role == "external"):
        raise RuleError("the role external, and no other, has an organization")
    if not within_role(wanted, given.role).grants and "introspection" not in wanted.words:
        raise RuleError("this role has none of these scopes")


def _check_app(given: Registration) -> None:
    if given.role is not None or given.organization is not None:
        raise RuleError("the role of an app is the role of the person who uses it")
    if given.kind == "public" and scopes.parse(given.scope).words & scopes.RIGHTS:
        raise RuleError("only a client that authenticates may introspect tokens")
    if not given.redirect_uris:
        raise RuleError("redirect addresses are https, or http on this machine, without a fragment")
