"""One FHIR request from arrival to answer; the only place that knows the order.

Read what is asked > verify the caller > decide > (way a) pass to nginx, (way b) fetch and confirm, or (way c)
check old and new and write. The record is durable before the answer. Source: the product's design, section 6.
"""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from facade import access, answer, body, reading, searching, writing
from facade.errors import DependencyError, FacadeError, NotFoundError
from facade.gate import Gate
from facade.idempotency import Idempotency
from facade.request import Request, accepts_json, criteria, if_match, pairs, parse
from facade.routes.operations import operation
from facade.state import Services, services
from smart_auth.interaction import Interaction

# A form is read before the caller is known; a resource is not.
_FORM_MAX_BYTES = 64 * 1024
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]


async def endpoint(request: HTTPRequest) -> Response:
    """Answer one request under /fhir."""
    here = services(request)
    asked, unreadable = None, None
    try:
        asked = await _asked(request, here)
    except FacadeError as error:
        unreadable = error
    gate = await access.enter(request, asked.interaction if asked else None)
    if asked is None:
        async with access.audited(gate, Interaction("read")):
            raise unreadable or NotFoundError()
    async with access.audited(gate, asked.interaction):
        return await _answer(request, gate, asked)


async def _asked(request: HTTPRequest, here: Services) -> Request:
    """Read address, parameters and condition; a resource in the body is read after the caller is known."""
    accepts_json(request.headers.get("accept"))
    settings = here.settings
    given = pairs(request.scope["query_string"])
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    if request.method == "POST" and raw_path.endswith(b"/_search"):
        given += pairs(await body.form(request, _FORM_MAX_BYTES))
    asked = parse(
        request.method,
        raw_path,
        given,
        base_url=settings.base_url,
        lenient=answer.is_lenient(request.headers.get("prefer")),
        page_max=settings.page_max,
    )
    condition = request.headers.get("if-none-exist")
    if asked.interaction.kind == "create" and condition is not None:
        found = criteria(str(asked.interaction.type), condition, settings.base_url)
        parameters = tuple((parameter.name, parameter.value) for parameter in found)
        return replace(asked, interaction=replace(asked.interaction, parameters=parameters))
    return asked


async def _answer(request: HTTPRequest, gate: Gate, asked: Request) -> Response:
    interaction = asked.interaction
    decision = gate.decide(interaction)
    headers = request.headers
    match interaction.kind:
        case "read":
            seen = headers.get("if-none-match")
            return await reading.read(gate, decision, asked, seen, is_get=request.method == "GET")
        case "vread":
            return await reading.vread(gate, decision, asked)
        case "history-instance" | "history-type":
            return await reading.history(gate, decision, asked)
        case "search":
            return await searching.search(gate, decision, asked)
    limit = gate.services.settings.body_max_bytes
    if interaction.kind == "delete":
        return await writing.delete(gate, decision, interaction, if_match(headers.get("if-match"), None))
    type_ = interaction.type if interaction.kind != "operation" else "Parameters"
    sent = await body.resource(request, limit, type_)
    prefer = answer.prefer_return(headers.get("prefer"))
    if interaction.kind == "create":
        if (key := headers.get("idempotency-key")) is not None:
            return await _create_once(gate, asked, sent, key, prefer)
        return (await writing.create(gate, decision, interaction, sent, prefer))[0]
    version = if_match(headers.get("if-match"), sent)
    if interaction.kind == "operation":
        return await operation(gate, decision, interaction, sent, version)
    return await writing.update(gate, decision, interaction, sent, version, prefer)


async def _create_once(
    gate: Gate, asked: Request, sent: dict[str, object], key: str, prefer: str | None
) -> Response:
    """Create under an Idempotency-Key: the same request again answers with what the first one made."""
    interaction = asked.interaction
    type_ = str(interaction.type)
    settings = gate.services.settings
    memory = Idempotency(gate.services.redis, gate.principal, type_, key, sent, settings.idempotency_s)
    if (location := await memory.begin()) is not None:
        id_ = location.removeprefix(f"{settings.base_url}/fhir/{type_}/").partition("/")[0]
        made = await gate.visible(type_, id_)
        if made is None:
            raise NotFoundError()
        await gate.record(interaction, what=[f"{type_}/{id_}"], patients=[reading.patient_reference(made)])
        return answer.resource(made, 201, location=location, prefer=prefer)
    try:
        response, location = await writing.create(
            gate, gate.decide(interaction), interaction, sent, prefer, memory.tag
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


routes = [Route("/fhir/{rest:path}", endpoint, methods=_METHODS), Route("/fhir", endpoint, methods=_METHODS)]
