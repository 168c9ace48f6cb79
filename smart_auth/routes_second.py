"""The second step of a login: a code, or the enrolment of who must have a second factor and has none."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smart_auth import browser, login, pages, totp, web
from smart_auth.errors import CrossSiteError, RuleError
from smart_auth.login import Half, Step
from smart_auth.models import User
from smart_auth.routes_login import logged_in_json, login_refused_json
from smart_auth.service import SMARTAuth


async def code_page(auth: SMARTAuth, request: Request) -> Response:
    """Form of the code."""
    return await _page(auth, request, "code")


async def enrol_page(auth: SMARTAuth, request: Request) -> Response:
    """The key for an authenticator, and the form of its first code."""
    return await _page(auth, request, "enrol")


async def code(auth: SMARTAuth, request: Request) -> Response:
    """Check the code; on success start the session and go on."""
    if not web.is_own_origin(auth, request):
        raise CrossSiteError
    is_json = request.headers.get("content-type", "").startswith("application/json")
    given: dict[str, Any] = await web.json_object(request) if is_json else await web.form(request)
    opened = await login.open_half(auth, browser.half_secret(auth, request), "code")
    # In JSON the browser's preflight stands for the form's value.
    genuine = is_json or pages.is_form_genuine(request, auth.keys.form_secret, given.get("csrf"))
    if opened is None or not genuine:
        return login_refused_json(0) if is_json else _over(request)
    half, user = opened
    address = web.address(auth, request)
    used, wait = await login.check_code(auth, user, str(given.get("code", "")), address=address)
    if used is None:
        await auth.record("login", "failure", user, address=address, reason="second-factor")
        if is_json:
            return login_refused_json(wait)
        key, status = ("login_wait", 429) if wait else ("code_failed", 401)
        return await _form(auth, request, half, user, error=key, status=status, seconds=wait)
    if not await login.close(auth, browser.half_secret(auth, request) or ""):
        return login_refused_json(0) if is_json else _over(request)
    response: Response
    if is_json:
        response = await logged_in_json(auth, request, user)
    else:
        started = await browser.logged_in(auth, request, user)
        where = pages.target(half.request_id, half.next_path)
        response = RedirectResponse(where, 303, headers=web.NO_STORE)
        browser.keep_session(auth, response, started, user.username)
    browser.drop_half(auth, response)
    return response


async def enrol(auth: SMARTAuth, request: Request) -> Response:
    """Turn the second factor on by a first code, show the recovery codes and start the session."""
    if not web.is_own_origin(auth, request):
        raise CrossSiteError
    given = await web.form(request)
    secret = browser.half_secret(auth, request)
    opened = await login.open_half(auth, secret, "enrol")
    if opened is None or not pages.is_form_genuine(request, auth.keys.form_secret, given.get("csrf")):
        return _over(request)
    half, user = opened
    address = web.address(auth, request)
    key = auth.second_factors.unseal(user.id, half.sealed or "")
    try:
        codes = await auth.in_thread(auth.second_factors.enrol, user.id, key, given.get("code", ""))
    except RuleError:
        return _over(request)  # enrolled in another browser meanwhile
    if codes is None:
        return await _form(auth, request, half, user, error="code_failed", status=401)
    await auth.record("second-factor-on", "success", user, address=address)
    if not await login.close(auth, secret or ""):
        return _over(request)
    started = await browser.logged_in(auth, request, user)
    where = pages.target(half.request_id, half.next_path)
    response = pages.render(request, "recovery.html", codes=codes, go_on=where)
    browser.keep_session(auth, response, started, user.username)
    browser.drop_half(auth, response)
    return response


async def _page(auth: SMARTAuth, request: Request, step: Step) -> Response:
    opened = await login.open_half(auth, browser.half_secret(auth, request), step)
    if opened is None:
        return RedirectResponse("/auth/login", 303, headers=web.NO_STORE)
    return await _form(auth, request, *opened)


async def _form(
    auth: SMARTAuth,
    request: Request,
    half: Half,
    user: User,
    *,
    error: str = "",
    status: int = 200,
    seconds: int = 0,
) -> Response:
    stored = await auth.store.get("request", half.request_id) if half.request_id else None
    cookie = pages.new_form_cookie(request)
    values: dict[str, Any] = {
        "csrf": pages.form_value(auth.keys.form_secret, cookie),
        "error": pages.texts(request)[error].format(seconds=seconds) if error else "",
        "action": f"/auth/login/{half.step}",
    }
    if half.step == "enrol":
        values |= enrolment(auth.second_factors.unseal(user.id, half.sealed or ""), user)
        values |= {"intro": "enrol_required", "ask_password": False}
    response = pages.render(
        request,
        f"{half.step}.html",
        status=status,
        form_target=stored["asked"]["redirect_uri"] if stored else None,
        headers={"Retry-After": str(seconds)} if seconds else None,
        **values,
    )
    pages.set_form_cookie(response, cookie, secure=auth.settings.is_tls)
    return response


def enrolment(secret: str, user: User) -> dict[str, str]:
    """What a person needs to enrol: the picture, and the key in groups of four to type."""
    groups = [secret[start : start + 4] for start in range(0, len(secret), 4)]
    return {"qr": totp.qr_code(secret, user.username), "key": " ".join(groups)}


def _over(request: Request) -> Response:
    return pages.message(request, "login_expired", status=403)
