"""Review and signature of an AI result: the only ways by which a report leaves the state of a draft.

`review` (doctor) approves or rejects what was shown; `sign` (radiologist) makes it final; what changes it
after that is `amending`. Each changes everything that belongs together in one transaction with If-Match on
every part, so that of two who act at the same time one is told that something has changed.
Sources: the product's design, section 4; FHIR R4 diagnosticreport.html (status), task.html, provenance.html.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from facade import names, signature
from facade.errors import (
    HAPIConflictError,
    InvalidResourceError,
    NotReviewedError,
    SignatureError,
    StaleVersionError,
    WrongStateError,
)
from facade.gate import Gate
from facade.signature import version_of
from smart_auth import compartment
from smart_auth.released import is_released

Resource = dict[str, Any]
_REVIEWED = "reviewed-content"
_AUTHOR_ROLE = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
# ASTM E1762-95 (FHIR R4 valueset-signature-type): author's signature.
_SIGNATURE_TYPE = {"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}


@dataclass(frozen=True)
class Result:
    """A Task's report with its Observations, as they are stored now."""

    task: Resource
    report: Resource
    observations: list[Resource]

    @property
    def parts(self) -> list[Resource]:
        """Report and Observations."""
        return [self.report, *self.observations]

    @property
    def content(self) -> str:
        """Fingerprint of the exact versions that a reviewer sees."""
        rows = [signature.entry(part, version_of(part)) for part in self.parts]
        return (
            "sha256:"
            + hashlib.sha256(signature.manifest(rows, signature.segmentation_uids(self.task))).hexdigest()
        )


def report_of(task: Mapping[str, Any]) -> str | None:
    """Return the id of the report that a Task made."""
    for output in task.get("output", []):
        type_, _, rest = str(output.get("valueReference", {}).get("reference", "")).partition("/")
        if type_ == "DiagnosticReport" and rest:
            return rest.partition("/")[0]
    return None


async def of_task(gate: Gate, task: Resource) -> Result:
    """Return what a Task made; a Task without a report is in the wrong state."""
    report_id = report_of(task)
    if report_id is None:
        raise WrongStateError("the task has no report")
    report = await gate.hapi.read("DiagnosticReport", report_id)
    return Result(task, report, await _observations(gate, report))


async def of_report(gate: Gate, report: Resource) -> Result:
    """Return the Task and Observations of a report; a report that no AI task made has no review."""
    code = f"{names.TASK}|{names.TASK_CODE}"
    for study in report.get("imagingStudy", []):
        asked = [("focus", str(study.get("reference", ""))), ("code", code)]
        async for task in gate.hapi.search_all("Task", asked):
            if report_of(task) == report["id"]:
                return Result(task, report, await _observations(gate, report))
    raise NotReviewedError()


async def review(
    gate: Gate, found: Result, *, approve: bool, reason: str | None, shown: str, content: str | None = None
) -> Resource:
    """Approve or reject; returns the Task.

    `shown` is the versioned report that was looked at; `content`, if given, the fingerprint of all of it.
    """
    task, report = found.task, found.report
    wanted = "approved" if approve else "rejected"
    state = _business_status(task)
    # What changed after its approval can no longer be signed, so it awaits another review.
    is_outdated = state == "approved" and _reviewed_content(task) != found.content
    if state == wanted and _was_shown(task, shown) and not is_outdated:
        return task  # the first answer was lost
    if task.get("status") != "completed" or not (state == "awaiting-review" or is_outdated):
        raise WrongStateError("the task does not await a review")
    if report.get("status") != "preliminary":
        raise WrongStateError("the report is not a draft")
    if shown != _versioned(report) or content not in (None, found.content):
        raise StaleVersionError("the report has changed since it was shown")
    changed = _copy(task, businessStatus=_concept(names.REVIEW, wanted))
    changed["output"] = [
        *task.get("output", []),
        _task_output("reviewed-report", shown),
        _task_output(_REVIEWED, found.content),
    ]
    if reason:
        changed["statusReason"] = {"text": reason}
    parts = [changed]
    if not approve:
        # A result that was released with another report is not cancelled with this one.
        parts += [_copy(part, status="cancelled") for part in found.parts if not is_released(part)]
    provenance = _provenance(gate, [_next(part) for part in parts], activity="reviewed")
    await _transaction(gate, parts, provenance)
    return await gate.hapi.read("Task", task["id"])


async def sign(gate: Gate, found: Result, content: str | None = None) -> Resource:
    """Make a reviewed draft final; returns the report. Everything changes in one transaction.

    `content`: the fingerprint that was shown to the signer; with another one nothing is signed.
    """
    report = found.report
    if report.get("status") != "preliminary":
        raise WrongStateError("the report is not a draft")
    if content not in (None, found.content):
        raise StaleVersionError("the result has changed since it was shown")
    if _business_status(found.task) != "approved" or _reviewed_content(found.task) != found.content:
        raise NotReviewedError()
    now = server_time()
    final = _copy(report, status="final", issued=now, resultsInterpreter=[signer(gate)])
    drafts = [part for part in found.observations if not is_released(part)]
    changed = [final, *(_copy(part, status="final", issued=now) for part in drafts)]
    kept = [part for part in found.observations if part not in drafts]
    uids = signature.segmentation_uids(found.task)
    orders = await _orders(gate, report)
    return await seal(gate, changed, kept=kept, beside=orders, uids=uids, activity="signed", recorded=now)


async def seal(
    gate: Gate,
    changed: Sequence[Resource],
    *,
    uids: Sequence[str],
    activity: str,
    recorded: str,
    kept: Sequence[Resource] = (),
    beside: Sequence[Resource] = (),
    reason: str | None = None,
) -> Resource:
    """Store next versions with a signed Provenance in one transaction; returns the first, read back.

    Signed are `changed`, and `kept` as it is; what is stored `beside` them is not.
    """
    rows = [signature.entry(part, _following(part)) for part in changed]
    rows += [signature.entry(part, version_of(part)) for part in kept]
    payload = signature.manifest(rows, uids)
    jws = gate.services.report_key.sign_detached(payload)
    targets = [*(_next(part) for part in changed), *(_versioned(part) for part in kept)]
    provenance = _provenance(gate, targets, activity=activity, recorded=recorded)
    provenance["signature"] = [_signature(signer(gate), recorded, jws)]
    if reason:
        provenance["reason"] = [{"text": reason}]
    await _transaction(gate, [*changed, *beside], provenance)
    return await _checked(gate, changed, kept, uids, payload)


async def _checked(
    gate: Gate, changed: Sequence[Resource], kept: Sequence[Resource], uids: Sequence[str], payload: bytes
) -> Resource:
    """Read back what was stored and compare it with what was signed."""
    asked = [(part, _following(part)) for part in changed] + [(part, version_of(part)) for part in kept]
    stored = [await gate.hapi.vread(part["resourceType"], part["id"], version) for part, version in asked]
    rows = [signature.entry(part, version_of(part)) for part in stored]
    if signature.manifest(rows, uids) != payload:
        raise SignatureError()
    return stored[0]


async def _observations(gate: Gate, report: Resource) -> list[Resource]:
    found = []
    for result in report.get("result", []):
        type_, _, rest = str(result.get("reference", "")).partition("/")
        if type_ != "Observation" or not rest:
            raise InvalidResourceError(expression="DiagnosticReport.result")
        observation = await gate.hapi.read("Observation", rest.partition("/")[0])
        if compartment.patient_of(observation) != compartment.patient_of(report):
            raise InvalidResourceError("about another patient", expression="DiagnosticReport.result")
        found.append(observation)
    return found


async def _orders(gate: Gate, report: Resource) -> list[Resource]:
    """Return the orders that the report fulfils, completed."""
    done = []
    for based_on in report.get("basedOn", []):
        type_, _, rest = str(based_on.get("reference", "")).partition("/")
        if type_ == "ServiceRequest":
            order = await gate.hapi.read("ServiceRequest", rest.partition("/")[0])
            if order.get("status") == "active":
                done.append(_copy(order, status="completed"))
    return done


async def _transaction(gate: Gate, parts: Sequence[Resource], provenance: Resource) -> None:
    entries: list[Resource] = [
        {
            "resource": part,
            "request": {
                "method": "PUT",
                "url": f"{part['resourceType']}/{part['id']}",
                "ifMatch": f'W/"{version_of(part)}"',
            },
        }
        for part in parts
    ]
    entries.append({"resource": provenance, "request": {"method": "POST", "url": "Provenance"}})
    try:
        await gate.hapi.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    except HAPIConflictError:
        raise StaleVersionError() from None


def _provenance(
    gate: Gate, targets: Sequence[str], *, activity: str, recorded: str | None = None
) -> Resource:
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target} for target in targets],
        "recorded": recorded or server_time(),
        "activity": _concept(names.ACTIVITY, activity),
        "agent": [
            {
                "type": _concept(_AUTHOR_ROLE, "verifier" if activity == "reviewed" else "attester"),
                "who": {"reference": gate.principal.fhir_user},
            }
        ],
    }


def signer(gate: Gate) -> Resource:
    """Return who signs."""
    return {"reference": gate.principal.fhir_user}


def _signature(who: Mapping[str, Any], when: str, jws: str) -> Resource:
    return {
        "type": [_SIGNATURE_TYPE],
        "when": when,
        "who": dict(who),
        "targetFormat": "application/fhir+json",
        "sigFormat": "application/jose",
        "data": base64.b64encode(jws.encode()).decode(),
    }


def _copy(resource: Resource, **changes: Any) -> Resource:
    return {**resource, **changes}


def _following(resource: Mapping[str, Any]) -> str:
    """The version that the transaction will give: If-Match makes sure that it is the next one."""
    return str(int(version_of(resource)) + 1)


def _next(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}/_history/{_following(resource)}"


def _versioned(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}/_history/{version_of(resource)}"


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _task_output(code: str, value: str) -> Resource:
    return {"type": _concept(names.TASK_OUTPUT, code), "valueString": value}


def _outputs(task: Mapping[str, Any], code: str) -> list[str]:
    return [
        str(output.get("valueString"))
        for output in task.get("output", [])
        if any(
            coding.get("system") == names.TASK_OUTPUT and coding.get("code") == code
            for coding in output.get("type", {}).get("coding", [])
        )
    ]


def _reviewed_content(task: Mapping[str, Any]) -> str | None:
    """The fingerprint of the last review."""
    return next(iter(reversed(_outputs(task, _REVIEWED))), None)


def _was_shown(task: Mapping[str, Any], shown: str) -> bool:
    return shown in _outputs(task, "reviewed-report")


def _business_status(task: Mapping[str, Any]) -> str | None:
    for coding in task.get("businessStatus", {}).get("coding", []):
        if coding.get("system") == names.REVIEW:
            return str(coding.get("code"))
    return None


def server_time() -> str:
    """Server time, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
