"""Results that a study already has from a bundle, and what becomes of a draft when the study has changed."""

from datetime import UTC, datetime
from typing import Any

from facade.errors import HAPIGoneError, HAPINotFoundError
from facade.hapi import HAPIClient
from inference.report import DRAFT, SIGNED, Earlier, cancelled
from subscriptions import tasks
from subscriptions.clients import Clients

Resource = dict[str, Any]


async def earlier(hapi: HAPIClient, study_ref: str, bundle_id: str, *, but: str = "") -> list[Earlier]:
    """Drafts and signed reports of the study by this bundle, as they are stored now.

    :param but: id of a Task that does not count
    """
    params = (("focus", study_ref), ("code", tasks.AI_CODE), ("status", "completed"))
    found = []
    async for task in hapi.search_all("Task", params):
        if task["id"] == but or tasks.bundle_id(task) != bundle_id:
            continue
        report = await _read(hapi, tasks.report_ref(task))
        if report is None or report["status"] not in DRAFT | SIGNED:
            continue
        parts = [await _read(hapi, result.get("reference")) for result in report.get("result", [])]
        found.append(Earlier(report, [part for part in parts if part is not None], task))
    return found


async def cancel_drafts(clients: Clients, study: Resource, bundle_id: str, reason: str) -> None:
    """The study has changed so that the bundle fits it no more: no draft of before may be signed."""
    reference = f"ImagingStudy/{study['id']}"
    for result in await earlier(clients.hapi, reference, bundle_id):
        if result.report["status"] not in DRAFT:
            continue
        clients.check()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entries = cancelled(result, now, f"The study has changed: {reason}")
        what = [f"DiagnosticReport/{result.report['id']}", reference]
        async with clients.trail.around("update", "U", what=what, patient=study["subject"]["reference"]):
            await clients.hapi.transaction(
                {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            )


async def _read(hapi: HAPIClient, reference: str | None) -> Resource | None:
    type_, _, id_ = (reference or "").partition("/_history")[0].partition("/")
    if not id_:
        return None
    try:
        return await hapi.read(type_, id_)
    except (HAPINotFoundError, HAPIGoneError):
        return None
