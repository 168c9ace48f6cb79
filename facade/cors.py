"""Which pages of other origins may read our answers: those of active, registered apps, and nobody else.

What is open to everybody is open to every origin. A token in the Authorization header is the only credential
that crosses origins: cookies never do (no Access-Control-Allow-Credentials). When it is not known who is
active, no origin is. Sources: Fetch standard, "CORS protocol"; SMART App Launch 2.2.0 "Considerations for
Cross-Origin Resource Sharing (CORS) support"; RFC 9110 12.5.5 (Vary).
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from smart_auth.errors import StaleRevocationsError
from smart_auth.revocations import Feed

OPEN = frozenset(
    {
        "/fhir/metadata",
        "/fhir/.well-known/smart-configuration",
        "/auth/.well-known/openid-configuration",
        "/auth/jwks",
        "/auth/report-key",
        "/auth/user-access-brands",
    }
)
APPS = frozenset({"/auth/token", "/auth/revoke", "/auth/userinfo"})
REQUEST_HEADERS = (
    "Accept, Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, "
    "If-None-Exist, If-None-Match, Prefer, X-Requested-With"
)
EXPOSED = "Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate, X-Request-ID"
PREFLIGHT_S = "600"


class CORS:
    """ASGI middleware; it answers preflights of known origins, and leaves everything else to the routes."""

    def __init__(self, app: ASGIApp, feed: Feed) -> None:
        """`feed` knows the origins of the clients that are active this second."""
        self.app = app
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add what the browser needs to let the page read the answer."""
        path = scope.get("path", "")
        is_open = path in OPEN
        if scope["type"] != "http" or not (is_open or path in APPS or path.startswith("/fhir/")):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        added = self._added(headers.getlist("origin"), is_open=is_open)
        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        if is_preflight and "Access-Control-Allow-Origin" in added:
            await Response(status_code=204, headers=_preflight(added, path))(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in added.items():
                    if name == "Vary":
                        sent.add_vary_header(value)
                    else:
                        sent[name] = value
            await send(message)

        await self.app(scope, receive, answer)

    def _added(self, origins: list[str], *, is_open: bool) -> dict[str, str]:
        if is_open:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
        if len(origins) != 1 or not self._is_known(origins[0]):
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origins[0],
            "Access-Control-Expose-Headers": EXPOSED,
            "Vary": "Origin",
        }

    def _is_known(self, origin: str) -> bool:
        try:
            return origin in self._feed.state.origins
        except StaleRevocationsError:
            return False


def _preflight(added: Mapping[str, str], path: str) -> dict[str, str]:
    methods = "GET, POST" if path.startswith("/auth/") else "GET, HEAD, POST, PUT, PATCH, DELETE"
    return {
        **added,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": PREFLIGHT_S,
    }
