"""The outermost layer: every request has an id, headers pass by a list, an unexpected failure ends here.

nginx sends the id (X-Request-ID); it runs on to HAPI, the log and the audit record. A header that is not
listed here does not exist for the rest of the facade: no method override, no address of another proxy,
nothing that a library might one day understand. X-Forwarded-For and X-Forwarded-Proto are nginx's own words:
it is the only peer of the socket and overwrites what a client sends.
Sources: RFC 9110; Fetch (Sec-Fetch-*); CSP Level 3; OWASP HTTP Headers (X-HTTP-Method-Override).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facade import log

HEARD = frozenset(
    b"""accept accept-encoding accept-language authorization cache-control connection content-encoding
    content-length content-type cookie expect host idempotency-key if-match if-modified-since if-none-exist
    if-none-match if-range origin prefer range te transfer-encoding upgrade user-agent x-csrf-token
    x-forwarded-for x-forwarded-proto x-request-id access-control-request-headers
    access-control-request-method sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions
    sec-websocket-key sec-websocket-protocol sec-websocket-version""".split()
)
"""Headers of a request that anything here may see."""
_GUARDS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_REQUEST_ID = re.compile(rb"[0-9a-f]{32}")


class Arrival:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        """`app` answers its own errors; what it raises has been answered and logged already."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request its id and pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() in HEARD]}
        sent = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = sent.decode() if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        token = log.request_id.set(request_id)
        is_answered = False

        async def answer(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                message["headers"] = _guarded(message.get("headers", []), scope, request_id)
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception:  # Starlette raises again what its last handler has answered and logged
            if not is_answered:
                raise
        finally:
            log.request_id.reset(token)


def _guarded(
    headers: Iterable[tuple[bytes, bytes]], scope: Scope, request_id: str
) -> list[tuple[bytes, bytes]]:
    """The answer's headers with what every answer has; a page that says its own policy keeps it."""
    given = [*headers, (b"x-request-id", request_id.encode())]
    names = {name.lower() for name, _ in given}
    given += [pair for pair in _GUARDS if pair[0] not in names]
    share = scope.get("state", {}).get("share")
    if share is not None:
        given += [(name.lower().encode(), value.encode()) for name, value in share.headers().items()]
    return given
