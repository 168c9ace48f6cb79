"""Who asks, what may be seen, and the record of it: the rights of one request, for every route.

Nothing here outlives the request: rights are decided afresh each time. Missing and invisible cost the same
upstream calls and get the same answer.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from facade import log
from facade.audit.event import Action, Outcome, Who, audit_event
from facade.errors import HAPIGoneError, HAPINotFoundError, NotFoundError, RefusedError, TooCostlyError
from facade.hapi import Params
from facade.sharing import shared_patients
from facade.state import Services
from smart_auth import policy
from smart_auth.interaction import Decision, Interaction, Principal

ACTIONS: Mapping[str, Action] = {
    "read": "R",
    "vread": "R",
    "history-instance": "R",
    "history-type": "R",
    "search": "E",
    "create": "C",
    "update": "U",
    "patch": "U",
    "delete": "D",
    "operation": "E",
    "dicomweb-read": "R",
    "dicom-upload": "C",
}


class Gate:
    """One request's caller and what has been found visible to it."""

    def __init__(self, services: Services, principal: Principal, address: str | None) -> None:
        """`principal` is verified; `address` is the client's as nginx saw it."""
        self.services = services
        self.hapi = services.hapi
        self.principal = principal
        self.who = who(principal, address)
        self.raw = ""
        """Method and address as they came, for the trail."""
        self._began = time.monotonic()
        self._facts: Mapping[str, str] = {}
        self._visible: dict[tuple[str, str], dict[str, Any] | None] = {}
        self._targets: dict[tuple[str, str], dict[str, Any]] = {}

    @classmethod
    async def enter(cls, services: Services, principal: Principal, address: str | None) -> Gate:
        """Return the gate of a verified caller; what is shared with an external hospital is looked up."""
        if principal.role == "external" and principal.organization:
            shared = await shared_patients(services.hapi, principal.organization)
            principal = principal.with_shared(shared)
        return cls(services, principal, address)

    def entry(self, number: int, asked: str) -> Gate:
        """Return a gate of the same caller for one entry of a Bundle, with nothing remembered.

        What it records names the entry and holds `asked`, its method and url as they came: with
        `access.audited` around it each entry is in the trail like a request of its own, refused ones too.
        """
        gate = self.fresh()
        gate.raw = asked
        gate._facts = {"entry": str(number)}
        return gate

    def may(self, interaction: Interaction) -> Decision:
        """Return the policy's decision, allowed or not."""
        return policy.decide(self.principal, interaction)

    def decide(self, interaction: Interaction) -> Decision:
        """Return a decision that allows, or raise RefusedError."""
        decision = self.may(interaction)
        if not decision.allowed:
            raise RefusedError(decision.code or "ERR_003", decision.reason)
        return decision

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """End what only reads when the request has lasted too long: TooCostlyError.

        Bounds by count do not bound the time: a few thousand entries can be a minute of HAPI. The entries of
        a batch share the time of their request.
        """
        left = self._began + self.services.settings.read_timeout_s - time.monotonic()
        try:
            async with asyncio.timeout(left) as limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise TooCostlyError() from None
            raise

    async def confirm(self, decision: Decision, resource: Mapping[str, Any], *, linked: bool = False) -> bool:
        """Whether this resource is covered; `linked`: a resource known to be visible refers to it."""
        if not linked and decision.depends == "referenced":
            linked = await self._is_referenced(
                decision, f"{resource.get('resourceType')}/{resource.get('id')}"
            )
        if not linked and decision.depends == "target":
            linked = self._sees_all(resource.get("target", []))
        return policy.confirm(decision, resource, linked=linked)

    async def read(self, decision: Decision, type_: str, id_: str) -> dict[str, Any]:
        """Return a resource that the decision covers; missing, deleted and foreign are NotFoundError."""
        resource = await self._stored(decision, type_, id_)
        if resource is None:
            if decision.depends == "referenced":
                await self._is_referenced(decision, f"{type_}/{id_}")
            raise NotFoundError()
        if decision.confirm and not await self.confirm(decision, resource):
            raise NotFoundError()
        return resource

    async def matches(
        self, decision: Decision, type_: str, params: Params, *, page: int = 200
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield every match of a search that is to be confirmed.

        What a Provenance speaks about comes with it: to look it up afterwards would take more calls for a
        hidden Provenance than for none.
        """
        included: list[dict[str, Any]] = []
        if decision.depends == "target":
            params = [*params, ("_include", "Provenance:target")]
        async for resource in self.hapi.search_all(type_, params, page=page, included=included):
            self._targets |= {(one["resourceType"], one["id"]): one for one in included}
            yield resource

    async def visible(self, type_: str, id_: str) -> dict[str, Any] | None:
        """Return what the caller could read under this reference, or None; asked once in a request."""
        key = (type_, id_)
        if key not in self._visible:
            decision = self.may(Interaction("read", type_, id_))
            try:
                self._visible[key] = await self.read(decision, type_, id_) if decision.allowed else None
            except NotFoundError:
                self._visible[key] = None
        return self._visible[key]

    def fresh(self) -> Gate:
        """Return the same caller with nothing remembered: for the next entry of a batch."""
        gate = copy.copy(self)
        gate._visible = {}
        return gate

    def assume(self, type_: str, id_: str, resource: dict[str, Any]) -> None:
        """Let references of a transaction find what another of its entries makes, under a made-up id."""
        self._visible[type_, id_] = resource

    async def record(
        self,
        interaction: Interaction,
        *,
        what: Sequence[str] = (),
        patients: Iterable[str | None] = (),
        outcome: Outcome = "0",
        reason: str | None = None,
        detail: Mapping[str, str] | None = None,
        query: str | None = None,
        passed: bool = False,
    ) -> None:
        """Make the record durable: one event for each patient disclosed, one if there is none.

        `query`: parameters that did not stand in the address. Of a search, and of what was not carried out,
        the request is kept as it came.
        """
        is_query = interaction.kind in ("search", "history-type") or (
            interaction.kind == "dicomweb-read" and interaction.id is None
        )
        sent = "\n\n".join(part for part in (self.raw, query) if part)
        disclosed: list[str | None] = [*sorted({patient for patient in patients if patient})]
        events = [
            audit_event(
                interaction=interaction.kind,
                action=ACTIONS.get(interaction.kind, "E"),
                who=self.who,
                what=what,
                patient=patient,
                outcome=outcome,
                reason=reason,
                request_id=log.request_id.get() or "",
                detail={**self._facts, **(detail or {})},
                query=sent if is_query or outcome != "0" else None,
                passed=passed,
            )
            for patient in (disclosed or [None])
        ]
        await self.services.spool.write(*events)

    async def _stored(self, decision: Decision, type_: str, id_: str) -> dict[str, Any] | None:
        if decision.depends == "target":
            return next(iter([found async for found in self.matches(decision, type_, [("_id", id_)])]), None)
        try:
            return await self.hapi.read(type_, id_)
        except (HAPINotFoundError, HAPIGoneError):
            return None

    async def _is_referenced(self, decision: Decision, reference: str) -> bool:
        """Whether something that the caller may see refers to this."""
        found = False
        for type_, parameter in decision.referenced_by:
            asked = Interaction("search", type_, parameters=((parameter, reference),))
            theirs = self.may(asked)
            if not theirs.allowed:
                continue
            page = await self.hapi.search(type_, [(parameter, reference), *theirs.narrow], count=20)
            entries = [entry["resource"] for entry in page.get("entry", [])]
            found = found or any(policy.confirm(theirs, resource) for resource in entries)
        return found

    def _sees_all(self, targets: Sequence[Mapping[str, Any]]) -> bool:
        """Whether every target of a Provenance is visible, of those that came with it."""
        for target in targets:
            type_, _, rest = str(target.get("reference", "")).partition("/")
            stored = self._targets.get((type_, rest.partition("/")[0]))
            if stored is None:
                return False
            right = self.may(Interaction("read", type_, stored["id"]))
            if not right.allowed or not policy.confirm(right, stored):
                return False
        return bool(targets)


def who(principal: Principal | None, address: str | None) -> Who:
    """Return the agent of an AuditEvent."""
    if principal is None:
        return Who(None, "anonymous", address=address)
    return Who(principal.fhir_user, principal.role, principal.client_id, principal.jti, address)
