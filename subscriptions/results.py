"""What was found out about a study for one patient: reports, Observations and AI Tasks, and their withdrawal.

Plain withdrawal is for what nobody has signed. A signed report is withdrawn by a radiologist's `$sign` alone
(design section 4); it stands in the way, and its signer is asked for that by a Task.
Sources: FHIR R4 valueset-diagnostic-report-status, valueset-observation-status, valueset-task-status
(entered-in-error).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from facade.hapi import HAPIClient
from subscriptions import tasks
from subscriptions.names import CORRECTION_SYSTEM, TASK_AMENDMENT, TASK_SYSTEM

RELEASED = frozenset({"final", "amended", "corrected", "appended"})
WITHDRAWN = "entered-in-error"
REASONS = {
    "assign": "The images are not this patient's.",
    "merge": "The patient's record was merged into another one.",
    "deletion": "The images were deleted in the image archive.",
}
"""Why a result is withdrawn, by the kind of correction."""

_WITHDRAW = "It has to be withdrawn by $sign (entered-in-error) before this can be corrected."
_ASKED = {
    "assign": f"The images of this report are another patient's. {_WITHDRAW}",
    "merge": f"The patient's record shall be merged into another one of the same person. {_WITHDRAW}",
    "deletion": "The images of this report were deleted in the image archive. Does it still stand?",
}
Resource = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Everything that was made of one study for one patient, as it is stored now."""

    study: Resource
    tasks: Sequence[Resource]
    reports: Sequence[Resource]
    observations: Sequence[Resource]
    requests: Sequence[Resource]
    """Open Tasks that ask for an amendment of one of the reports."""

    @property
    def signed(self) -> list[Resource]:
        """Reports and results that were released and not withdrawn."""
        return [part for part in (*self.reports, *self.observations) if part["status"] in RELEASED]

    def withdrawn(self, kind: str, now: str) -> list[Resource]:
        """The next versions of all that is neither signed nor withdrawn yet."""
        signed = {f"{part['resourceType']}/{part['id']}" for part in self.signed}
        changed = [
            {**part, "status": WITHDRAWN}
            for part in (*self.reports, *self.observations)
            if part["status"] not in RELEASED | {WITHDRAWN}
        ]
        for task in self.tasks:
            if task["status"] != WITHDRAWN and bare(tasks.report_ref(task)) not in signed:
                reason = {"coding": [{"system": CORRECTION_SYSTEM, "code": kind}], "text": REASONS[kind]}
                changed.append({**task, "status": WITHDRAWN, "statusReason": reason, "lastModified": now})
        return changed + [
            {**task, "status": "completed", "lastModified": now}
            for task in self.requests
            if bare(tasks.study_ref(task)) not in signed
        ]


def bare(reference: str | None) -> str:
    """A reference without its version."""
    return (reference or "").partition("/_history")[0]


async def results_of(hapi: HAPIClient, study: Resource, patient_ref: str) -> Results:
    """Read them; what is about another patient is not this study's business."""
    reference = f"ImagingStudy/{study['id']}"
    found_tasks = [
        task
        async for task in hapi.search_all("Task", (("focus", reference), ("code", tasks.AI_CODE)))
        if tasks.patient_ref(task) == patient_ref
    ]
    reports = [
        report
        async for report in hapi.search_all("DiagnosticReport", (("subject", patient_ref),))
        if any(one.get("reference") == reference for one in report.get("imagingStudy", []))
    ]
    derived = (("subject", patient_ref), ("derived-from", reference))
    observations = {one["id"]: one async for one in hapi.search_all("Observation", derived)}
    requests = []
    for report in reports:
        for result in report.get("result", []):
            type_, _, rest = str(result.get("reference", "")).partition("/")
            id_ = rest.partition("/")[0]
            if type_ == "Observation" and id_ not in observations:
                read = await hapi.read(type_, id_)
                if read.get("subject", {}).get("reference") == patient_ref:
                    observations[id_] = read
        asked = (("focus", f"DiagnosticReport/{report['id']}"), ("code", f"{TASK_SYSTEM}|{TASK_AMENDMENT}"))
        requests += [task async for task in hapi.search_all("Task", (*asked, ("status", "requested")))]
    return Results(study, found_tasks, reports, list(observations.values()), requests)


async def ask_signers(hapi: HAPIClient, signed: Sequence[Resource], kind: str) -> list[Resource]:
    """Ask whoever signed to look at the reports again; returns the reports."""
    reports = [part for part in signed if part["resourceType"] == "DiagnosticReport"]
    for report in reports:
        asked = _request(report, kind)
        value = asked["identifier"][0]["value"]
        await hapi.create(asked, if_none_exist=f"identifier={CORRECTION_SYSTEM}|{value}")
    return reports


def _request(report: Mapping[str, Any], code: str) -> Resource:
    signers = report.get("resultsInterpreter", [])
    return {
        "resourceType": "Task",
        "identifier": [{"system": CORRECTION_SYSTEM, "value": f"{code}/DiagnosticReport/{report['id']}"}],
        "status": "requested",
        "intent": "proposal",
        "code": {"coding": [{"system": TASK_SYSTEM, "code": TASK_AMENDMENT}]},
        "description": _ASKED[code],
        "focus": {"reference": f"DiagnosticReport/{report['id']}"},
        "for": dict(report["subject"]),
        "authoredOn": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **({"owner": dict(signers[0])} if signers else {}),
        "performerType": [{"coding": [{"system": "urn:neuronova:role", "code": "rib"}]}],
    }
