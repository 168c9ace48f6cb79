"""The life of an AI Task: requested > accepted > in-progress > completed / failed / rejected, each step with
If-Match.

A step is written only by whoever read the version before it, so that two workers cannot both take a Task.
"""

from typing import Any

from facade.errors import HAPIConflictError
from facade.hapi import HAPIClient
from subscriptions.errors import TaskChangedError
from subscriptions.names import TASK_AI, TASK_SYSTEM
from subscriptions.trail import Trail

Resource = dict[str, Any]

OPEN = ("requested", "accepted", "in-progress")
"""States in which somebody has to work on it."""

AI_CODE = f"{TASK_SYSTEM}|{TASK_AI}"
REASON_SYSTEM = "urn:neuronova:reason"

GAVE_UP = ("gave-up", "The analysis failed and was given up; an operator can replay it.")


def study_ref(task: Resource) -> str | None:
    """The ImagingStudy that a Task is about."""
    reference: str | None = task.get("focus", {}).get("reference")
    return reference


def patient_ref(task: Resource) -> str | None:
    """The patient that a Task is for."""
    reference: str | None = task.get("for", {}).get("reference")
    return reference


def bundle_id(task: Resource) -> str | None:
    """The bundle that a Task asks for."""
    return next((str(i["valueString"]) for i in task.get("input", []) if _code(i) == "bundle"), None)


def _code(part: Resource) -> str | None:
    codings = part.get("type", {}).get("coding", [])
    return codings[0].get("code") if codings else None


def report_ref(task: Resource) -> str | None:
    """The report that a finished Task has put out."""
    references = [output.get("valueReference", {}).get("reference", "") for output in task.get("output", [])]
    return next((reference for reference in references if reference.startswith("DiagnosticReport/")), None)


def was_given_up(task: Resource) -> bool:
    """Closed because its job became a dead letter; a replay may take it up again."""
    codings = task.get("statusReason", {}).get("coding", [])
    return task["status"] == "failed" and any(coding.get("code") == GAVE_UP[0] for coding in codings)


async def advance(
    hapi: HAPIClient, trail: Trail, task: Resource, status: str, *, reason: tuple[str, str] | None = None
) -> Resource:
    """Write the next state; the new version is returned.

    :param reason: code and sentence, for a Task that ends without a result
    :raises TaskChangedError: somebody else has changed the Task meanwhile
    """
    changed = {**task, "status": status}
    changed.pop("statusReason", None)
    if reason is not None:
        code, text = reason
        changed["statusReason"] = {"coding": [{"system": REASON_SYSTEM, "code": code}], "text": text}
    what = [f"Task/{task['id']}", *(ref for ref in (study_ref(task),) if ref)]
    async with trail.around("update", "U", what=what, patient=patient_ref(task), detail={"status": status}):
        try:
            return await hapi.update(changed, if_match=task["meta"]["versionId"])
        except HAPIConflictError as error:
            raise TaskChangedError from error
