"""One-time tickets of 30 s for the WebSocket: a token never stands in a URL (design, section 8)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from smart_auth import scopes
from smart_auth.errors import InvalidTokenError
from smart_auth.interaction import Principal
from smart_auth.store import Store
from smart_auth.tokens import Verifier

TICKET_S = 30


class Tickets:
    """Gives out and takes tickets."""

    def __init__(self, store: Store, verifier: Verifier) -> None:
        self._store = store
        self._verifier = verifier

    async def issue(self, principal: Principal) -> str:
        """A ticket for a caller who was just verified."""
        value = asdict(principal) | {"scopes": str(principal.scopes), "shared": []}
        return await self._store.put("ticket", value, lifetime_s=TICKET_S)

    async def redeem(self, ticket: str) -> Principal:
        """The caller behind a ticket, once; InvalidTokenError otherwise."""
        value: dict[str, Any] | None = await self._store.take("ticket", ticket)
        if value is None:
            raise InvalidTokenError
        principal = Principal(**{**value, "scopes": scopes.parse(value["scopes"]), "shared": frozenset()})
        self._verifier.check(principal)
        return principal
