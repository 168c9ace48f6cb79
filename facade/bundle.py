"""A batch or transaction Bundle: what its entries ask, each read like a request of its own.

Sources: FHIR R4 bundle.html, http.html#transaction (references between entries, match URLs, PATCH as Binary).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facade import json_patch
from facade.dispatch import with_condition
from facade.errors import BadRequestError, FacadeError, InvalidResourceError, MediaTypeError
from facade.preconditions import Preconditions
from facade.request import Request, pairs, parse
from smart_auth.interaction import Interaction

_URN = re.compile(r"urn:uuid:[0-9A-Za-z-]{1,64}", re.ASCII)
_REQUEST = frozenset({"method", "url", "ifMatch", "ifNoneMatch", "ifModifiedSince", "ifNoneExist"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Entry:
    """One entry as it was understood; as `facade.dispatch.Sent` it is what came with its address."""

    index: int
    asked: Request
    conditions: Preconditions
    body: dict[str, Any] | None = None
    full_url: str | None = None
    sent: str = ""
    """Method and url as they came."""

    async def resource(self, type_: str | None) -> dict[str, Any]:
        """Return the resource of the entry."""
        if self.body is None:
            raise BadRequestError("the entry has no resource")
        if type_ is not None and self.body.get("resourceType") != type_:
            raise InvalidResourceError("not the type of the address", expression="resourceType")
        return self.body

    async def patch(self) -> json_patch.Patch:
        """Return the JSON Patch that the entry carries as a Binary (R4 http.html#patch)."""
        body = await self.resource("Binary")
        if str(body.get("contentType", "")).partition(";")[0].strip() != json_patch.MEDIA_TYPE:
            raise MediaTypeError()
        try:
            return json_patch.read(base64.b64decode(str(body.get("data", "")), validate=True))
        except binascii.Error:
            raise BadRequestError("the patch is not Base64") from None


def asked_as(raw: Any) -> str:
    """Return method and url of an entry as they came, whatever they are, for the trail."""
    request = raw.get("request") if isinstance(raw, Mapping) else None
    sent = request if isinstance(request, Mapping) else {}
    return f"{sent.get('method', '')} {sent.get('url', '')}".strip()


def kind(body: Mapping[str, Any]) -> Interaction:
    """Return `batch` or `transaction`; no other Bundle is taken."""
    if body.get("resourceType") != "Bundle":
        raise InvalidResourceError("a Bundle is posted here", expression="resourceType")
    match body.get("type"):
        case "batch":
            return Interaction("batch")
        case "transaction":
            return Interaction("transaction")
    raise InvalidResourceError("the type is batch or transaction", expression="Bundle.type")


def raw_entries(body: Mapping[str, Any], most: int) -> list[Any]:
    """Return the entries, within the bound."""
    found = body.get("entry", [])
    if not isinstance(found, list):
        raise BadRequestError("entry is a list", expression="Bundle.entry")
    if len(found) > most:
        raise BadRequestError(f"a Bundle has at most {most} entries", expression="Bundle.entry")
    return found


def read(
    raw: Any,
    index: int,
    *,
    base_url: str,
    page_max: int,
    preconditions: Preconditions,
    key: str | None = None,
) -> Entry:
    """Read one entry; `preconditions` is the Bundle's (its Prefer), `key` the entry's Idempotency-Key."""
    asked = raw.get("request") if isinstance(raw, dict) else None
    if not isinstance(asked, dict) or not all(isinstance(asked.get(n, ""), str) for n in _REQUEST):
        raise BadRequestError("an entry has a request", expression="request")
    method, url = asked.get("method"), asked.get("url", "")
    if method not in _METHODS:
        raise BadRequestError("the method is not one of HTTP's", expression="request.method")
    resource = raw.get("resource")
    if resource is not None and not isinstance(resource, dict):
        raise BadRequestError("resource is a resource", expression="resource")
    full_url = raw.get("fullUrl")
    if full_url is not None and not isinstance(full_url, str):
        raise BadRequestError("fullUrl is an address", expression="fullUrl")
    # Only its own base may stand before it; what is elsewhere is not this server's.
    relative = url.removeprefix(f"{base_url}/fhir/").lstrip("/") if "://" in url else url
    if "://" in relative.partition("?")[0] or relative.startswith("/") or not relative:
        raise BadRequestError("the url is relative to the base", expression="request.url")
    path, _, query = relative.partition("?")
    raw_path = f"/fhir/{path}".encode("utf-8", "surrogatepass")
    conditions = Preconditions(
        if_match=asked.get("ifMatch"),
        if_none_match=asked.get("ifNoneMatch"),
        if_modified_since=asked.get("ifModifiedSince"),
        if_none_exist=asked.get("ifNoneExist"),
        idempotency_key=key,
        prefer=preconditions.prefer,
    )
    given = pairs(query.encode("utf-8", "surrogatepass"))
    found = parse(method, raw_path, given, base_url=base_url, page_max=page_max)
    if found.interaction.kind in ("batch", "transaction") or (
        found.interaction.kind == "operation" and method == "POST"
    ):
        raise BadRequestError("this is not done in a Bundle", expression="request.url")
    found = with_condition(found, conditions.if_none_exist, base_url)
    return Entry(index, found, conditions, resource, full_url, asked_as(raw))


def placed(error: FacadeError, index: int) -> FacadeError:
    """Return the error with the entry named in front of each expression."""
    place = f"Bundle.entry[{index}]"
    for one in (error, *error.beside):
        one.issues = tuple((f"{place}.resource.{where}", what) for where, what in one.issues)
    error.expression = f"{place}.{error.expression}" if error.expression else place
    return error


def is_urn(text: str | None) -> bool:
    """Whether a fullUrl stands for a resource that is made in this Bundle."""
    return text is not None and _URN.fullmatch(text) is not None
