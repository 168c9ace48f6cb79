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
from dataclasses import dataclass
from typing import Literal, Protocol

from smart_auth.interaction import Principal
from smart_auth.models import User
from smart_auth.session import Session

Outcome = Literal["success", "failure"]


@dataclass(frozen=True)
class Agent:
    """Who acts, as far as it is known; no names (design, section 10: agents with role, and `jti`)."""

    user: str | None = None
    """Id of a login."""
    role: str | None = None
    client: str | None = None
    jti: str | None = None
    """Of the token that was given, shown or ended; of a session in the browser its `sid`, as for images."""
    address: str | None = None


Who = Session | User | Principal | Agent | None


def agent(who: Who, *, client: str | None = None, address: str | None = None) -> Agent:
    """Whoever is known at this point, as the trail names them."""
    if isinstance(who, Session):
        return Agent(who.user_id, who.role, client, who.sid, address)
    if isinstance(who, User):
        return Agent(who.id, who.role, client, None, address)
    if isinstance(who, Principal):
        return Agent(who.user_id, who.role, who.client_id, who.jti, address)
    return who or Agent(client=client, address=address)


class OnEvent(Protocol):
    """`detail` says what was done to whom (`target`: a login's or a client's id, `role`, `change`)."""

    def __call__(self, kind: str, agent: Agent, outcome: Outcome, detail: Mapping[str, str]) -> None:
        """Record one event durably; runs in a worker thread."""


def ignore(kind: str, agent: Agent, outcome: Outcome, detail: Mapping[str, str]) -> None:
    """For tools that have no trail of their own (their caller records)."""
