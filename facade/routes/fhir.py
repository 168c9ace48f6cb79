"""One FHIR request from arrival to answer; the only place that knows the order.

Read what is asked > verify the caller > decide > (way a) pass to nginx, (way b) fetch and confirm, or (way c)
check old and new and write. The record is durable before the answer. Source: the product's design, section 6.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from facade import access, body, bundle, json_patch
from facade.batch import batch
from facade.dispatch import respond, with_condition
from facade.errors import FacadeError, NotFoundError
from facade.gate import Gate
from facade.preconditions import Preconditions, is_lenient
from facade.request import Request, accepts_json, methods, pairs, parse
from facade.state import Services, services
from facade.transaction import transaction
from smart_auth.interaction import Interaction

# A form is read before the caller is known; a resource is not.
_FORM_MAX_BYTES = 64 * 1024
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


class HTTPSent:
    """What came with an HTTP request."""

    def __init__(self, request: HTTPRequest, limit: int) -> None:
        """`limit` is the largest body."""
        self.conditions = Preconditions.of(request.headers)
        self._request = request
        self._limit = limit

    async def resource(self, type_: str | None) -> dict[str, Any]:
        """Read the resource in the body."""
        return await body.resource(self._request, self._limit, type_)

    async def patch(self) -> json_patch.Patch:
        """Read the patch in the body."""
        return await body.patch(self._request, self._limit)


async def endpoint(request: HTTPRequest) -> Response:
    """Answer one request under /fhir."""
    here = services(request)
    if request.method == "OPTIONS":
        return _options(_raw_path(request))
    asked, unreadable = None, None
    try:
        asked = await _asked(request, here)
    except FacadeError as error:
        unreadable = error
    gate = await access.enter(request, asked.interaction if asked else None)
    if asked is None:
        async with access.audited(gate, Interaction("read")):
            raise unreadable or NotFoundError()
    sent = HTTPSent(request, here.settings.body_max_bytes)
    if asked.interaction.kind == "batch":
        return await _bundle(gate, asked.interaction, sent)
    async with access.audited(gate, asked.interaction):
        found = await respond(gate, asked, sent, may_pass=request.method == "GET")
    return _without_body(found) if request.method == "HEAD" else found


async def _bundle(gate: Gate, interaction: Interaction, sent: HTTPSent) -> Response:
    """Answer a batch or a transaction: its entries are what is decided."""
    async with access.audited(gate, interaction):
        posted = await sent.resource("Bundle")
        what = bundle.kind(posted)
    async with access.audited(gate, what):
        if what.kind == "transaction":
            return await transaction(gate, posted, sent.conditions)
        return await batch(gate, posted, sent.conditions)


async def _asked(request: HTTPRequest, here: Services) -> Request:
    """Read address, parameters and condition; a resource in the body is read after the caller is known."""
    accepts_json(request.headers.get("accept"))
    settings = here.settings
    given = pairs(request.scope["query_string"])
    raw_path = _raw_path(request)
    if request.method == "POST" and raw_path.endswith(b"/_search"):
        given += pairs(await body.form(request, _FORM_MAX_BYTES))
    asked = parse(
        request.method,
        raw_path,
        given,
        base_url=settings.base_url,
        lenient=is_lenient(request.headers.get("prefer")),
        page_max=settings.page_max,
    )
    return with_condition(asked, request.headers.get("if-none-exist"), settings.base_url)


def _raw_path(request: HTTPRequest) -> bytes:
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return raw


def _options(raw_path: bytes) -> Response:
    """Answer which methods an address has: it is what the CapabilityStatement says to everybody."""
    found = methods(raw_path)
    headers = {"Allow": ", ".join(found)}
    if "PATCH" in found:
        headers["Accept-Patch"] = json_patch.MEDIA_TYPE
    return Response(status_code=204, headers=headers)


def _without_body(found: Response) -> Response:
    """Return the headers of a GET for a HEAD, its Content-Length included (RFC 9110 section 9.3.2)."""
    found.body = b""
    return found


routes = [Route("/fhir/{rest:path}", endpoint, methods=_METHODS), Route("/fhir", endpoint, methods=_METHODS)]
