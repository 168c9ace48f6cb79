"""Users, for an administrator: create with an invitation link, list, change, reset, unlock, sessions.

Only in the product's own session: no scope says "administer", so no token carries it, whoever uses the app
and whosever app it is. Nobody changes their own role or state. Every grant of a role is an audit event.
Sources: design, section 5 (users, clients, roles), RFC 6749 section 10.3 (tokens of least scope).
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth import login, roles, totp, users, web
from smart_auth.errors import OAuthError, RuleError
from smart_auth.interaction import Principal
from smart_auth.models import User
from smart_auth.service import SMARTAuth
from smart_auth.session import CSRF_HEADER
from smart_auth.throttle import Failures
from smart_auth.users import Invitation


async def list_users(auth: SMARTAuth, request: Request) -> Response:
    """Every user with state, lock and second factor, without secrets."""
    await administrator(auth, request, "r")
    found: list[User] = await auth.in_thread(users.listed, auth.database)
    failures = await auth.in_thread(auth.throttle.failures, [user.username for user in found])
    body = {"users": [shown(user, failures[user.username]) for user in found]}
    return JSONResponse(body, headers=web.NO_STORE)


async def show_user(auth: SMARTAuth, request: Request) -> Response:
    """One user."""
    await administrator(auth, request, "r")
    return await _answer(auth, await _named(auth, request))


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
        record=_recorder(auth, request, admin, "user-created", "role-granted"),
    )
    return _invited(auth, invitation, auth.settings.invitation_s, 201)


async def change_user(auth: SMARTAuth, request: Request) -> Response:
    """Disable or enable, or another role."""
    admin = await administrator(auth, request, "u")
    user_id = request.path_params["user"]
    given = await web.json_object(request)
    if not given or not set(given) <= {"disabled", "role", "fhirUser", "organization"}:
        raise OAuthError("invalid_request", "disabled, or role with fhirUser and organization")
    if "disabled" not in given and "role" not in given:
        raise OAuthError("invalid_request", "a role is needed")
    user: User
    if "disabled" in given:
        disabled = given["disabled"] is not False
        change = "disable" if disabled else "enable"
        user = await auth.in_thread(
            users.set_disabled,
            auth.database,
            user_id,
            disabled=disabled,
            actor=admin.user_id,
            record=_recorder(auth, request, admin, "user-changed", change=change),
        )
    if "role" in given:
        user = await auth.in_thread(
            users.set_role,
            auth.database,
            user_id,
            _text(given, "role") or "",
            fhir_user=_text(given, "fhirUser"),
            organization=_text(given, "organization"),
            actor=admin.user_id,
            record=_recorder(auth, request, admin, "role-granted"),
        )
    return await _answer(auth, user)


async def reset_user(auth: SMARTAuth, request: Request) -> Response:
    """End the password and every token; the answer carries the one-time link to hand over."""
    admin = await administrator(auth, request, "u")
    lifetime = auth.settings.setup_code_s
    invitation: Invitation = await auth.in_thread(
        users.reset,
        auth.database,
        request.path_params["user"],
        lifetime_s=lifetime,
        actor=admin.user_id,
        record=_recorder(auth, request, admin, "user-changed", change="reset"),
    )
    return _invited(auth, invitation, lifetime, 200)


async def reset_second_factor(auth: SMARTAuth, request: Request) -> Response:
    """Take the second factor away from who lost phone and recovery codes; sessions and tokens end."""
    admin = await administrator(auth, request, "u")
    user = await auth.in_thread(
        users.reset_second_factor,
        auth.database,
        request.path_params["user"],
        actor=admin.user_id,
        record=_recorder(auth, request, admin, "second-factor-off", change="reset"),
    )
    return await _answer(auth, user)


async def unlock_user(auth: SMARTAuth, request: Request) -> Response:
    """Forget the failed logins of an account."""
    admin = await administrator(auth, request, "u")
    user = await _named(auth, request)
    await record(auth, request, admin, "user-changed", target=user.id, change="unlock")
    await auth.in_thread(auth.throttle.unlock, *login.throttled(user))
    return await _answer(auth, user)


async def list_sessions(auth: SMARTAuth, request: Request) -> Response:
    """Where a user is logged in."""
    await administrator(auth, request, "r")
    listed = await auth.sessions.of((await _named(auth, request)).id)
    body = {"sessions": [one.to_json() for one in listed]}
    return JSONResponse(body, headers=web.NO_STORE)


async def end_sessions(auth: SMARTAuth, request: Request) -> Response:
    """End every session and token of a user."""
    admin = await administrator(auth, request, "u")
    await auth.in_thread(
        users.end_sessions,
        auth.database,
        request.path_params["user"],
        record=_recorder(auth, request, admin, "sessions-ended"),
    )
    return Response(status_code=204, headers=web.NO_STORE)


async def administrator(auth: SMARTAuth, request: Request, letter: str) -> Principal:
    """The administrator who asks, logged in here; a token, or anybody else, gets no further."""
    principal = await auth.authenticator.authenticate(
        request.method,
        authorization=request.headers.getlist("authorization"),
        cookie=request.headers.get("cookie"),
        origin=request.headers.get("origin"),
        csrf=request.headers.get(CSRF_HEADER),
    )
    may = letter in roles.rule(principal.role, roles.ADMINISTRATION).letters
    if not may or not principal.session:
        raise OAuthError(
            "insufficient_scope", "this is an administrator's work, in a session of their own", 403
        )
    return principal


async def record(auth: SMARTAuth, request: Request, admin: Principal, kind: str, **detail: str) -> None:
    """Tell the trail what an administrator did."""
    address = web.address(auth, request)
    await auth.record(kind, "success", admin, address=address, **detail)


def _recorder(
    auth: SMARTAuth, request: Request, admin: Principal, *kinds: str, **detail: str
) -> users.Record:
    address = web.address(auth, request)
    return auth.recorder(*kinds, who=admin, address=address, **detail)


async def _named(auth: SMARTAuth, request: Request) -> User:
    """The user of the path."""
    user: User | None = await auth.in_thread(users.get, auth.database, request.path_params["user"])
    if user is None:
        raise RuleError("there is no such user")
    return user


async def _answer(auth: SMARTAuth, user: User) -> Response:
    failures = await auth.in_thread(auth.throttle.failures, [user.username])
    return JSONResponse(shown(user, failures[user.username]), headers=web.NO_STORE)


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise OAuthError("invalid_request", f"{name} is a text")
    return value


def shown(user: User, failures: Failures) -> dict[str, Any]:
    """A user as administrators see them."""
    return {
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "fhirUser": user.fhir_user,
        "organization": user.organization,
        "status": user.status,
        "secondFactor": totp.is_on(user),
        "failures": failures.count,
        "lockedUntil": failures.locked_until,
    }


def _invited(auth: SMARTAuth, invitation: Invitation, lifetime_s: int, status: int) -> Response:
    link = f"{auth.settings.issuer}/invite/{invitation.code}"
    body = {**shown(invitation.user, Failures()), "invitation": link, "expires_in": lifetime_s}
    return JSONResponse(body, status, headers=web.NO_STORE)
