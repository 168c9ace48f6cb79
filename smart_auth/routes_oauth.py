"""Protocol endpoints: authorize, token, revoke, jwks, openid-configuration.

Sources: RFC 6749 3.1 and 3.2, RFC 8707, RFC 9207, RFC 7009, RFC 7517, SMART App Launch 2.2.0 "App Launch:
Standalone".
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth import authorize, browser, discovery, routes_flow, web
from smart_auth.authorize import RedirectError
from smart_auth.errors import OAuthError
from smart_auth.events import Agent
from smart_auth.grants import ReuseError
from smart_auth.progress import Progress
from smart_auth.service import SMARTAuth


async def authorize_(auth: SMARTAuth, request: Request) -> Response:
    """Start the code flow: keep the request and go to its first step."""
    parameters = await web.pairs(request) if request.method == "POST" else request.query_params.multi_items()
    client = await auth.client(authorize.client_of(parameters))
    try:
        asked = authorize.read(parameters, client, audience=auth.settings.audience)
    except RedirectError as error:
        return await routes_flow.redirect_error(auth, request, error)
    # A POST from another site brings no cookie (SameSite=Lax), the page after it does: the time counts too.
    session = await browser.login_session(auth, request)
    before = session.sid if session is not None else None
    progress = Progress(asked, before, int(time.time()))
    request_id = await auth.store.put("request", progress.to_json(), lifetime_s=auth.settings.request_s)
    return await routes_flow.go_on(auth, request, request_id)


async def token(auth: SMARTAuth, request: Request) -> Response:
    """RFC 6749 3.2."""
    form = await web.form(request)
    client = await auth.clients.authenticate(form, request.headers.get("authorization"))
    grant_type = form.get("grant_type", "")
    address = web.address(auth, request)
    try:
        if not authorize.is_this_server(form.get("resource"), auth.settings.audience):
            raise OAuthError("invalid_target", "resource names this FHIR server")
        if grant_type == "authorization_code" and client.kind != "backend":
            granted = await auth.grants.by_code(client, form)
        elif grant_type == "refresh_token" and client.kind != "backend":
            granted = await auth.grants.by_refresh_token(client, form)
        elif grant_type == "client_credentials":
            granted = await auth.grants.by_client_credentials(client, form)
        else:
            raise OAuthError("unsupported_grant_type", "this grant type is not supported for this client")
    except ReuseError as error:
        await auth.record("reuse", "failure", error.user, client=client.id, address=address)
        raise
    except OAuthError:
        await auth.record("token", "failure", client=client.id, address=address)
        raise
    given = granted.subject
    await auth.record("token", "success", Agent(given.user_id, given.role, client.id, granted.jti, address))
    return JSONResponse(granted.answer, headers=web.NO_STORE)


async def revoke(auth: SMARTAuth, request: Request) -> Response:
    """RFC 7009: always 200 for an authenticated client."""
    form = await web.form(request)
    client = await auth.clients.authenticate(form, request.headers.get("authorization"))
    if "token" not in form:
        raise OAuthError("invalid_request", "token is missing")
    ended = await auth.grants.revoke(client, form["token"])
    await auth.record("revoke", "success", ended, client=client.id, address=web.address(auth, request))
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
