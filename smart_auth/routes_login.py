"""Pages and first-party endpoints of a person: login, logout, me, set-up, invitation, ticket.

Sources: OWASP Authentication and Session Management; RFC 6265bis; the product's design, section 7.
"""

from __future__ import annotations

import hmac
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from smart_auth import pages, roles, users, web
from smart_auth.authenticate import bearer
from smart_auth.errors import CrossSiteError, InvalidTokenError, NoCredentialsError, OAuthError, RuleError
from smart_auth.interaction import Principal
from smart_auth.service import SMARTAuth
from smart_auth.session import CSRF_HEADER, Session, Started
from smart_auth.texts import TEXTS, language
from smart_auth.tickets import TICKET_S


async def login_page(auth: SMARTAuth, request: Request) -> Response:
    """The login form."""
    request_id = request.query_params.get("request", "")
    return await _login_form(auth, request, request_id, request.query_params.get("next", ""))


async def login(auth: SMARTAuth, request: Request) -> Response:
    """Check a password; on success start the session and go on."""
    if not web.is_own_origin(auth, request):
        raise CrossSiteError
    if request.headers.get("content-type", "").startswith("application/json"):
        return await _login_json(auth, request)
    form = await web.form(request)
    request_id, next_path = form.get("request", ""), form.get("next", "")
    if not pages.is_form_genuine(request, auth.keys.form_secret, form.get("csrf")):
        return await _login_form(auth, request, request_id, next_path, error="login_expired", status=403)
    user, wait = await auth.login(
        form.get("username", ""), form.get("password", ""), web.address(auth, request)
    )
    if user is None:
        key, status = ("login_wait", 429) if wait else ("login_failed", 401)
        return await _login_form(auth, request, request_id, next_path, error=key, status=status, seconds=wait)
    await _end_current(auth, request)
    started = await auth.sessions.start(user)
    target = f"/auth/continue?request={request_id}" if request_id else pages.local_path(next_path)
    response = RedirectResponse(target, 303, headers=web.NO_STORE)
    _set_cookies(auth, response, started)
    return response


async def logout_page(auth: SMARTAuth, request: Request) -> Response:
    """A page with one button (a link alone must not log anybody out)."""
    session = await _current(auth, request)
    if session is None:
        return pages.message(request, "logged_out")
    return pages.render(request, "logout.html", csrf=session.csrf)


async def logout(auth: SMARTAuth, request: Request) -> Response:
    """End the session with its tokens and cookies, or the grant of a bearer token."""
    authorization = request.headers.getlist("authorization")
    is_form = request.headers.get("content-type", "").startswith(web.FORM)
    form = await web.form(request) if is_form else {}
    session = await _current(auth, request)
    if authorization and session is None:
        principal = auth.verifier.verify(bearer(authorization))
        await auth.grants.end_grant(principal)
        await _record(auth, request, "logout", principal.user_id, principal.client_id)
        return Response(status_code=204, headers=web.NO_STORE)
    if session is not None:
        csrf = request.headers.get(CSRF_HEADER) or form.get("csrf") or ""
        if not web.is_own_origin(auth, request) or not hmac.compare_digest(csrf, session.csrf):
            raise CrossSiteError
        await auth.grants.end_session(session)
        await _record(auth, request, "logout", session.user_id, None)
    response = pages.message(request, "logged_out") if is_form else Response(status_code=204)
    response.headers["Clear-Site-Data"] = '"cache"'
    for name, path in ((auth.viewer_cookie, "/"), (auth.login_cookie, "/auth")):
        response.delete_cookie(name, path=path, secure=auth.settings.is_tls, httponly=True)
    return response


async def me(auth: SMARTAuth, request: Request) -> Response:
    """Who am I, what may my role do, and the CSRF value of the session."""
    authorization = request.headers.getlist("authorization")
    principal = await auth.authenticator.authenticate(
        "GET", authorization=authorization, cookie=request.headers.get("cookie")
    )
    user = await auth.in_thread(users.get, auth.database, principal.user_id) if principal.user_id else None
    body: dict[str, Any] = {
        "username": user.username if user is not None else None,
        "user": principal.user_id,
        "client": principal.client_id,
        "role": principal.role,
        "fhirUser": principal.fhir_user,
        "organization": principal.organization,
        "scope": str(principal.scopes),
        "authTime": principal.auth_time,
        "expires": principal.expires,
        "permissions": _permissions(principal),
    }
    if principal.session:
        body["csrf"] = (await auth.authenticator.session(request.headers.get("cookie"))).csrf
    return JSONResponse(body, headers=web.NO_STORE)


async def ticket(auth: SMARTAuth, request: Request) -> Response:
    """A one-time ticket for the WebSocket."""
    principal = await auth.authenticator.authenticate(
        "POST",
        authorization=request.headers.getlist("authorization"),
        cookie=request.headers.get("cookie"),
        origin=request.headers.get("origin"),
        csrf=request.headers.get(CSRF_HEADER),
    )
    value = await auth.tickets.issue(principal)
    return JSONResponse({"ticket": value, "expires_in": TICKET_S}, headers=web.NO_STORE)


async def setup_page(auth: SMARTAuth, request: Request) -> Response:
    """Form of the first administrator."""
    return _password_form(auth, request, "setup", "/auth/setup")


async def setup(auth: SMARTAuth, request: Request) -> Response:
    """Make the first administrator."""
    return await _choose_password(auth, request, "setup", "/auth/setup", None)


async def invite_page(auth: SMARTAuth, request: Request) -> Response:
    """Form of an invitation or reset link."""
    code = request.path_params["code"]
    if not await auth.in_thread(users.is_invited, auth.database, code):
        return pages.message(request, "link_invalid", status=404)
    return _password_form(auth, request, "invite", f"/auth/invite/{code}")


async def invite(auth: SMARTAuth, request: Request) -> Response:
    """Set the password of an invited person."""
    code = request.path_params["code"]
    return await _choose_password(auth, request, "invite", f"/auth/invite/{code}", code)


async def _choose_password(
    auth: SMARTAuth, request: Request, title: str, action: str, code: str | None
) -> Response:
    form = await web.form(request)
    if not web.is_own_origin(auth, request) or not pages.is_form_genuine(
        request, auth.keys.form_secret, form.get("csrf")
    ):
        return _password_form(auth, request, title, action, error=_text(request)["login_expired"], status=403)
    password = form.get("password", "")
    if password != form.get("password_again"):
        return _password_form(
            auth, request, title, action, error=_text(request)["passwords_differ"], status=422
        )
    length = auth.settings.password_length
    address = web.address(auth, request)
    # Codes are 256 random bits: guessing is hopeless, and the throttle keeps it cheap for us.
    if await auth.in_thread(auth.throttle.attempt, f" {title}", address):
        raise OAuthError("slow_down", "too many tries", 429)
    try:
        if code is None:
            user = await auth.in_password_thread(
                users.set_up,
                auth.database,
                form.get("code", ""),
                form.get("username", ""),
                password,
                length=length,
            )
        else:
            user = await auth.in_password_thread(users.accept, auth.database, code, password, length=length)
    except RuleError as error:
        await auth.record(title, "failure", user=None, client=None, address=address)
        return _password_form(
            auth, request, title, action, error=pages.rule_text(request, error.text), status=422
        )
    await auth.in_thread(auth.throttle.succeeded, f" {title}", address)
    await auth.record(title, "success", user=user.id, client=None, address=address)
    if title == "setup":
        await auth.record("role-granted", "success", user=user.id, client=None, address=address)
    return pages.message(request, "saved")


def _password_form(
    auth: SMARTAuth, request: Request, title: str, action: str, *, error: str = "", status: int = 200
) -> Response:
    cookie = pages.new_form_cookie(request)
    response = pages.render(
        request,
        "password.html",
        status=status,
        title=title,
        action=action,
        csrf=pages.form_value(auth.keys.form_secret, cookie),
        error=error,
        length=auth.settings.password_length,
    )
    pages.set_form_cookie(response, cookie, secure=auth.settings.is_tls)
    return response


async def _login_form(
    auth: SMARTAuth,
    request: Request,
    request_id: str,
    next_path: str,
    *,
    error: str = "",
    status: int = 200,
    seconds: int = 0,
) -> Response:
    stored = await auth.store.get("request", request_id) if request_id else None
    kept = stored["asked"] if stored else None
    client = await auth.client(kept["client_id"]) if kept else None
    cookie = pages.new_form_cookie(request)
    response = pages.render(
        request,
        "login.html",
        status=status,
        form_target=kept["redirect_uri"] if kept else None,
        headers={"Retry-After": str(seconds)} if seconds else None,
        app=client.name if client is not None else "",
        error=_text(request)[error].format(seconds=seconds) if error else "",
        csrf=pages.form_value(auth.keys.form_secret, cookie),
        request_id=request_id if kept else "",
        keep={"request": request_id if kept else "", "next": next_path},
        next=pages.local_path(next_path) if next_path else "",
    )
    pages.set_form_cookie(response, cookie, secure=auth.settings.is_tls)
    return response


async def _login_json(auth: SMARTAuth, request: Request) -> Response:
    """Login of the web app: the browser sends Origin with every such request, and a preflight before it."""
    given = await web.json_object(request)
    user, wait = await auth.login(
        str(given.get("username", "")), str(given.get("password", "")), web.address(auth, request)
    )
    if user is None:
        body = {"error": "slow_down" if wait else "login_failed"}
        headers = {**web.NO_STORE, "Retry-After": str(wait)} if wait else web.NO_STORE
        return JSONResponse(body, 429 if wait else 401, headers=headers)
    await _end_current(auth, request)
    started = await auth.sessions.start(user)
    response = JSONResponse(
        {"role": user.role, "fhirUser": user.fhir_user, "csrf": started.session.csrf}, headers=web.NO_STORE
    )
    _set_cookies(auth, response, started)
    return response


def _set_cookies(auth: SMARTAuth, response: Response, started: Started) -> None:
    secure = auth.settings.is_tls
    response.set_cookie(
        auth.viewer_cookie, started.viewer, path="/", secure=secure, httponly=True, samesite="strict"
    )
    response.set_cookie(
        auth.login_cookie, started.login, path="/auth", secure=secure, httponly=True, samesite="lax"
    )


async def _current(auth: SMARTAuth, request: Request) -> Session | None:
    try:
        return await auth.authenticator.session(request.headers.get("cookie"))
    except (InvalidTokenError, NoCredentialsError):
        return None


async def _end_current(auth: SMARTAuth, request: Request) -> None:
    """A new login in the same browser ends the one before."""
    session = await _current(auth, request)
    if session is not None:
        await auth.sessions.end(session)


async def _record(auth: SMARTAuth, request: Request, kind: str, user: str | None, client: str | None) -> None:
    await auth.record(kind, "success", user=user, client=client, address=web.address(auth, request))


def _permissions(principal: Principal) -> dict[str, dict[str, Any]]:
    cells = {row: roles.rule(principal.role, row) for row in roles.RULES}
    return {
        row: {"letters": cell.letters, "limits": sorted(cell.words), "operations": sorted(cell.operations)}
        for row, cell in cells.items()
        if cell.letters or cell.operations
    }


def _text(request: Request) -> Any:
    chosen = request.query_params.get("lang") or request.cookies.get(pages.LANGUAGE_COOKIE)
    return TEXTS[language(request.headers.get("accept-language", ""), chosen)]
