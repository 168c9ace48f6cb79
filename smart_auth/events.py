"""What smart_auth tells the audit trail: one call per event, made before the answer goes out.

The facade passes a function that writes durably; when it raises, the request fails. Kinds: login, logout,
token, revoke, authorize (refused), refused (any other refusal here), setup, invite, user-created,
user-changed, role-granted, reuse (a code or refresh token came a second time), client-registered (by itself),
client-approved, client-changed, introspect.
"""

from __future__ import annotations

from typing import Literal, Protocol

Outcome = Literal["success", "failure"]


class OnEvent(Protocol):
    """`user` is a login's id (never a name), `client` a client id, `address` the caller's network address."""

    def __call__(
        self, kind: str, user: str | None, client: str | None, outcome: Outcome, address: str | None
    ) -> None:
        """Record one event durably; runs in a worker thread."""


def ignore(kind: str, user: str | None, client: str | None, outcome: Outcome, address: str | None) -> None:
    """For tools that have no trail of their own (their caller records)."""
