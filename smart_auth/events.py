"""What smart_auth tells the audit trail: one call per event, made before the answer goes out.

The facade passes a function that writes durably; when it raises, the request fails. Kinds: login, logout,
token, revoke, authorize (refused), refused (any other refusal here), setup, invite, user-created,
user-changed, role-granted, password-changed, password-confirmation (failed), second-factor-on,
second-factor-off, recovery-code (one was used), sessions-ended, reuse (a code or refresh token came a second
time), client-registered (by itself), client-approved, client-changed, introspect, consent (failure: denied),
launch-made, launch (taken up; failure: over, used, or somebody else's), access-ended (of an app).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

Outcome = Literal["success", "failure"]


class OnEvent(Protocol):
    """`user` is the id of the login that acts (never a name), `client` a client id, `address` the caller's
    network address; `detail` says what was done to whom (`target`: a login's id, `role`, `change`)."""

    def __call__(
        self,
        kind: str,
        user: str | None,
        client: str | None,
        outcome: Outcome,
        address: str | None,
        detail: Mapping[str, str],
    ) -> None:
        """Record one event durably; runs in a worker thread."""


def ignore(
    kind: str,
    user: str | None,
    client: str | None,
    outcome: Outcome,
    address: str | None,
    detail: Mapping[str, str],
) -> None:
    """For tools that have no trail of their own (their caller records)."""
