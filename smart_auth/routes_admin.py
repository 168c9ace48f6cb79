"""Users, for an administrator's access token: create with an invitation link, list, change, reset.

Only a first-party app may do this (a stranger's app in an administrator's hands may not), and nobody changes
their own role or state. Every grant of a role is an audit event.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth import roles, users, web
from smart_auth.authenticate import bearer
from smart_auth.errors import NoCredentialsError, OAuthError
from smart_auth.interaction import Principal
from smart_auth.models import User
from smart_auth.service import SMARTAuth
from smart_auth.users import Invitation


async def list_users(auth: SMARTAuth, request: Request) -> Response:
    """Every user, without secrets."""
    await administrator(auth, request, "r")
    found = await auth.in_thread(users.listed, auth.database)
    return JSONResponse({"users": [_shown(user) for user in found]}, headers=web.NO_STORE)


async def create_user(auth: SMARTAuth, request: Request) -> Response:
    """A new user; the answer carries the one-time invitation link to hand over."""
    admin = await administrator(auth, request, "c")
    given = await web.json_object(request)
    invitation: Invitation = await auth.in_thread(
        users.create,
        auth.database,
        _text(given, "username") or "",
        _text(given, "role") or "",
        fhir_user=_text(given, "fhirUser"),
        organization=_text(given, "organization"),
        created_by=admin.user_id,
        lifetime_s=auth.settings.invitation_s,
    )
    await record(auth, request, admin, "user-created")
    await record(auth, request, admin, "role-granted")
    return _invited(auth, invitation, auth.settings.invitation_s, 201)


async def change_user(auth: SMARTAuth, request: Request) -> Response:
    """Disable or enable, or another role."""
    admin = await administrator(auth, request, "u")
    user_id = request.path_params["user"]
    given = await web.json_object(request)
    if not given or not set(given) <= {"disabled", "role", "fhirUser", "organization"}:
        raise OAuthError("invalid_request", "disabled, or role with fhirUser and organization")
    user: User
    if "disabled" in given:
        user = await auth.in_thread(
            users.set_disabled,
            auth.database,
            user_id,
            disabled=given["disabled"] is not False,
            actor=admin.user_id,
        )
        await record(auth, request, admin, "user-changed")
    if "role" in given:
        user = await auth.in_thread(
            users.set_role,
            auth.database,
            user_id,
            _text(given, "role") or "",
            fhir_user=_text(given, "fhirUser"),
            organization=_text(given, "organization"),
            actor=admin.user_id,
        )
        await record(auth, request, admin, "role-granted")
    elif "disabled" not in given:
        raise OAuthError("invalid_request", "a role is needed")
    return JSONResponse(_shown(user), headers=web.NO_STORE)


async def reset_user(auth: SMARTAuth, request: Request) -> Response:
    """End the password and every token; the answer carries the one-time link to hand over."""
    admin = await administrator(auth, request, "u")
    lifetime = auth.settings.setup_code_s
    invitation: Invitation = await auth.in_thread(
        users.reset, auth.database, request.path_params["user"], lifetime_s=lifetime
    )
    await record(auth, request, admin, "user-changed")
    return _invited(auth, invitation, lifetime, 200)


async def administrator(auth: SMARTAuth, request: Request, letter: str) -> Principal:
    """The administrator who asks, with the hospital's own app; nobody else gets further."""
    authorization = request.headers.getlist("authorization")
    if not authorization:
        raise NoCredentialsError
    principal = auth.verifier.verify(bearer(authorization))
    client = await auth.client(principal.client_id)
    may = letter in roles.rule(principal.role, roles.ADMINISTRATION).letters
    if not may or principal.user_id is None or client is None or not client.trusted:
        raise OAuthError("insufficient_scope", "this is an administrator's work", 403)
    return principal


async def record(auth: SMARTAuth, request: Request, admin: Principal, kind: str) -> None:
    """Tell the trail what an administrator did."""
    await auth.record(
        kind, "success", user=admin.user_id, client=admin.client_id, address=web.address(auth, request)
    )


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise OAuthError("invalid_request", f"{name} is a text")
    return value


def _shown(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "fhirUser": user.fhir_user,
        "organization": user.organization,
        "status": user.status,
    }


def _invited(auth: SMARTAuth, invitation: Invitation, lifetime_s: int, status: int) -> Response:
    link = f"{auth.settings.issuer}/invite/{invitation.code}"
    body = {**_shown(invitation.user), "invitation": link, "expires_in": lifetime_s}
    return JSONResponse(body, status, headers=web.NO_STORE)
