"""The doctor's WebSocket: opened with a one-time ticket, kept open in the background, read by later steps."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from demo.app import Session


class News:
    """The messages that one person has received since `open`."""

    def __init__(self, session: Session) -> None:
        """Get a ticket with the access token and connect; raises what httpx or websockets raise."""
        ticket = session.request("POST", "/auth/ticket")
        ticket.raise_for_status()
        address = urlsplit(session.base_url)
        scheme = "wss" if address.scheme == "https" else "ws"
        path = f"/ws/notifications?ticket={ticket.json()['ticket']}"
        with ExitStack() as opening:
            self._socket = opening.enter_context(
                connect(f"{scheme}://{address.netloc}{path}", origin=Origin(session.base_url))
            )
            self._open = opening.pop_all()
        self.messages: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for message in self._socket:
                self.messages.append(json.loads(message))
        except ConnectionClosed:
            return  # the server ended it: what was received stays

    def about(self, type_: str, id_: str | None = None) -> dict[str, Any] | None:
        """The first message about this type (and id)."""
        for message in list(self.messages):
            if message.get("type") == type_ and id_ in (None, message.get("id")):
                return message
        return None

    def close(self) -> None:
        """End the connection."""
        self._open.close()
        self._thread.join(5)
