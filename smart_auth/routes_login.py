"""Pages and first-party endpoints of a person: login, logout, set-up, invitation, ticket.

The second step of a login is in `routes_second`, who one is in `routes_account`.

Sources: OWASP Authentication and Session Management; RFC 6265bis; the product's design, section 7.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from smart_auth import browser, pages, routes_openid, users, web
from smart_auth import login as login_
from smart_auth.authenticate import bearer
from smart_auth.errors import CrossSiteError, OAuthError, RuleError
from smart_auth.hashing import BusyError
from smart_auth.models import User
from smart_auth.service import SMARTAuth
from smart_auth.session import CSRF_HEADER
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
    try:
        user, wait = await login_.check_password(
            auth,
            form.get("username", ""),
            form.get("password", ""),
            address=web.address(auth, request),
            device_cookie=browser.device_cookie(auth, request),
        )
    except BusyError as busy:
        seconds = busy.retry_after_s
        return await _login_form(
            auth, request, request_id, next_path, error="login_busy", status=503, seconds=seconds
        )
    if user is None:
        key, status = ("login_wait", 429) if wait else ("login_failed", 401)
        return await _login_form(auth, request, request_id, next_path, error=key, status=status, seconds=wait)
    step = login_.step_after(auth, user)
    if step is not None:
        response: Response = RedirectResponse(f"/auth/login/{step}", 303, headers=web.NO_STORE)
        secret = await login_.begin(auth, user, step, request_id=request_id, next_path=next_path)
        browser.keep_half(auth, response, secret)
        return response
    started = await browser.logged_in(auth, request, user)
    response = RedirectResponse(pages.target(request_id, next_path), 303, headers=web.NO_STORE)
    browser.keep_session(auth, response, started, user.username)
    return response


async def logout_page(auth: SMARTAuth, request: Request) -> Response:
    """A page with one button (a link alone must not log anybody out)."""
    given = dict(request.query_params)
    # An app's link comes from another site: the viewer's cookie (Strict) stays away, the login's does not.
    session = await browser.current(auth, request) or await auth.sessions.by_login_cookie(
        request.cookies.get(auth.login_cookie, "")
    )
    target = await routes_openid.after_logout(auth, given, session)
    if session is None:
        return RedirectResponse(target, 303) if target else pages.message(request, "logged_out")
    kept = {name: given[name] for name in routes_openid.LOGOUT_PARAMETERS if name in given} if target else {}
    return pages.render(
        request, "logout.html", csrf=session.csrf, kept=kept, keep=kept, form_target=target or None
    )


async def logout(auth: SMARTAuth, request: Request) -> Response:
    """End the session with its tokens and cookies, or the grant of a bearer token."""
    authorization = request.headers.getlist("authorization")
    is_form = request.headers.get("content-type", "").startswith(web.FORM)
    form = await web.form(request) if is_form else {}
    session = await browser.current(auth, request)
    if is_form and session is None and not authorization and "csrf" not in form:
        return routes_openid.logout_again(form)
    target = await routes_openid.after_logout(auth, form, session)
    if authorization and session is None:
        principal = auth.verifier.verify(bearer(authorization))
        await auth.grants.end_grant(principal)
        await auth.record("logout", "success", principal, address=web.address(auth, request))
        return Response(status_code=204, headers=web.NO_STORE)
    if session is not None:
        if not browser.is_genuine(auth, request, session, form.get("csrf")):
            raise CrossSiteError
        await auth.grants.end_session(session)
        await auth.record("logout", "success", session, address=web.address(auth, request))
    response: Response = Response(status_code=204)
    if is_form:
        response = RedirectResponse(target, 303) if target else pages.message(request, "logged_out")
    response.headers["Clear-Site-Data"] = '"cache"'
    browser.drop_session(auth, response)
    return response


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
        return _password_form(
            auth, request, title, action, error=pages.texts(request)["login_expired"], status=403
        )
    password = form.get("password", "")
    if password != form.get("password_again"):
        return _password_form(
            auth, request, title, action, error=pages.texts(request)["passwords_differ"], status=422
        )
    length = auth.settings.password_length
    address = web.address(auth, request)
    # Codes are 256 random bits: guessing is hopeless, and the throttle keeps it cheap for us. It counts each
    # code by itself, so that nobody who tries wrong ones keeps the others from using theirs.
    tried = f" {title} {code or form.get('code', '')}"
    try:
        with auth.hashing.place() as in_place:
            if await auth.in_thread(auth.throttle.attempt, tried, address):
                raise OAuthError("slow_down", "too many tries", 429)
            if code is None:
                name = form.get("username", "")
                first = (auth.database, form.get("code", ""), name, password)
                user = await in_place(users.set_up, *first, length=length)
            else:
                user = await in_place(users.accept, auth.database, code, password, length=length)
    except RuleError as error:
        await auth.record(title, "failure", address=address)
        return _password_form(
            auth, request, title, action, error=pages.rule_text(request, error.text), status=422
        )
    await auth.in_thread(auth.throttle.succeeded, tried, address)
    await auth.record(title, "success", user, address=address)
    if title == "setup":
        await auth.record("role-granted", "success", user, address=address)
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
        error=pages.texts(request)[error].format(seconds=seconds) if error else "",
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
    user, wait = await login_.check_password(
        auth,
        str(given.get("username", "")),
        str(given.get("password", "")),
        address=web.address(auth, request),
        device_cookie=browser.device_cookie(auth, request),
    )
    if user is None:
        return login_refused_json(wait)
    step = login_.step_after(auth, user)
    if step is not None:
        body = {"error": "second_factor_required", "step": step, "location": f"/auth/login/{step}"}
        response = JSONResponse(body, 401, headers=web.NO_STORE)
        secret = await login_.begin(auth, user, step, request_id="", next_path="")
        browser.keep_half(auth, response, secret)
        return response
    return await logged_in_json(auth, request, user)


async def logged_in_json(auth: SMARTAuth, request: Request, user: User) -> JSONResponse:
    """The session's answer to the web app."""
    started = await browser.logged_in(auth, request, user)
    response = JSONResponse(
        {"role": user.role, "fhirUser": user.fhir_user, "csrf": started.session.csrf}, headers=web.NO_STORE
    )
    browser.keep_session(auth, response, started, user.username)
    return response


def login_refused_json(wait: int) -> JSONResponse:
    """One answer for unknown user, wrong password and wrong code."""
    body = {"error": "slow_down" if wait else "login_failed"}
    headers = {**web.NO_STORE, "Retry-After": str(wait)} if wait else web.NO_STORE
    return JSONResponse(body, 429 if wait else 401, headers=headers)
