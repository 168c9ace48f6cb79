"""The outermost layer: every request has an id, and an unexpected failure ends here.

nginx sends the id (X-Request-ID); it runs on to HAPI, the log and the audit record.
"""

from __future__ import annotations

import re
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facade import log

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
        sent = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = sent.decode() if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        token = log.request_id.set(request_id)
        is_answered = False

        async def answer(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception:
            # Starlette raises again what its last handler has answered and logged.
            if not is_answered:
                raise
        finally:
            log.request_id.reset(token)
