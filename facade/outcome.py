"""The one table from exceptions to HTTP: a status, an OperationOutcome, nothing of an internal message.

Sources: FHIR R4 operationoutcome.html; RFC 6750 section 3 (WWW-Authenticate); RFC 9110 10.2.3 (Retry-After).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from facade import log
from facade.audit.errors import AuditError
from facade.catalogue import CATALOGUE
from facade.errors import (
    FacadeError,
    HAPIConflictError,
    HAPIError,
    HAPIGoneError,
    HAPINotFoundError,
    HAPIPermanentError,
    HAPITemporaryError,
    MethodError,
    NotFoundError,
    TooCostlyError,
)
from smart_auth.errors import SMARTAuthError

SYSTEM = "urn:neuronova:error"
# Written as HAPI writes it: an answer that nginx carries looks the same.
MEDIA_TYPE = "application/fhir+json;charset=UTF-8"
RETRY_AFTER_S = 5
_LOG = logging.getLogger(__name__)
_HTTP = {
    404: "ERR_201",
    405: "ERR_107",
    429: "ERR_407",
    413: "ERR_104",
    400: "ERR_101",
    401: "ERR_001",
    403: "ERR_003",
}


def code_of(error: BaseException) -> str:
    """Return the product code that a client gets for an exception."""
    match error:
        case HAPITemporaryError() if error.status == 507:
            code = TooCostlyError.code  # the answer would be larger than what is read into memory
        case HAPITemporaryError():
            code = HAPITemporaryError.code
        case HAPINotFoundError() | HAPIGoneError():
            code = NotFoundError.code
        case HAPIConflictError():
            code = "ERR_301" if error.is_stale else "ERR_305"
        case HAPIPermanentError() if error.status in (400, 422):
            code = "ERR_101"
        case HAPIError():
            code = "ERR_500"
        case FacadeError() | SMARTAuthError() | AuditError():
            code = error.code
        case HTTPException():
            code = _HTTP.get(error.status_code, "ERR_500")
        case _:
            code = "ERR_500"
    return code if code in CATALOGUE else "ERR_500"


def status_of(error: BaseException) -> int:
    """Return the HTTP status that a client gets for an exception."""
    return CATALOGUE[code_of(error)].status


def language(header: str | None) -> str:
    """Return `ko` or `en`, whichever Accept-Language prefers; English when it says nothing."""
    best, weight = "en", 0.0
    for part in (header or "").split(",")[:20]:
        tag, _, quality = part.strip().partition(";q=")
        try:
            q = float(quality) if quality else 1.0
        except ValueError:
            continue
        primary = tag.lower().partition("-")[0]
        if primary in ("ko", "en") and q > weight:
            best, weight = primary, q
    return best


def operation_outcome(error: BaseException, accept_language: str | None = None) -> dict[str, Any]:
    """Return the OperationOutcome of an exception."""
    beside = error.beside if isinstance(error, FacadeError) else ()
    issues = [row for one in (error, *beside) for row in _issues(one, accept_language)]
    return {"resourceType": "OperationOutcome", "issue": issues}


def _issues(error: BaseException, accept_language: str | None) -> list[dict[str, Any]]:
    code = code_of(error)
    entry = CATALOGUE[code]
    sentence = entry.korean if language(accept_language) == "ko" else entry.english
    ours = error if isinstance(error, FacadeError) and not isinstance(error, HAPIError) else None
    detail = ours.detail if ours else ""
    expression = ours.expression if ours else None
    several: Iterable[tuple[str | None, str]] = [(expression, detail)]
    if ours and ours.issues:
        several = ours.issues
    return [_issue(code, entry.issue, sentence, where, what) for where, what in several]


def _issue(code: str, issue: str, sentence: str, expression: str | None, detail: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "severity": "error",
        "code": issue,
        "details": {
            "coding": [{"system": SYSTEM, "code": code}],
            "text": f"{sentence} ({detail})" if detail else sentence,
        },
        "diagnostics": log.request_id.get() or "-",
    }
    if expression:
        row["expression"] = [expression]
    return row


def response(error: BaseException, accept_language: str | None = None) -> Response:
    """Return the HTTP response of an exception."""
    status = status_of(error)
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        challenge = 'Bearer error="invalid_token"' if code_of(error) == "ERR_002" else "Bearer"
        headers["WWW-Authenticate"] = challenge
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S if status == 503 else 1)
    if isinstance(error, MethodError):
        headers["Allow"] = "GET, HEAD, POST, PUT, DELETE"
    body = orjson.dumps(operation_outcome(error, accept_language))
    return Response(body, status, headers, MEDIA_TYPE)


async def handle(request: Request, error: Exception) -> Response:
    """Answer an exception that a route let through; log where an unexpected one came from."""
    if status_of(error) >= 500:
        known = isinstance(error, FacadeError | SMARTAuthError | AuditError)
        _LOG.error(
            "request failed",
            extra={"code": code_of(error)},
            exc_info=None if known and status_of(error) == 503 else error,
        )
    return response(error, request.headers.get("accept-language"))


HANDLERS: dict[Any, Any] = {
    FacadeError: handle,
    SMARTAuthError: handle,
    AuditError: handle,
    HTTPException: handle,
    Exception: handle,
}
