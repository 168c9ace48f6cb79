"""Who sends a request: a bearer token or the viewer's cookie, never both.

Source: RFC 6750 section 2.1 (Authorization header only; no token in query or body).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie

from smart_auth.errors import InvalidTokenError, MixedCredentialsError, NoCredentialsError
from smart_auth.interaction import Principal
from smart_auth.session import Session, Sessions
from smart_auth.tokens import Verifier


class Authenticator:
    """Reads credentials from headers."""

    def __init__(self, verifier: Verifier, sessions: Sessions, *, viewer_cookie: str) -> None:
        self._verifier = verifier
        self._sessions = sessions
        self._viewer_cookie = viewer_cookie

    async def authenticate(
        self,
        method: str,
        *,
        authorization: Sequence[str] = (),
        cookie: str | None = None,
        origin: str | None = None,
        csrf: str | None = None,
    ) -> Principal:
        """The caller, or one of the errors of this folder. `authorization` holds every such header."""
        secret = cookies(cookie).get(self._viewer_cookie)
        if authorization and secret:
            raise MixedCredentialsError
        if authorization:
            return self._verifier.verify(bearer(authorization))
        session = await self.session(cookie)
        self._sessions.check_unsafe(session, method=method, origin=origin, csrf=csrf)
        return session.principal()

    async def session(self, cookie: str | None) -> Session:
        """The viewer's session of a Cookie header."""
        secret = cookies(cookie).get(self._viewer_cookie)
        if not secret:
            raise NoCredentialsError
        return await self._sessions.by_viewer_cookie(secret)


def bearer(authorization: Sequence[str]) -> str:
    """The token of exactly one `Authorization: Bearer` header."""
    if len(authorization) != 1:
        raise InvalidTokenError
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token:
        raise InvalidTokenError
    return token


def cookies(header: str | None) -> Mapping[str, str]:
    """Cookies of a header by name; an unreadable header has none."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header or "").items()}
    except CookieError:
        return {}
