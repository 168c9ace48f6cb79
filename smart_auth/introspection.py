"""Introspection: a resource server asks what a token is good for (RFC 7662; SMART App Launch 2.2.0 "Token
Introspection").

Who asks authenticates as a client, or with a bearer token of one, and is registered with the right
`introspection`; nobody else learns anything, not even whether a token exists. What is not an access token of
ours that is good at this moment is `{"active": false}`: unknown, foreign, ended, an id or a refresh token.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth import scopes, web
from smart_auth.authenticate import bearer
from smart_auth.errors import InvalidTokenError, OAuthError
from smart_auth.events import Agent
from smart_auth.models import GrantFamily
from smart_auth.service import SMARTAuth

RIGHT = "introspection"
INACTIVE = {"active": False}


async def introspect(auth: SMARTAuth, request: Request) -> Response:
    """RFC 7662 section 2."""
    form = await web.form(request)
    client_id = await _asker(auth, request, form)
    if "token" not in form:
        raise OAuthError("invalid_request", "token is missing")
    body = await describe(auth, form["token"])
    # The trail first: who was told about whom.
    await auth.record(
        "introspect",
        "success" if body["active"] else "failure",
        Agent(body.get("uid"), body.get("role"), client_id, body.get("jti"), web.address(auth, request)),
    )
    body.pop("uid", None)
    return JSONResponse(body, headers=web.NO_STORE)


async def describe(auth: SMARTAuth, token: str) -> dict[str, Any]:
    """What a token is good for; `uid` is for the trail alone."""
    try:
        principal, issued = auth.verifier.describe(token)
    except InvalidTokenError:
        return dict(INACTIVE)
    grant = await auth.in_thread(_grant, auth, principal.grant_id) if principal.grant_id else None
    context: dict[str, Any] = json.loads(grant.launch) if grant is not None and grant.launch else {}
    body: dict[str, Any] = {
        "active": True,
        "scope": str(principal.scopes),
        "client_id": principal.client_id,
        "sub": principal.user_id or principal.client_id,
        "exp": principal.expires,
        "iat": issued,
        "iss": auth.settings.issuer,
        "aud": auth.settings.audience,
        "jti": principal.jti,
        "token_type": "Bearer",
        "role": principal.role,
    }
    optional = {
        "fhirUser": f"{auth.settings.audience}/{principal.fhir_user}" if principal.fhir_user else None,
        "patient": principal.patient,
        "encounter": grant.encounter if grant is not None else None,
        "uid": principal.user_id,
    }
    # A launch context never says who, for whom or until when.
    return {**context, **body, **{name: value for name, value in optional.items() if value is not None}}


async def _asker(auth: SMARTAuth, request: Request, form: dict[str, str]) -> str:
    """The client that asks; 401 for nobody, 403 for one without the right."""
    authorization = request.headers.getlist("authorization")
    if authorization and authorization[0].lower().startswith("bearer "):
        principal = auth.verifier.verify(bearer(authorization))
        client = await auth.client(principal.client_id)
        held = principal.scopes.words
    else:
        client = await auth.clients.authenticate(form, request.headers.get("authorization"))
        held = frozenset({RIGHT})
    if client is None or client.kind == "public" or RIGHT not in held & scopes.parse(client.scope).words:
        raise OAuthError("insufficient_scope", "this client may not introspect tokens", 403)
    return client.id


def _grant(auth: SMARTAuth, grant_id: str) -> GrantFamily | None:
    with auth.database.read() as session:
        return session.get(GrantFamily, grant_id)
