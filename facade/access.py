"""The door of every route: who sends the request, and a record of what was refused or failed.

Sources: RFC 6750 section 2.1; the product's design, sections 6 (order of a request) and 10 (refusals too).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import HTTPConnection, Request

from facade import log
from facade.audit.event import Outcome, Who, audit_event
from facade.errors import RefusedError, ThrottledError
from facade.gate import ACTIONS, Gate, who
from facade.load import Share
from facade.outcome import code_of, status_of
from facade.state import services
from smart_auth.errors import SMARTAuthError
from smart_auth.interaction import Interaction, Principal


def address(connection: HTTPConnection) -> str | None:
    """The client's address as nginx saw it: the one header that nginx overwrites, so nobody can forge it."""
    return connection.headers.get("x-forwarded-for")


def raw(request: Request) -> str:
    """Method and address as they came, undecoded."""
    path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    sent = request.scope["query_string"]
    return f"{request.method} {(path + b'?' + sent if sent else path).decode('utf-8', 'surrogateescape')}"


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
        share = _count(request, None)
        if share is None or not share.is_over or share.is_first:
            # A flood is on record by its first refusal; the trail must not be what a flood fills.
            await here.spool.write(_refusal(request, interaction, who(None, address(request)), error.code))
        if share is not None and share.is_over:
            raise ThrottledError() from None
        raise
    share = _count(request, principal)
    if share is not None and share.is_over:
        if share.is_first:
            await here.spool.write(
                _refusal(request, interaction, who(principal, address(request)), ThrottledError.code)
            )
        raise ThrottledError()
    gate = await Gate.enter(here, principal, address(request))
    gate.raw = raw(request)
    return gate


def _refusal(request: Request, interaction: Interaction | None, who_: Who, reason: str) -> dict[str, Any]:
    kind = interaction.kind if interaction else "read"
    return audit_event(
        interaction=kind,
        action=ACTIONS.get(kind, "E"),
        who=who_,
        what=_what(interaction),
        outcome="8",
        reason=reason,
        request_id=log.request_id.get() or "",
        query=raw(request),
    )


def _count(request: Request, principal: Principal | None) -> Share | None:
    """Count the request for its principal (for its address when there is none); None: not limited."""
    here = services(request)
    settings = here.settings
    if principal is None:
        policy, per_second, key = "anonymous", settings.rate_anonymous, address(request) or "-"
    else:
        is_fhir = request.scope["path"].startswith("/fhir")
        policy = "fhir" if is_fhir else "dicomweb"
        per_second = settings.rate_fhir if is_fhir else settings.rate_dicomweb
        key = f"{principal.client_id}#{principal.user_id or ''}"
    if not per_second:
        return None
    share = here.rates.take(policy, key, per_second)
    # The outermost layer writes it on whatever is answered.
    request.state.share = share
    return share


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
