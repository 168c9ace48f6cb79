"""Operations: `$review` on a Task and `$sign` on a DiagnosticReport, `$validate`, `$meta`, `$everything`.

The first two need If-Match of the version that was shown; `$validate` stores nothing.
Sources: the product's design, section 4; FHIR R4 operations.html (Parameters).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from facade import amending, answer, changes, everything, outcome, reports
from facade.errors import (
    BadRequestError,
    BusinessRuleError,
    InvalidResourceError,
    RefusedError,
    StaleVersionError,
    VersionRequiredError,
)
from facade.gate import Gate
from facade.preconditions import version_seen
from facade.reading import patient_reference
from facade.reports import Resource, Result
from facade.request import Request
from facade.signature import version_of
from smart_auth import policy
from smart_auth.interaction import Decision, Interaction

if TYPE_CHECKING:
    from facade.dispatch import Sent

_SHOWN = re.compile(r"DiagnosticReport/[A-Za-z0-9\-.]{1,64}/_history/[0-9]{1,10}", re.ASCII)
_LONGEST_REASON = 1000


async def operation(gate: Gate, decision: Decision, asked: Request, sent: Sent) -> Response:
    """Run the operation that the policy has allowed."""
    match asked.interaction.operation:
        case "$meta":
            return await _meta(gate, decision, asked.interaction)
        case "$validate":
            return await _validate(gate, decision, asked.interaction, sent)
        case "$everything":
            return await everything.everything(gate, decision, asked)
    return await _report_operation(gate, decision, asked.interaction, sent)


async def _report_operation(gate: Gate, decision: Decision, interaction: Interaction, sent: Sent) -> Response:
    body = await sent.resource("Parameters")
    version = version_seen(sent.conditions.if_match, body)
    if version is None:
        raise VersionRequiredError()
    current = await gate.read(decision, str(interaction.type), str(interaction.id))
    if interaction.operation == "$review":
        changed = await _review(gate, interaction, current, body, version)
    else:
        changed = await _sign(gate, decision, interaction, current, body, version)
    return answer.resource(changed)


async def _meta(gate: Gate, decision: Decision, interaction: Interaction) -> Response:
    """Answer what the server says of one resource (R4 resource-operation-meta)."""
    found = await gate.read(decision, str(interaction.type), str(interaction.id))
    shown = policy.project(decision, found).get("meta", {})
    what = [f"{interaction.type}/{interaction.id}"]
    detail = {"operation": "$meta"}
    await gate.record(interaction, what=what, patients=[patient_reference(found)], detail=detail)
    body = {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": shown}]}
    return answer.resource(body, version=answer.etag(found))


async def _validate(gate: Gate, decision: Decision, interaction: Interaction, sent: Sent) -> Response:
    """Answer whether a create of this resource would be accepted (R4 resource-operation-validate)."""
    body = await sent.resource(None)
    if body.get("resourceType") == "Parameters":
        given = body.get("parameter", [])
        found = [
            item.get("resource")
            for item in (given if isinstance(given, list) else [])
            if isinstance(item, dict) and item.get("name") == "resource"
        ]
        body = found[0] if len(found) == 1 and isinstance(found[0], dict) else {}
    outcome_body = answer.done()
    try:
        if body.get("resourceType") != interaction.type:
            raise InvalidResourceError(
                "resourceType is not the type of the address", expression="resourceType"
            )
        body.pop("id", None)
        await changes.prepare(gate, decision, body, None)
    except (InvalidResourceError, BusinessRuleError, RefusedError) as error:
        outcome_body = outcome.operation_outcome(error)
    await gate.record(interaction, what=[str(interaction.type)], detail={"operation": "$validate"})
    return answer.bundle(outcome_body)


async def _review(
    gate: Gate, interaction: Interaction, task: Resource, body: Mapping[str, Any], version: str
) -> Resource:
    given = _parameters(body, {"decision", "reason", "report", "content"})
    content = _content(gate, given.get("content"))
    decision = given.get("decision")
    if decision not in ("approve", "reject"):
        raise InvalidResourceError("decision is approve or reject", expression="Parameters.parameter")
    reason = given.get("reason")
    if decision == "reject" and not reason:
        raise InvalidResourceError("a rejection has a reason", expression="Parameters.parameter")
    shown = given.get("report") or ""
    base = f"{gate.services.settings.base_url}/fhir/"
    shown = shown.removeprefix(base)
    if not _SHOWN.fullmatch(shown):
        raise InvalidResourceError("report is the versioned reference that was shown")
    found = await reports.of_task(gate, task)
    if version_of(task) != version and not _is_retry(task, version):
        raise StaleVersionError()
    await _intent(gate, interaction, found, f"{decision}")
    approve = decision == "approve"
    changed = await reports.review(gate, found, approve=approve, reason=reason, shown=shown, content=content)
    await _done(gate, interaction, found, f"{decision}")
    return changed


async def _sign(
    gate: Gate,
    decision: Decision,
    interaction: Interaction,
    report: Resource,
    body: Mapping[str, Any],
    version: str,
) -> Resource:
    """Sign a draft; with `status` and `reason` amend or withdraw what is signed."""
    asked, content = None, None
    if gate.principal.session or _names(body) == {"content"}:
        content = _content(gate, _parameters(body, {"content"}).get("content"))
    else:
        asked = amending.asked(body)
    step = asked.status if asked else "sign"
    found = await reports.of_report(gate, report)
    if version_of(report) != version:
        is_done = await _is_done(gate, found, asked) if _is_retry(report, version) else False
        if not is_done:
            raise StaleVersionError()
        await _done(gate, interaction, found, step)
        return report  # the first answer was lost
    await _intent(gate, interaction, found, step)
    if asked is None:
        changed = await reports.sign(gate, found, content)
    else:
        changed = await amending.amend(gate, decision, found, asked)
    await _done(gate, interaction, found, step)
    return changed


async def _is_done(gate: Gate, found: Result, asked: amending.Amendment | None) -> bool:
    if asked is None:
        return _is_signed_by(found.report, gate.principal.fhir_user)
    return await amending.was_done(gate, found, asked)


def _content(gate: Gate, content: str | None) -> str | None:
    """Return the fingerprint of what was shown; who acts beside the images always says what stood there."""
    if content is None and gate.principal.session:
        raise InvalidResourceError("content is the fingerprint of what was shown")
    return content


def _names(body: Mapping[str, Any]) -> set[str]:
    given = body.get("parameter", [])
    return (
        {str(one.get("name")) for one in given if isinstance(one, dict)} if isinstance(given, list) else set()
    )


def _parameters(body: Mapping[str, Any], allowed: set[str]) -> dict[str, str]:
    """Return name -> value of a Parameters resource; unknown and repeated names are refused."""
    found: dict[str, str] = {}
    for parameter in body.get("parameter", []):
        name = parameter.get("name") if isinstance(parameter, dict) else None
        if name not in allowed or name in found:
            raise BadRequestError("a parameter is unknown or repeated")
        values = [value for key, value in parameter.items() if key.startswith("value")]
        value = values[0] if len(values) == 1 else None
        text = value.get("reference") if isinstance(value, dict) else value
        if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST_REASON:
            raise BadRequestError(f"{name} has no value that can be read")
        found[name] = text.strip()
    return found


def _is_retry(resource: Resource, version: str) -> bool:
    """Whether the named version is the one just before the current one."""
    return version_of(resource).isdigit() and int(version_of(resource)) == int(version) + 1


def _is_signed_by(report: Resource, user: str | None) -> bool:
    interpreters = [item.get("reference") for item in report.get("resultsInterpreter", [])]
    return report.get("status") == "final" and user in interpreters


async def _intent(gate: Gate, interaction: Interaction, found: Result, step: str) -> None:
    await _record(gate, interaction, found, {"phase": "intent", "step": step})


async def _done(gate: Gate, interaction: Interaction, found: Result, step: str) -> None:
    await _record(gate, interaction, found, {"step": step})


async def _record(gate: Gate, interaction: Interaction, found: Result, detail: dict[str, str]) -> None:
    what = [f"{part['resourceType']}/{part['id']}" for part in [found.task, *found.parts]]
    detail = {"operation": str(interaction.operation), **detail}
    await gate.record(interaction, what=what, patients=[patient_reference(found.report)], detail=detail)
