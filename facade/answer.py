"""Successful answers: headers of one resource, Bundles with links rebuilt from the client's own parameters.

Sources: FHIR R4 http.html (ETag, Last-Modified, Location, Prefer), search.html (links), bundle.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from starlette.responses import Response

from facade import exact
from facade.controls import Controls
from facade.hapi import encode
from facade.outcome import MEDIA_TYPE

HEADERS = {"Cache-Control": "private, no-store", "Vary": "Authorization, Accept, Prefer"}


def etag(resource: Mapping[str, Any]) -> str:
    """Return the weak ETag of a version."""
    return f'W/"{resource.get("meta", {}).get("versionId", "0")}"'


def resource(
    body: Mapping[str, Any],
    status: int = 200,
    *,
    location: str | None = None,
    prefer: str | None = None,
    version: str | None = None,
) -> Response:
    """Return one resource; `version` when `body` is a cut that must keep the stored ETag."""
    headers = {**HEADERS, "ETag": version or etag(body)}
    if (changed := body.get("meta", {}).get("lastUpdated")) is not None:
        headers["Last-Modified"] = format_datetime(
            datetime.fromisoformat(changed).astimezone(UTC), usegmt=True
        )
    if location:
        headers["Location"] = location
    if prefer == "minimal":
        return Response(b"", status, headers)
    if prefer == "OperationOutcome":
        return Response(exact.dumps(done()), status, headers, MEDIA_TYPE)
    return Response(exact.dumps(body), status, headers, MEDIA_TYPE)


def done() -> dict[str, Any]:
    """Return the OperationOutcome of what went well."""
    issue = {"severity": "information", "code": "informational", "details": {"text": "All OK"}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def bundle(body: Mapping[str, Any]) -> Response:
    """Return a Bundle; an empty list is left out (R4 json.html)."""
    body = {name: value for name, value in body.items() if value != []}
    return Response(exact.dumps(body), 200, HEADERS, MEDIA_TYPE)


def searchset(
    entries: Sequence[Mapping[str, Any]],
    links: Sequence[Mapping[str, str]],
    *,
    total: int | None = None,
    kind: str = "searchset",
) -> dict[str, Any]:
    """Return the Bundle of a search or history."""
    body: dict[str, Any] = {"resourceType": "Bundle", "type": kind}
    if total is not None:
        body["total"] = total
    body["link"] = list(links)
    if entries:
        body["entry"] = list(entries)
    return body


def links(
    address: str, client: Sequence[tuple[str, str]], controls: Controls, count: int, *, has_more: bool
) -> list[dict[str, str]]:
    """Return self, previous and next: the client's parameters with another `_offset`, nothing of ours."""
    kept = [pair for pair in client if pair[0] not in ("_offset", "_count")]

    def at(offset: int) -> str:
        given = [*kept, ("_count", str(count))]
        if offset:
            given.append(("_offset", str(offset)))
        return f"{address}?{encode(given)}"

    found = [{"relation": "self", "url": f"{address}?{encode(client)}" if client else address}]
    if controls.offset > 0 and count:
        found.append({"relation": "previous", "url": at(max(0, controls.offset - count))})
    if has_more and count:
        found.append({"relation": "next", "url": at(controls.offset + count)})
    return found
