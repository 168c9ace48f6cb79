"""What an app says when it registers itself (RFC 7591), read into a Registration; and what it is answered.

Open to everybody, and therefore good for nothing until an administrator approves: a pending client gets no
token, its keys are not fetched, its addresses are not used. Logos and pages that are named are not kept, so
nothing of an app is ever loaded from elsewhere.
Sources: RFC 7591 sections 2 and 3, OpenID Connect RP-Initiated Logout 3.1 (`post_logout_redirect_uris`),
SMART App Launch 2.2.0 "Register App with EHR". `launch_uri` and `cors_origins` are ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from smart_auth import client_rules, scopes
from smart_auth.client_rules import Registration
from smart_auth.clients import ClientKind
from smart_auth.errors import OAuthError, RuleError
from smart_auth.models import Client

METHODS: Mapping[str, ClientKind] = {
    "none": "public",
    "client_secret_basic": "confidential",
    "client_secret_post": "confidential",
    "private_key_jwt": "confidential",
}
PERSON_GRANTS = frozenset({"authorization_code", "refresh_token"})
BACKEND_GRANTS = frozenset({"client_credentials"})
_LISTS = ("redirect_uris", "post_logout_redirect_uris", "cors_origins", "contacts")
_TEXTS = ("client_name", "scope", "launch_uri", "initiate_login_uri", "jwks_uri")


def read(metadata: Mapping[str, Any], *, http_keys: bool = False) -> Registration:
    """The registration, or the error of RFC 7591 section 3.2.2."""
    if "software_statement" in metadata:
        raise OAuthError("invalid_software_statement", "software statements are not supported")
    texts = {name: _text(metadata, name) for name in _TEXTS}
    lists = {name: _texts(metadata, name) for name in _LISTS}
    if not all(map(client_rules.is_redirect, lists["redirect_uris"])):
        raise OAuthError(
            "invalid_redirect_uri", "https, or http on the loopback address; no fragment, user or wildcard"
        )
    kind, method = _kind(metadata)
    scope = texts["scope"] or ""
    _check_scope(scope, kind)
    jwks = metadata.get("jwks")
    if (jwks is not None or texts["jwks_uri"] is not None) != (method == "private_key_jwt"):
        raise _invalid("jwks or jwks_uri, with private_key_jwt alone")
    given = Registration(
        kind=kind,
        name=(texts["client_name"] or "").strip() or "Unnamed app",
        scope=scope,
        redirect_uris=lists["redirect_uris"],
        post_logout_redirect_uris=lists["post_logout_redirect_uris"],
        cors_origins=lists["cors_origins"],
        launch_uri=texts["launch_uri"] or texts["initiate_login_uri"],
        contacts=lists["contacts"],
        jwks=jwks,
        jwks_uri=texts["jwks_uri"],
    )
    try:
        client_rules.check(given, pending=True, http_keys=http_keys)
    except RuleError as error:
        raise _invalid(error.text) from error
    return given


def answer(client: Client, secret: str | None, method: str) -> dict[str, Any]:
    """Body of the 201 (RFC 7591 section 3.2.1), with the state that the client waits in."""
    is_backend = client.kind == "backend"
    body: dict[str, Any] = {
        "client_id": client.id,
        "client_id_issued_at": client.created_at,
        "client_name": client.name,
        "token_endpoint_auth_method": method,
        "grant_types": sorted(BACKEND_GRANTS if is_backend else PERSON_GRANTS),
        "response_types": [] if is_backend else ["code"],
        "scope": client.scope,
        "status": client.status,
        **{name: json.loads(getattr(client, name)) for name in _LISTS},
    }
    if client.jwks:
        body["jwks"] = json.loads(client.jwks)
    body |= {name: value for name in ("jwks_uri", "launch_uri") if (value := getattr(client, name))}
    if secret is not None:
        body |= {"client_secret": secret, "client_secret_expires_at": 0}
    return body


def method_of(metadata: Mapping[str, Any]) -> str:
    """How the client wants to authenticate (RFC 7591 section 2: by Basic unless it says otherwise)."""
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    if not isinstance(method, str) or method not in METHODS:
        raise _invalid("token_endpoint_auth_method is not supported")
    return method


def _kind(metadata: Mapping[str, Any]) -> tuple[ClientKind, str]:
    method = method_of(metadata)
    grants = frozenset(_texts(metadata, "grant_types")) or frozenset({"authorization_code"})
    if grants == BACKEND_GRANTS:
        if method != "private_key_jwt":
            raise _invalid("a back end authenticates with private_key_jwt")
        return "backend", method
    if not grants <= PERSON_GRANTS or "authorization_code" not in grants:
        raise _invalid("grant_types is authorization_code with refresh_token, or client_credentials")
    if set(_texts(metadata, "response_types")) - {"code"}:
        raise _invalid("response_types is code")
    return METHODS[method], method


def _check_scope(scope: str, kind: ClientKind) -> None:
    for part in scope.split():
        grant = scopes.parse_grant(part)
        if grant is None and (part not in scopes.WORDS or part in scopes.RIGHTS):
            raise _invalid("the scope holds what is not offered to apps that register themselves")
        if (grant.context if grant else "") == "system" and kind != "backend":
            raise _invalid("system scopes are for back ends")
        if kind == "backend" and (grant is None or grant.context != "system"):
            raise _invalid("a back end asks for system scopes alone")


def _text(metadata: Mapping[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"{name} is a text")
    return value or None


def _texts(metadata: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = metadata.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        error = "invalid_redirect_uri" if name == "redirect_uris" else "invalid_client_metadata"
        raise OAuthError(error, f"{name} is a list of texts")
    return tuple(values)


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)
