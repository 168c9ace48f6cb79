"""A batch: every entry decided, answered and recorded by the code that answers requests of their own.

One after the other, with nothing remembered from one to the next. The status of each is in its entry.
Source: FHIR R4 http.html#transaction ("batch processing rules").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from facade import access, answer, bundle, exact, outcome
from facade.dispatch import respond
from facade.errors import FacadeError
from facade.gate import Gate
from facade.preconditions import Preconditions
from smart_auth.interaction import Interaction

_UNREADABLE = Interaction("batch")


async def batch(gate: Gate, body: Mapping[str, Any], sent: Preconditions) -> Response:
    """Answer every entry."""
    found = bundle.raw_entries(body, gate.services.settings.bundle_entries)
    entries = [await _entry(gate, raw, index, sent) for index, raw in enumerate(found)]
    return answer.bundle({"resourceType": "Bundle", "type": "batch-response", "entry": entries})


async def _entry(gate: Gate, raw: Any, index: int, sent: Preconditions) -> dict[str, Any]:
    settings = gate.services.settings
    fresh = gate.entry(index, bundle.asked_as(raw))
    key = f"{sent.idempotency_key}#{index}" if sent.idempotency_key else None
    try:
        async with access.audited(fresh, _UNREADABLE):
            entry = bundle.read(
                raw,
                index,
                base_url=settings.base_url,
                page_max=settings.page_max,
                preconditions=sent,
                key=key,
            )
        async with access.audited(fresh, entry.asked.interaction):
            found = await respond(fresh, entry.asked, entry)
    except FacadeError as error:
        return refused(error)
    return shown(found)


def refused(error: FacadeError) -> dict[str, Any]:
    """Return what went wrong as the entry of a response Bundle."""
    said = outcome.operation_outcome(error)
    return {"response": {"status": str(outcome.status_of(error)), "outcome": said}}


def shown(found: Response) -> dict[str, Any]:
    """Return an answer as the entry of a response Bundle."""
    response: dict[str, Any] = {"status": str(found.status_code)}
    if "location" in found.headers:
        response["location"] = found.headers["location"]
    if "etag" in found.headers:
        response["etag"] = found.headers["etag"]
    entry: dict[str, Any] = {"response": response}
    if found.body:
        resource = exact.loads(bytes(found.body))
        changed = resource.get("meta", {}).get("lastUpdated")
        if changed and "etag" in response:
            response["lastModified"] = changed
        if resource.get("resourceType") == "OperationOutcome":
            response["outcome"] = resource
        else:
            entry["resource"] = resource
    return entry
