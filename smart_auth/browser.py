"""What the browser keeps of us: the cookies of a session, of a half login and of a known browser.

Sources: RFC 6265bis (prefixes, SameSite), OWASP Session Management.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from smart_auth import device, login, useragent, web
from smart_auth.errors import InvalidTokenError, NoCredentialsError
from smart_auth.models import User
from smart_auth.service import SMARTAuth
from smart_auth.session import CSRF_HEADER, Session, Started, is_csrf

HALF_COOKIE = "neuronova_half"
LOGIN_PATH = "/auth/login"


async def current(auth: SMARTAuth, request: Request) -> Session | None:
    """The session of this browser."""
    try:
        return await auth.authenticator.session(request.headers.get("cookie"))
    except (InvalidTokenError, NoCredentialsError):
        return None


async def login_session(auth: SMARTAuth, request: Request) -> Session | None:
    """The session by the login cookie, which a link from an app's site brings as well (SameSite=Lax)."""
    secret = request.cookies.get(auth.login_cookie)
    return await auth.sessions.by_login_cookie(secret) if secret else None


async def start_session(
    auth: SMARTAuth, request: Request, user: User, *, continued: Session | None = None
) -> Started:
    """A new session of new secrets; the one that this browser had ends."""
    before = await current(auth, request)
    if before is not None:
        await auth.sessions.end(before)
    return await auth.sessions.start(
        user,
        address=web.address(auth, request),
        browser=useragent.kind(request.headers.get("user-agent")),
        continued=continued,
    )


async def logged_in(auth: SMARTAuth, request: Request, user: User) -> Started:
    """A session after the last step of a login, with its record."""
    started = await start_session(auth, request, user)
    address = web.address(auth, request)
    await auth.record("login", "success", started.session, address=address)
    return started


def keep_session(auth: SMARTAuth, response: Response, started: Started, username: str) -> None:
    """Give the browser its session, and remember the browser."""
    secure = auth.settings.is_tls
    response.set_cookie(
        auth.viewer_cookie, started.viewer, path="/", secure=secure, httponly=True, samesite="strict"
    )
    response.set_cookie(
        auth.login_cookie, started.login, path="/auth", secure=secure, httponly=True, samesite="lax"
    )
    response.set_cookie(
        _named(auth, device.COOKIE),
        device.issue(auth.keys.device_secret, username),
        max_age=device.LIFETIME_S,
        path=LOGIN_PATH,
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def drop_session(auth: SMARTAuth, response: Response) -> None:
    """Take the session's cookies back; the browser stays a known one."""
    for name, path in ((auth.viewer_cookie, "/"), (auth.login_cookie, "/auth")):
        response.delete_cookie(name, path=path, secure=auth.settings.is_tls, httponly=True)


def device_cookie(auth: SMARTAuth, request: Request) -> str | None:
    """What the browser says about earlier logins."""
    return request.cookies.get(_named(auth, device.COOKIE))


def half_secret(auth: SMARTAuth, request: Request) -> str | None:
    """The secret of this browser's half login."""
    return request.cookies.get(_named(auth, HALF_COOKIE))


def keep_half(auth: SMARTAuth, response: Response, secret: str) -> None:
    """Bind a half login to this browser."""
    response.set_cookie(
        _named(auth, HALF_COOKIE),
        secret,
        max_age=login.ENROL_S,
        path=LOGIN_PATH,
        secure=auth.settings.is_tls,
        httponly=True,
        samesite="strict",
    )


def drop_half(auth: SMARTAuth, response: Response) -> None:
    """The half login is used up."""
    response.delete_cookie(
        _named(auth, HALF_COOKIE), path=LOGIN_PATH, secure=auth.settings.is_tls, httponly=True
    )


def is_genuine(auth: SMARTAuth, request: Request, session: Session, form_value: str | None) -> bool:
    """Whether an unsafe request by the session's cookie comes from our own page."""
    given = request.headers.get(CSRF_HEADER) or form_value
    return web.is_own_origin(auth, request) and is_csrf(given, session)


def _named(auth: SMARTAuth, name: str) -> str:
    """Under TLS no page without TLS may set it."""
    return f"__Secure-{name}" if auth.settings.is_tls else name
