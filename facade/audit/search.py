"""Finds events of the trail: by patient, user, time, action, request or token.

HAPI indexes AuditEvent by few parameters (each index costs every event), so it narrows by those and the rest
is looked at here. Without any condition the whole trail is walked by number, in the order of the chain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from facade.audit.chain import event_id
from facade.audit.event import REFERENCE, request_id_of
from facade.hapi import HAPIClient, Resource

_PAGE = 200


@dataclass(frozen=True)
class Question:
    """What is looked for; None: whatever it is."""

    patient: str | None = None
    """`Patient/x`."""
    user: str | None = None
    """A reference (`Practitioner/x`), a login's id, or a client id."""
    since: str | None = None
    until: str | None = None
    """Dates or instants as FHIR writes them; `until` is not included."""
    action: str | None = None
    """C, R, U, D or E."""
    request: str | None = None
    token: str | None = None
    """The token's `jti`."""
    refused: bool = False
    """Only what did not succeed."""

    def parameters(self) -> list[tuple[str, str]]:
        """What HAPI can narrow by."""
        found = [("patient", self.patient), ("action", self.action)]
        if self.user is not None and REFERENCE.match(self.user):
            found.append(("agent", self.user))
        found.append(("date", f"ge{self.since}" if self.since else None))
        found.append(("date", f"lt{self.until}" if self.until else None))
        if self.refused:
            found.append(("outcome", "4,8,12"))
        return [(name, value) for name, value in found if value is not None]

    def fits(self, event: Resource) -> bool:
        """Whether an event that HAPI found is one that is looked for."""
        row = summary(event)
        return (
            (self.patient is None or self.patient in row["patient"].split(" "))
            and (self.user is None or self.user in (row["user"], row["client"]))
            and (self.request is None or self.request == row["request"])
            and (self.token is None or self.token == row["token"])
        )


async def find(hapi: HAPIClient, question: Question) -> AsyncIterator[Resource]:
    """Yield the events, oldest first."""
    if question == Question():
        async for event in _whole(hapi):
            yield event
        return
    async for event in hapi.search_all("AuditEvent", question.parameters(), page=_PAGE):
        if question.fits(event):
            yield event


def summary(event: Resource) -> dict[str, str]:
    """One event as a row: who, through what, what, whose; references and ids only."""
    user: dict[str, Any] = next((one for one in event["agent"] if one.get("requestor")), {})
    others = [one for one in event["agent"] if one is not user]
    client = next((_who(one) for one in others if _who(one) not in ("", "neuronova")), "")
    coded = (event.get("subtype") or [event["type"]])[-1]
    role = user.get("role", [{}])[0].get("coding", [{}])[0].get("code", "")
    entities = event.get("entity", [])
    return {
        "event": str(event["id"]),
        "recorded": str(event["recorded"]),
        "action": str(event.get("action", "")),
        "interaction": str(coded.get("code", "")),
        "outcome": str(event.get("outcome", "")),
        "user": _who(user),
        "role": str(role),
        "client": client,
        "address": next((one["network"]["address"] for one in others if "network" in one), ""),
        "patient": _of_role(entities, "1"),
        "what": _of_role(entities, "4"),
        "request": request_id_of(event) or "",
        "token": next(iter(user.get("policy", ())), ""),
    }


async def _whole(hapi: HAPIClient) -> AsyncIterator[Resource]:
    first = 1
    while True:
        ids = [event_id(number) for number in range(first, first + _PAGE)]
        page = await hapi.search("AuditEvent", [("_id", ",".join(ids))], count=_PAGE)
        found = {entry["resource"]["id"]: entry["resource"] for entry in page.get("entry", [])}
        for identifier in ids:
            if identifier in found:
                yield found[identifier]
        if not found:
            return
        first += _PAGE


def _of_role(entities: list[dict[str, Any]], code: str) -> str:
    return " ".join(
        _target(one["what"]) for one in entities if one.get("role", {}).get("code") == code and "what" in one
    )


def _who(agent: dict[str, Any]) -> str:
    return _target(agent.get("who", {})).removeprefix("urn:neuronova:user:")


def _target(reference: dict[str, Any]) -> str:
    return str(reference.get("reference") or reference.get("identifier", {}).get("value", ""))
