"""The door of every route: who sends the request, and a record of what was refused or failed.

Sources: RFC 6750 section 2.1; the product's design, sections 6 (order of a request) and 10 (refusals too).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import HTTPConnection, Request

from facade import log
from facade.audit.event import Outcome, audit_event
from facade.errors import RefusedError
from facade.gate import ACTIONS, Gate, who
from facade.outcome import code_of, status_of
from facade.state import services
from smart_auth.errors import SMARTAuthError
from smart_auth.interaction import Interaction


def address(connection: HTTPConnection) -> str | None:
    """The client's address as nginx saw it: the one header that nginx overwrites, so nobody can forge it."""
    return connection.headers.get("x-forwarded-for")


async def enter(request: Request, interaction: Interaction | None = None) -> Gate:
    """Verify the caller and return the request's gate; a refusal is recorded before it is answered."""
    here = services(request)
    try:
        principal = await here.authenticator.authenticate(
            request.method,
            authorization=request.headers.getlist("authorization"),
            cookie=request.headers.get("cookie"),
            origin=request.headers.get("origin"),
            csrf=request.headers.get("x-csrf-token"),
        )
    except SMARTAuthError as error:
        kind = interaction.kind if interaction else "read"
        await here.spool.write(
            audit_event(
                interaction=kind,
                action=ACTIONS.get(kind, "E"),
                who=who(None, address(request)),
                what=_what(interaction),
                outcome="8",
                reason=error.code,
                request_id=log.request_id.get() or "",
            )
        )
        raise
    return await Gate.enter(here, principal, address(request))


@asynccontextmanager
async def audited(gate: Gate, interaction: Interaction) -> AsyncIterator[None]:
    """Record what the body of this block refuses or fails at; success is recorded where it is known."""
    try:
        yield
    except Exception as error:  # whatever went wrong is recorded, and raised again
        status = status_of(error)
        outcome: Outcome = "8" if status >= 500 or status in (401, 403) else "4"
        reason = f"{code_of(error)} {error.reason}" if isinstance(error, RefusedError) else code_of(error)
        await gate.record(interaction, what=_what(interaction), outcome=outcome, reason=reason)
        raise


def _what(interaction: Interaction | None) -> list[str]:
    if interaction is None or interaction.type is None or interaction.id is None:
        return []
    return [f"{interaction.type}/{interaction.id}"]
