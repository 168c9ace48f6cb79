"""What the routes share: reading forms within limits, answers with the right headers, errors by kind.

Sources: RFC 6749 5.1 and 5.2 (no-store, error body), RFC 6750 3 (WWW-Authenticate).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from smart_auth import pages, untrusted
from smart_auth.errors import OAuthError, PageError, RuleError, SMARTAuthError
from smart_auth.hashing import BusyError
from smart_auth.service import SMARTAuth

MAX_BODY = 65536
MAX_FIELDS = 50
FORM = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Endpoint = Callable[[SMARTAuth, Request], Awaitable[Response]]


def endpoint(auth: SMARTAuth, handler: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """A Starlette endpoint; every error of this folder becomes its answer."""

    @wraps(handler)
    async def run(request: Request) -> Response:
        try:
            return await handler(auth, request)
        except PageError as error:
            await _record_refusal(auth, request)
            return pages.message(request, "request_refused", detail=error.description, status=400)
        except BusyError as error:
            if not request.headers.get("content-type", "").startswith(FORM):
                return refused(error)
            wait = str(error.retry_after_s)
            return pages.message(request, "login_busy", status=error.status, headers={"Retry-After": wait})
        except OAuthError as error:
            if error.http_status in (401, 403):
                await _record_refusal(auth, request)
            return oauth_error(error)
        except RuleError as error:
            return JSONResponse(
                {"error": "invalid_request", "error_description": error.text, "code": error.code},
                error.status,
                headers=NO_STORE,
            )
        except SMARTAuthError as error:
            if not error.temporary:
                await _record_refusal(auth, request)
            return refused(error)

    return run


async def _record_refusal(auth: SMARTAuth, request: Request) -> None:
    await auth.record("refused", "failure", address=address(auth, request))


def oauth_error(error: OAuthError) -> Response:
    """RFC 6749 5.2."""
    body = {"error": error.error}
    if error.description:
        body["error_description"] = error.description
    headers = dict(NO_STORE)
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Basic"
    return JSONResponse(body, error.http_status, headers=headers)


def refused(error: SMARTAuthError) -> Response:
    """An answer to a request whose caller could not be accepted."""
    name = "temporarily_unavailable" if error.temporary else "invalid_token"
    headers = dict(NO_STORE)
    if error.temporary:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = f'Bearer error="{name}"'
    body = {"error": name, "error_description": error.sentence, "code": error.code}
    return JSONResponse(body, error.status, headers=headers)


async def pairs(request: Request, *, most: int = MAX_FIELDS) -> list[tuple[str, str]]:
    """Fields of a form body."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM:
        raise OAuthError("invalid_request", "the body is a form")
    try:
        return parse_qsl((await body(request)).decode(), keep_blank_values=True, max_num_fields=most)
    except ValueError as error:
        raise OAuthError("invalid_request", "the body cannot be read") from error


async def form(request: Request) -> dict[str, str]:
    """Fields of a form body, none of them twice (RFC 6749 3.2); empty ones count as absent."""
    fields = await pairs(request)
    if len({name for name, _ in fields}) != len(fields):
        raise OAuthError("invalid_request", "a parameter is given twice")
    return {name: value for name, value in fields if value}


async def json_object(request: Request) -> dict[str, Any]:
    """A JSON object body."""
    try:
        value = untrusted.loads(await body(request))
    except ValueError as error:
        raise OAuthError("invalid_request", "the body cannot be read") from error
    if not isinstance(value, dict):
        raise OAuthError("invalid_request", "the body is a JSON object")
    return value


async def body(request: Request) -> bytes:
    """The body, within the limit."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise OAuthError("invalid_request", "the body is too large", 413)
        parts.append(part)
    return b"".join(parts)


def address(auth: SMARTAuth, request: Request) -> str | None:
    """The caller's network address as the proxy names it."""
    named = request.headers.get(auth.settings.address_header)
    return named or (request.client.host if request.client else None)


def redirect(target: str) -> Response:
    """Go on with GET; neither answer nor address is told to anybody else."""
    return RedirectResponse(target, 303, headers={**NO_STORE, "Referrer-Policy": "no-referrer"})


def is_own_origin(auth: SMARTAuth, request: Request) -> bool:
    """Whether an Origin header, if there is one, is ours."""
    return request.headers.get("origin") in (None, auth.settings.origin)
