"""What is set aside, told to the administrator: one Task for each study, with UIDs, digests and reasons, no
name.
"""

from typing import Any

from imaging.index import QuarantineRow
from subscriptions.clients import Clients
from subscriptions.names import QUARANTINE_SYSTEM, TASK_QUARANTINE, TASK_SYSTEM
from subscriptions.pacs import Pacs

LISTED = 200
"""Instances that a Task names; the rest is counted. All of them are in the stored rows."""


def subject(row: QuarantineRow) -> str:
    """What the Task is about: a study, or one instance whose UIDs nobody could read (Orthanc's id)."""
    return row.study_uid or row.orthanc_id


async def report(about: str, clients: Clients, pacs: Pacs) -> None:
    """Make or extend the Task of a quarantined study; nothing is sent if it says all already.

    :raises HAPIError: HAPI did not answer
    """
    rows = [row for row in pacs.index.quarantined() if subject(row) == about]
    if not rows:
        return
    wanted = task(about, rows)
    present = await _find(clients, about)
    if present is not None and present.get("input") == wanted["input"]:
        return
    async with clients.trail.around(
        "quarantine", "C", what=[f"urn:oid:{about}"], patient=None, detail={"instances": str(len(rows))}
    ):
        if present is None:
            await clients.hapi.create(wanted, if_none_exist=f"identifier={QUARANTINE_SYSTEM}|{about}")
        else:
            await clients.hapi.update(
                present
                | {
                    "status": wanted["status"],
                    "input": wanted["input"],
                    "statusReason": wanted["statusReason"],
                },
                if_match=present["meta"]["versionId"],
            )


def task(about: str, rows: list[QuarantineRow]) -> dict[str, Any]:
    """The Task of a quarantined study."""
    reasons = sorted({(row.code, row.text) for row in rows})
    instances = [
        {"type": {"text": "instance"}, "valueString": f"{row.sop_uid} {row.digest} {row.code}"}
        for row in sorted(rows, key=lambda row: row.sop_uid)[:LISTED]
    ]
    return {
        "resourceType": "Task",
        "identifier": [{"system": QUARANTINE_SYSTEM, "value": about}],
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": TASK_SYSTEM, "code": TASK_QUARANTINE}]},
        "statusReason": {
            "coding": [{"system": QUARANTINE_SYSTEM, "code": code} for code, _ in reasons],
            "text": " ".join(text for _, text in reasons),
        },
        "description": "Images were received that cannot be matched to a patient with certainty.",
        "performerType": [{"coding": [{"system": "urn:neuronova:role", "code": "admin"}]}],
        "input": [
            {"type": {"text": "study"}, "valueString": about},
            {"type": {"text": "instances"}, "valueInteger": len(rows)},
            *instances,
        ],
    }


async def _find(clients: Clients, about: str) -> dict[str, Any] | None:
    bundle = await clients.hapi.search("Task", [("identifier", f"{QUARANTINE_SYSTEM}|{about}")], count=2)
    found = [entry["resource"] for entry in bundle.get("entry", [])]
    return found[0] if found else None
