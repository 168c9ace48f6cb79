"""Events of smart_auth (login, token, administration) as records of the audit trail."""

from __future__ import annotations

from collections.abc import Mapping

from facade import log
from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool
from smart_auth.events import Agent, OnEvent, Outcome


def recorder(spool: Spool) -> OnEvent:
    """Return the function that smart_auth calls in a worker thread before it answers."""

    def record(kind: str, agent: Agent, outcome: Outcome, detail: Mapping[str, str]) -> None:
        reference = f"urn:neuronova:user:{agent.user}" if agent.user else None
        event = audit_event(
            interaction=kind,
            action="E",
            who=Who(reference, agent.role or "", agent.client, agent.jti, agent.address),
            outcome="0" if outcome == "success" else "8",
            request_id=log.request_id.get() or "",
            detail=detail,
        )
        spool.write_sync(event)

    return record
