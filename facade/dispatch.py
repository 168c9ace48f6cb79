"""From what is asked to its answer, for a request of its own and for an entry of a batch: the same code.

Source: FHIR R4 http.html (the interactions), bundle.html (a batch entry is like a request of its own).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from starlette.responses import Response

from facade import answer, history, json_patch, reading, searching, writing
from facade.errors import DependencyError, FacadeError, NotFoundError
from facade.gate import Gate
from facade.idempotency import Idempotency
from facade.operations import operation
from facade.preconditions import Preconditions, version_seen
from facade.request import Request, criteria
from smart_auth.interaction import Decision

_READING = frozenset({"read", "vread", "search", "history-instance", "history-type"})


class Sent(Protocol):
    """What came with the address: conditions and a body that is read only when it is needed."""

    @property
    def conditions(self) -> Preconditions:
        """The headers that count."""

    async def resource(self, type_: str | None) -> dict[str, Any]:
        """Return the resource, of this type."""

    async def patch(self) -> json_patch.Patch:
        """Return the JSON Patch."""


def with_condition(asked: Request, header: str | None, base_url: str) -> Request:
    """Return a create with the condition of its If-None-Exist."""
    if asked.interaction.kind != "create" or header is None:
        return asked
    type_ = str(asked.interaction.type)
    found = tuple((p.name, p.value) for p in criteria(type_, header, base_url))
    return replace(asked, interaction=replace(asked.interaction, parameters=found))


async def respond(gate: Gate, asked: Request, sent: Sent, *, may_pass: bool = False) -> Response:
    """Decide and answer; `may_pass`: nginx may carry the answer."""
    interaction, conditions = asked.interaction, sent.conditions
    decision = gate.decide(interaction)
    if interaction.kind in _READING or interaction.operation == "$everything":
        async with gate.in_time():
            return await _read(gate, decision, asked, sent, may_pass=may_pass)
    match interaction.kind:
        case "delete":
            version = version_seen(conditions.if_match, None)
            return await writing.delete(gate, decision, interaction, version)
        case "patch":
            version = version_seen(conditions.if_match, None)
            steps = await sent.patch()
            return await writing.patch(gate, decision, interaction, steps, version, conditions.prefer)
        case "operation":
            return await operation(gate, decision, asked, sent)
    body = await sent.resource(interaction.type)
    if interaction.kind == "update":
        version = version_seen(conditions.if_match, body)
        return await writing.update(gate, decision, interaction, body, version, conditions.prefer)
    if conditions.idempotency_key is not None:
        return await _create_once(gate, asked, body, conditions.idempotency_key, conditions.prefer)
    return (await writing.create(gate, decision, interaction, body, conditions.prefer))[0]


async def _read(gate: Gate, decision: Decision, asked: Request, sent: Sent, *, may_pass: bool) -> Response:
    """Answer what changes nothing."""
    match asked.interaction.kind:
        case "read":
            return await reading.read(gate, decision, asked, sent.conditions, may_pass=may_pass)
        case "vread":
            return await reading.vread(gate, decision, asked, sent.conditions)
        case "search":
            return await searching.search(gate, decision, asked)
        case "operation":
            return await operation(gate, decision, asked, sent)
    return await history.history(gate, decision, asked)


async def _create_once(
    gate: Gate, asked: Request, body: dict[str, Any], key: str, prefer: str | None
) -> Response:
    """Create under an Idempotency-Key: the same request again answers with what the first one made."""
    interaction = asked.interaction
    type_ = str(interaction.type)
    settings = gate.services.settings
    memory = Idempotency(gate.services.redis, gate.principal, type_, key, body, settings.idempotency_s)
    if (location := await memory.begin()) is not None:
        id_ = location.removeprefix(f"{settings.base_url}/fhir/{type_}/").partition("/")[0]
        made = await gate.visible(type_, id_)
        if made is None:
            raise NotFoundError()
        await gate.record(interaction, what=[f"{type_}/{id_}"], patients=[reading.patient_reference(made)])
        return answer.resource(made, 201, location=location, prefer=prefer)
    try:
        response, location = await writing.create(
            gate, gate.decide(interaction), interaction, body, prefer, memory.tag
        )
    except FacadeError as error:
        if not error.temporary:
            await memory.forget()
        raise
    try:
        await memory.done(location)
    except DependencyError:
        # The resource is there and carries the key's tag: a retry finds it without Redis.
        return response
    return response
