"""The table of HAPI's Subscriptions: what HAPI tells us, and which jobs follow from it.

One endpoint for each subscription: a notification does not say which one it belongs to. Of a notification
only type, id and version are taken. AuditEvent is never a topic: the trail would answer itself. Source: FHIR
R4, Subscription; HAPI's delivery as measured (rest-hook, PUT <endpoint>/<Type>/<id>).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from subscriptions.names import SECRET_HEADER, TASK_AI, TASK_SYSTEM

Call = tuple[str, ...]
"""Name of a job and its arguments."""


@dataclass(frozen=True)
class Topic:
    """One Subscription: its criteria, and the jobs for a change of (type, id, version)."""

    name: str
    type: str
    criteria: str
    calls: Callable[[str, str, str], tuple[Call, ...]]

    @property
    def subscription_id(self) -> str:
        """Fixed id in HAPI: registering twice cannot make two."""
        return f"neuronova-{self.name}"


def _propose(_: str, id_: str, version: str) -> tuple[Call, ...]:
    return (("propose_inference", id_, version),)


def _infer(_: str, id_: str, __: str) -> tuple[Call, ...]:
    return (("run_inference", id_),)


def _notify(type_: str, id_: str, version: str) -> tuple[Call, ...]:
    return (("notify", type_, id_, version),)


def _sync(type_: str, id_: str, version: str) -> tuple[Call, ...]:
    return (("sync_openemr", type_, id_, version),)


_AI = f"{TASK_SYSTEM}|{TASK_AI}"
SIGNED = "final,amended,corrected,appended,entered-in-error"
"""Statuses that a signature gives, a withdrawal too: OpenEMR shows any result as final and gets no other."""

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("study-available", "ImagingStudy", "ImagingStudy?status=available", _propose),
        Topic("study", "ImagingStudy", "ImagingStudy?", _notify),
        Topic("task-requested", "Task", f"Task?code={_AI}&status=requested", _infer),
        Topic("task", "Task", f"Task?code={_AI}", _notify),
        Topic("report", "DiagnosticReport", "DiagnosticReport?", _notify),
        Topic("report-released", "DiagnosticReport", f"DiagnosticReport?status={SIGNED}", _sync),
        Topic("order", "ServiceRequest", "ServiceRequest?", _sync),
        Topic("patient", "Patient", "Patient?", _sync),
        Topic("practitioner", "Practitioner", "Practitioner?", _sync),
        Topic("encounter", "Encounter", "Encounter?", _sync),
    )
}


def subscription(topic: Topic, receiver_url: str, secret: str) -> dict[str, Any]:
    """The Subscription resource of a topic, as it is asked for (HAPI itself sets it active)."""
    return {
        "resourceType": "Subscription",
        "id": topic.subscription_id,
        "status": "requested",
        "reason": "Wakes the pipeline of NeuroNova.",
        "criteria": topic.criteria,
        "channel": {
            "type": "rest-hook",
            "endpoint": f"{receiver_url.rstrip('/')}/hooks/{topic.name}",
            # Without a payload HAPI's request does not say what changed.
            "payload": "application/fhir+json",
            "header": [f"{SECRET_HEADER}: {secret}"],
        },
    }


def is_intact(stored: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Does the stored Subscription still do what is wanted? `error` and `off` do not, nor an old secret."""
    return stored.get("status") in ("requested", "active") and all(
        stored.get(element) == wanted[element] for element in ("criteria", "channel")
    )
