"""Registration by an app itself (RFC 7591), and the administrator's side: list, approve, change, disable.

Administration is the work of an administrator in the product's own session, as for users (`routes_admin`).
"""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth import clients, registration, web
from smart_auth.clients import registration as registered
from smart_auth.errors import OAuthError
from smart_auth.models import Client
from smart_auth.routes_admin import administrator, record
from smart_auth.secret import new_id
from smart_auth.service import SMARTAuth
from smart_auth.throttle import network

HOUR_S = 3600
_CHANGES = {
    "name": str,
    "scope": str,
    "redirect_uris": list,
    "post_logout_redirect_uris": list,
    "cors_origins": list,
    "contacts": list,
    "launch_uri": str,
    "jwks_uri": str,
    "jwks": dict,
    "trusted": bool,
}
_OPTIONAL = frozenset({"launch_uri", "jwks_uri", "jwks", "role", "organization"})
_CHOICES = {"scope": str, "trusted": bool, "role": str, "organization": str}


async def register(auth: SMARTAuth, request: Request) -> Response:
    """Register an app; it waits for an administrator (RFC 7591 section 3)."""
    address = web.address(auth, request)
    settings = auth.settings
    tried = await auth.store.count("registration", network(address or ""), lifetime_s=HOUR_S)
    if tried > settings.registrations_per_hour:
        raise OAuthError("slow_down", "too many registrations from this address", 429)
    metadata = await _metadata(request)
    given = registration.read(metadata, http_keys=settings.jwks_loopback)
    now = int(time.time())
    waiting = await auth.in_thread(
        clients.forget_pending, auth.database, older_than=now - settings.registration_s
    )
    if waiting >= settings.registrations_pending:
        raise OAuthError("temporarily_unavailable", "too many registrations wait for approval", 503)
    client_id = new_id()
    # The record comes first: a registration that the trail does not know of must not be there.
    await auth.record("client-registered", "success", client=client_id, address=address)
    values = {name: getattr(given, name) for name in given.__dataclass_fields__ if name != "lists"}
    secret = await auth.in_thread(
        clients.register,
        auth.database,
        client_id,
        pending=True,
        http_keys=settings.jwks_loopback,
        **values,
    )
    client = await auth.in_thread(clients.find, auth.database, client_id)
    body = registration.answer(client, secret, registration.method_of(metadata))
    return JSONResponse(body, 201, headers=web.NO_STORE)


async def list_clients(auth: SMARTAuth, request: Request) -> Response:
    """Every client, without secrets."""
    await administrator(auth, request, "r")
    found = await auth.in_thread(clients.listed, auth.database)
    return JSONResponse({"clients": [shown(client) for client in found]}, headers=web.NO_STORE)


async def approve_client(auth: SMARTAuth, request: Request) -> Response:
    """Approve a pending client, with the ceiling, trust and (for a back end) role that are chosen."""
    admin = await administrator(auth, request, "u")
    chosen = _checked(await web.json_object(request), _CHOICES)
    client_id = request.path_params["client"]
    await record(auth, request, admin, "client-approved", target=client_id)
    client = await auth.in_thread(
        clients.approve, auth.database, client_id, http_keys=auth.settings.jwks_loopback, **chosen
    )
    return JSONResponse(shown(client), headers=web.NO_STORE)


async def change_client(auth: SMARTAuth, request: Request) -> Response:
    """Change what is registered, or disable and enable."""
    admin = await administrator(auth, request, "u")
    given = await web.json_object(request)
    client_id = request.path_params["client"]
    change = " ".join(sorted(set(given) & {*_CHANGES, "disabled"}))
    await record(auth, request, admin, "client-changed", target=client_id, change=change)
    if set(given) == {"disabled"} and isinstance(given["disabled"], bool):
        await auth.in_thread(clients.set_disabled, auth.database, client_id, disabled=given["disabled"])
    else:
        changes = _checked(given, _CHANGES)
        await auth.in_thread(
            clients.change, auth.database, client_id, http_keys=auth.settings.jwks_loopback, **changes
        )
    return JSONResponse(
        shown(await auth.in_thread(clients.find, auth.database, client_id)), headers=web.NO_STORE
    )


async def reject_client(auth: SMARTAuth, request: Request) -> Response:
    """Forget a pending client."""
    admin = await administrator(auth, request, "d")
    client_id = request.path_params["client"]
    await record(auth, request, admin, "client-changed", target=client_id, change="reject")
    await auth.in_thread(clients.reject, auth.database, client_id)
    return Response(status_code=204, headers=web.NO_STORE)


def shown(client: Client) -> dict[str, Any]:
    """What an administrator sees of a client: no secret, and no hash of one."""
    given = registered(client)
    return {
        "client_id": client.id,
        "status": client.status,
        "created_at": client.created_at,
        "created_by": client.created_by,
        **{name: getattr(given, name) for name in given.__dataclass_fields__ if name != "lists"},
    }


async def _metadata(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise OAuthError("invalid_client_metadata", "the body is JSON")
    try:
        return await web.json_object(request)
    except OAuthError as error:
        raise OAuthError("invalid_client_metadata", error.description, error.http_status) from error


def _checked(given: dict[str, Any], known: dict[str, type]) -> dict[str, Any]:
    for name, value in given.items():
        is_right = isinstance(value, known.get(name, type(None))) or (value is None and name in _OPTIONAL)
        if name not in known or not is_right:
            raise OAuthError("invalid_request", "a field is unknown or of the wrong kind")
        if isinstance(value, list) and not all(isinstance(one, str) for one in value):
            raise OAuthError("invalid_request", "a list holds texts")
    return given
