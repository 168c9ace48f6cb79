"""Protocol endpoints: authorize, continue, token, revoke, jwks, openid-configuration.

Sources: RFC 6749 3.1 and 3.2, RFC 9207, RFC 7009, RFC 7517, SMART App Launch 2.2.0 "App Launch: Standalone".
"""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from smart_auth import authorize, discovery, web
from smart_auth.authorize import AuthorizationRequest, RedirectError
from smart_auth.errors import OAuthError, PageError
from smart_auth.grants import ReuseError
from smart_auth.models import Client
from smart_auth.service import SMARTAuth
from smart_auth.session import Session


async def authorize_(auth: SMARTAuth, request: Request) -> Response:
    """Start the code flow: send the person to the login page, or on, if they are logged in."""
    parameters = await web.pairs(request) if request.method == "POST" else request.query_params.multi_items()
    client = await auth.client(authorize.client_of(parameters))
    try:
        asked = authorize.read(parameters, client, audience=auth.settings.audience)
        session = await _session(auth, request)
        # A POST from another site brings no cookie (SameSite=Lax), so it always ends at the login page.
        if session is not None and not asked.login_again and _is_fresh(asked, session):
            return await _finish(auth, request, asked, session)
        if asked.silent:
            raise RedirectError(
                asked.client_id, asked.redirect_uri, asked.state, "login_required", "nobody is logged in"
            )
    except RedirectError as error:
        return await _redirect_error(auth, request, error)
    kept = {"asked": asked.to_json(), "sid": session.sid if session is not None else None}
    request_id = await auth.store.put("request", kept, lifetime_s=auth.settings.request_s)
    return _redirect(f"/auth/login?request={request_id}")


async def continue_(auth: SMARTAuth, request: Request) -> Response:
    """Go on with a kept request after the login."""
    request_id = request.query_params.get("request", "")
    kept = await auth.store.get("request", request_id)
    if kept is None:
        raise PageError("this request is over")
    asked = AuthorizationRequest(**kept["asked"])
    session = await _session(auth, request)
    # `prompt=login` is met by another login than the one that was there when the app asked.
    is_old = session is None or (asked.login_again and session.sid == kept["sid"])
    if session is None or is_old or not _is_fresh(asked, session):
        return _redirect(f"/auth/login?request={request_id}")
    if await auth.store.take("request", request_id) is None:
        raise PageError("this request is over")
    try:
        return await _finish(auth, request, asked, session)
    except RedirectError as error:
        return await _redirect_error(auth, request, error)


async def token(auth: SMARTAuth, request: Request) -> Response:
    """RFC 6749 3.2."""
    form = await web.form(request)
    client = await auth.clients.authenticate(form, request.headers.get("authorization"))
    grant_type = form.get("grant_type", "")
    address = web.address(auth, request)
    user_id: str | None = None
    try:
        if grant_type == "authorization_code" and client.kind != "backend":
            answer, user_id = await auth.grants.by_code(client, form)
        elif grant_type == "refresh_token" and client.kind != "backend":
            answer, user_id = await auth.grants.by_refresh_token(client, form)
        elif grant_type == "client_credentials":
            answer = await auth.grants.by_client_credentials(client, form)
        else:
            raise OAuthError("unsupported_grant_type", "this grant type is not supported for this client")
    except ReuseError as error:
        await auth.record("reuse", "failure", user=error.user_id, client=client.id, address=address)
        raise
    except OAuthError:
        await auth.record("token", "failure", user=None, client=client.id, address=address)
        raise
    await auth.record("token", "success", user=user_id, client=client.id, address=address)
    return JSONResponse(answer, headers=web.NO_STORE)


async def revoke(auth: SMARTAuth, request: Request) -> Response:
    """RFC 7009: always 200 for an authenticated client."""
    form = await web.form(request)
    client = await auth.clients.authenticate(form, request.headers.get("authorization"))
    if "token" not in form:
        raise OAuthError("invalid_request", "token is missing")
    await auth.grants.revoke(client, form["token"])
    await auth.record("revoke", "success", user=None, client=client.id, address=web.address(auth, request))
    return Response(status_code=200, headers=web.NO_STORE)


async def jwks(auth: SMARTAuth, request: Request) -> Response:
    """Public keys of tokens (RFC 7517)."""
    return JSONResponse(auth.keys.jwks(), headers={"Cache-Control": "public, max-age=300"})


async def report_key(auth: SMARTAuth, request: Request) -> Response:
    """Public key of report signatures, for whoever checks a signed report."""
    return JSONResponse(
        {"keys": [auth.keys.report.public()]}, headers={"Cache-Control": "public, max-age=300"}
    )


async def openid_configuration(auth: SMARTAuth, request: Request) -> Response:
    """OpenID Connect Discovery 4."""
    return JSONResponse(discovery.openid_configuration(auth.settings))


async def _session(auth: SMARTAuth, request: Request) -> Session | None:
    secret = request.cookies.get(auth.login_cookie)
    return await auth.sessions.by_login_cookie(secret) if secret else None


def _is_fresh(asked: AuthorizationRequest, session: Session) -> bool:
    """Whether the login is new enough for `max_age` (OpenID Connect Core 3.1.2.1)."""
    return asked.max_age is None or int(time.time()) - session.auth_time <= asked.max_age


async def _finish(
    auth: SMARTAuth, request: Request, asked: AuthorizationRequest, session: Session
) -> Response:
    client = await auth.client(asked.client_id)
    if client is None:
        raise PageError("the app is not registered")
    _check_consent(client, asked)
    code = await auth.grants.issue_code(asked, client, session)
    if code is None:
        raise RedirectError(
            asked.client_id, asked.redirect_uri, asked.state, "invalid_scope", "nothing of it can be granted"
        )
    answer = {"code": code, "state": asked.state, "iss": auth.settings.issuer}
    return _redirect(authorize.answer_uri(asked.redirect_uri, answer))


def _check_consent(client: Client, asked: AuthorizationRequest) -> None:
    """An app that is not the hospital's own needs the person's consent; until there is a page for it: no."""
    if not client.trusted:
        raise RedirectError(
            asked.client_id, asked.redirect_uri, asked.state, "access_denied", "consent is needed"
        )


async def _redirect_error(auth: SMARTAuth, request: Request, error: RedirectError) -> Response:
    address = web.address(auth, request)
    await auth.record("authorize", "failure", user=None, client=error.client_id, address=address)
    answer: dict[str, Any] = {"error": error.error, "error_description": error.description}
    if error.state is not None:
        answer["state"] = error.state
    answer["iss"] = auth.settings.issuer
    return _redirect(authorize.answer_uri(error.redirect_uri, answer))


def _redirect(target: str) -> Response:
    return RedirectResponse(target, 303, headers={**web.NO_STORE, "Referrer-Policy": "no-referrer"})
