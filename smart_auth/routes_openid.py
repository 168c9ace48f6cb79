"""OpenID Connect beyond the code flow: userinfo, and where the browser goes after a logout that an app wants.

Sources: OpenID Connect Core 5.3 (userinfo), RP-Initiated Logout 1.0 sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from smart_auth import clients, web
from smart_auth.authenticate import bearer
from smart_auth.authorize import MAX_VALUE, answer_uri
from smart_auth.errors import InvalidTokenError, NoCredentialsError, OAuthError
from smart_auth.service import SMARTAuth
from smart_auth.session import Session

LOGOUT_PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "lang")


async def userinfo(auth: SMARTAuth, request: Request) -> Response:
    """Who the person is, for an access token with `openid`; no more than the scope says."""
    authorization = request.headers.getlist("authorization")
    if not authorization:
        raise NoCredentialsError
    principal = auth.verifier.verify(bearer(authorization))
    words = principal.scopes.words
    if principal.user_id is None or "openid" not in words:
        raise OAuthError("insufficient_scope", "the scope openid is needed", 403)
    body: dict[str, Any] = {"sub": principal.user_id}
    if words & {"fhirUser", "profile"} and principal.fhir_user:
        body["fhirUser"] = f"{auth.settings.audience}/{principal.fhir_user}"
    if "profile" in words and principal.fhir_user:
        body["profile"] = body["fhirUser"]
    return JSONResponse(body, headers=web.NO_STORE)


async def after_logout(auth: SMARTAuth, given: Mapping[str, str], session: Session | None) -> str | None:
    """Where the browser goes after the logout: an address registered by the app that the id token names.

    None, and so our own page, for anything that is not exactly right: this must not become an open redirect.
    """
    uri, hint = given.get("post_logout_redirect_uri"), given.get("id_token_hint")
    state = given.get("state", "")
    if not uri or not hint or len(state) > MAX_VALUE:
        return None
    try:
        claims = auth.verifier.id_token_claims(hint)
    except InvalidTokenError:
        return None
    client_id = str(claims.get("aud"))
    if given.get("client_id", client_id) != client_id:
        return None
    if session is not None and session.user_id != claims.get("sub"):
        return None
    client = await auth.client(client_id)
    if client is None or not clients.allows_after_logout(client, uri):
        return None
    return answer_uri(uri, {"state": state}) if state else uri


def logout_again(given: Mapping[str, str]) -> Response:
    """An app's own form comes without cookies; the page that it leads to has them and asks the person."""
    kept = {name: given[name] for name in LOGOUT_PARAMETERS if name in given}
    target = f"/auth/logout?{urlencode(kept)}" if kept else "/auth/logout"
    return RedirectResponse(target, 303, headers={**web.NO_STORE, "Referrer-Policy": "no-referrer"})
