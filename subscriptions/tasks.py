"""The life of an AI Task: requested > accepted > in-progress > completed / failed / rejected, each step with
If-Match.

A step is written only by whoever read the version before it, so that two workers cannot both take a Task.
"""

from typing import Any

from facade.errors import HAPIConflictError
from facade.hapi import HAPIClient
from subscriptions.errors import TaskChangedError
from subscriptions.trail import Trail

Resource = dict[str, Any]

OPEN = ("requested", "accepted", "in-progress")
"""States in which somebody has to work on it."""

CLOSED = ("completed", "failed", "rejected", "cancelled", "entered-in-error")


def study_ref(task: Resource) -> str | None:
    """The ImagingStudy that a Task is about."""
    reference: str | None = task.get("focus", {}).get("reference")
    return reference


def patient_ref(task: Resource) -> str | None:
    """The patient that a Task is for."""
    reference: str | None = task.get("for", {}).get("reference")
    return reference


async def advance(
    hapi: HAPIClient, trail: Trail, task: Resource, status: str, *, reason: tuple[str, str] | None = None
) -> Resource:
    """Write the next state; the new version is returned.

    :param reason: code and sentence, for a Task that ends without a result
    :raises TaskChangedError: somebody else has changed the Task meanwhile
    """
    changed = {**task, "status": status}
    if reason is not None:
        code, text = reason
        changed["statusReason"] = {"coding": [{"system": "urn:neuronova:reason", "code": code}], "text": text}
    what = [f"Task/{task['id']}", *(ref for ref in (study_ref(task),) if ref)]
    async with trail.around("update", "U", what=what, patient=patient_ref(task), detail={"status": status}):
        try:
            return await hapi.update(changed, if_match=task["meta"]["versionId"])
        except HAPIConflictError as error:
            raise TaskChangedError from error
