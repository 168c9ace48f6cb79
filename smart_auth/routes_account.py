"""What a person does with their own account: who am I, sessions, password, second factor.

Every change needs the session's cookie, our own origin and the session's CSRF value; what makes the account
weaker or locks others out needs the password again. Source: OWASP Session Management, Authentication.
"""

from __future__ import annotations

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from smart_auth import browser, login, menu, pages, roles, totp, users, web
from smart_auth.errors import CrossSiteError, NoCredentialsError, RuleError
from smart_auth.interaction import Principal, Role
from smart_auth.models import User
from smart_auth.routes_second import enrolment
from smart_auth.service import SMARTAuth
from smart_auth.session import Session

PAGE = "/auth/account"
ENROL_S = login.ENROL_S
# What a redirect may say on the account page.
NOTICES = frozenset(
    {
        "password_changed",
        "second_factor_turned_on",
        "second_factor_turned_off",
        "session_ended",
        "sessions_ended",
    }
)


async def me(auth: SMARTAuth, request: Request) -> Response:
    """Who am I, what may my role do, where can I go; JSON for apps, a page for browsers without script."""
    if "text/html" in request.headers.get("accept", "") and not request.headers.get("authorization"):
        return await _me_page(auth, request)
    principal = await auth.authenticator.authenticate(
        "GET",
        authorization=request.headers.getlist("authorization"),
        cookie=request.headers.get("cookie"),
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
        "menu": menu.to_json(principal.role) if user is not None else [],
    }
    if principal.session:
        body["csrf"] = (await auth.authenticator.session(request.headers.get("cookie"))).csrf
    return JSONResponse(body, headers={**web.NO_STORE, "Vary": "Accept"})


async def account_page(auth: SMARTAuth, request: Request) -> Response:
    """Second factor, sessions and the ways to change them."""
    session = await browser.current(auth, request)
    if session is None:
        return _login_first(request)
    user = await _user(auth, session)
    notice = request.query_params.get("done", "")
    left = await auth.in_thread(auth.second_factors.recovery_codes_left, user.id)
    listed = await auth.sessions.of(user.id)
    return pages.render(
        request,
        "account.html",
        csrf=session.csrf,
        user=user,
        is_on=totp.is_on(user),
        left=left,
        notice=notice if notice in NOTICES else "",
        sessions=[
            {
                "sid": one.session.sid,
                "this": one.session.sid == session.sid,
                "browser": one.session.browser,
                "address": one.session.address or "-",
                "since": pages.moment(one.session.auth_time, auth.settings.time_zone),
                "used": pages.moment(one.used, auth.settings.time_zone),
            }
            for one in listed
        ],
    )


async def end_sessions(auth: SMARTAuth, request: Request) -> Response:
    """End one session (`sid`), or all others."""
    session, form = await _genuine(auth, request)
    wanted = form.get("sid")
    ended = [
        one.session
        for one in await auth.sessions.of(session.user_id)
        if (one.session.sid == wanted if wanted else one.session.sid != session.sid)
    ]
    for one in ended:
        await auth.grants.end_session(one)
    await _record(auth, request, "sessions-ended", session, count=str(len(ended)))
    return _done("session_ended" if wanted else "sessions_ended")


async def password_page(auth: SMARTAuth, request: Request) -> Response:
    """Form of a new password."""
    session = await browser.current(auth, request)
    return _login_first(request) if session is None else _password_form(auth, request, session)


async def change_password(auth: SMARTAuth, request: Request) -> Response:
    """A new password for who knows the old one; every other session and every token ends."""
    session, form = await _genuine(auth, request)
    user = await _user(auth, session)
    refused = await _confirmed(auth, request, user, form)
    if refused is not None:
        return _password_form(auth, request, session, **refused)
    new = form.get("password", "")
    if new != form.get("password_again"):
        error = pages.texts(request)["passwords_differ"]
        return _password_form(auth, request, session, error=error, status=422)
    try:
        with auth.hashing.place() as in_place:
            user = await in_place(
                users.change_password, auth.database, user.id, new, length=auth.settings.password_length
            )
    except RuleError as broken:
        error = pages.rule_text(request, broken.text)
        return _password_form(auth, request, session, error=error, status=422)
    await _record(auth, request, "password-changed", session)
    started = await browser.start_session(auth, request, user, continued=session)
    response = _done("password_changed")
    browser.keep_session(auth, response, started, user.username)
    return response


async def second_factor_page(auth: SMARTAuth, request: Request) -> Response:
    """Enrol, or turn off."""
    session = await browser.current(auth, request)
    if session is None:
        return _login_first(request)
    return await _second_factor_form(auth, request, session, await _user(auth, session))


async def change_second_factor(auth: SMARTAuth, request: Request) -> Response:
    """Turn it on or off, as the form says (`do`), if that is what can still be done."""
    session, form = await _genuine(auth, request)
    user = await _user(auth, session)
    if form.get("do") == ("off" if totp.is_on(user) else "on"):
        return await (_turn_off if totp.is_on(user) else _turn_on)(auth, request, session, user, form)
    return RedirectResponse(f"{PAGE}/second-factor", 303, headers=web.NO_STORE)


async def _turn_on(
    auth: SMARTAuth, request: Request, session: Session, user: User, form: dict[str, str]
) -> Response:
    """Enrol by password and first code; the recovery codes are shown once."""
    kept = await auth.store.get("enrol", session.sid)
    if kept is None:
        return RedirectResponse(f"{PAGE}/second-factor", 303, headers=web.NO_STORE)
    refused = await _confirmed(auth, request, user, form)
    if refused is None:
        secret = auth.second_factors.unseal(user.id, kept["sealed"])
        codes = await auth.in_thread(auth.second_factors.enrol, user.id, secret, form.get("code", ""))
        if codes is not None:
            await auth.store.take("enrol", session.sid)
            await _record(auth, request, "second-factor-on", session)
            where = f"{PAGE}?done=second_factor_turned_on"
            return pages.render(request, "recovery.html", codes=codes, go_on=where)
        refused = {"error": pages.texts(request)["code_failed"], "status": 401}
    return await _second_factor_form(auth, request, session, user, **refused)


async def _turn_off(
    auth: SMARTAuth, request: Request, session: Session, user: User, form: dict[str, str]
) -> Response:
    """Remove the second factor by password and code."""
    refused = await _confirmed(auth, request, user, form)
    if refused is None:
        address = web.address(auth, request)
        used, wait = await login.check_code(auth, user, form.get("code", ""), address=address)
        if used is not None:
            await auth.in_thread(users.remove_second_factor, auth.database, user.id)
            await _record(auth, request, "second-factor-off", session)
            return _done("second_factor_turned_off")
        refused = _refusal(request, "code_failed", wait)
    return await _second_factor_form(auth, request, session, user, **refused)


async def _me_page(auth: SMARTAuth, request: Request) -> Response:
    session = await browser.current(auth, request)
    if session is None:
        return _login_first(request)
    user = await _user(auth, session)
    entries = menu.entries(cast(Role, user.role))
    response = pages.render(request, "me.html", user=user, entries=entries, csrf=session.csrf)
    response.headers["Vary"] = "Accept"
    return response


async def _confirmed(
    auth: SMARTAuth, request: Request, user: User, form: dict[str, str]
) -> dict[str, Any] | None:
    """None when the present password is right, else what the form says about it."""
    address = web.address(auth, request)
    right, wait = await login.confirm_password(auth, user, form.get("password_old", ""), address=address)
    if right:
        return None
    await auth.record("password-confirmation", "failure", user, address=address)
    return _refusal(request, "password_wrong", wait)


def _refusal(request: Request, key: str, wait: int) -> dict[str, Any]:
    texts = pages.texts(request)
    if wait:
        return {"error": texts["login_wait"].format(seconds=wait), "status": 429}
    return {"error": texts[key], "status": 401}


def _password_form(
    auth: SMARTAuth, request: Request, session: Session, *, error: str = "", status: int = 200
) -> Response:
    return pages.render(
        request,
        "change_password.html",
        status=status,
        csrf=session.csrf,
        error=error,
        length=auth.settings.password_length,
    )


async def _second_factor_form(
    auth: SMARTAuth, request: Request, session: Session, user: User, *, error: str = "", status: int = 200
) -> Response:
    values: dict[str, Any] = {"csrf": session.csrf, "error": error}
    if totp.is_on(user):
        return pages.render(request, "second_factor_off.html", status=status, **values)
    kept = await auth.store.get("enrol", session.sid)
    if kept is None:
        # One key for this session, so that going back and forth does not change what was scanned.
        kept = {"sealed": auth.second_factors.seal(user.id, totp.new_secret())}
        await auth.store.put_as("enrol", session.sid, kept, lifetime_s=ENROL_S)
    values |= enrolment(auth.second_factors.unseal(user.id, kept["sealed"]), user)
    values |= {"action": f"{PAGE}/second-factor", "intro": "", "ask_password": True}
    return pages.render(request, "enrol.html", status=status, **values)


async def _genuine(auth: SMARTAuth, request: Request) -> tuple[Session, dict[str, str]]:
    """The session and the form of a change that comes from our own page."""
    session = await browser.current(auth, request)
    if session is None:
        raise NoCredentialsError
    form = await web.form(request)
    if not browser.is_genuine(auth, request, session, form.get("csrf")):
        raise CrossSiteError
    return session, form


async def _user(auth: SMARTAuth, session: Session) -> User:
    user: User | None = await auth.in_thread(users.get, auth.database, session.user_id)
    if user is None:
        raise NoCredentialsError
    return user


async def _record(auth: SMARTAuth, request: Request, kind: str, session: Session, **detail: str) -> None:
    address = web.address(auth, request)
    await auth.record(kind, "success", session, address=address, **detail)


def _permissions(principal: Principal) -> dict[str, dict[str, Any]]:
    cells = {row: roles.rule(principal.role, row) for row in roles.RULES}
    return {
        row: {"letters": cell.letters, "limits": sorted(cell.words), "operations": sorted(cell.operations)}
        for row, cell in cells.items()
        if cell.letters or cell.operations
    }


def _login_first(request: Request) -> Response:
    return RedirectResponse(f"/auth/login?next={request.url.path}", 303, headers=web.NO_STORE)


def _done(notice: str) -> Response:
    return RedirectResponse(f"{PAGE}?done={notice}", 303, headers=web.NO_STORE)
