"""What changes a signed report: amended, corrected, appended or withdrawn, each signed anew by `$sign`.

`amended` and `corrected` take new content for the report and its Observations, `appended` only adds to what
is there, `entered-in-error` withdraws all of it. Whose and of what a report is never changes. The version
before stays readable by vread.
Sources: FHIR R4 valueset-diagnostic-report-status, valueset-observation-status, provenance.html (reason); the
product's design, section 4 (life of a report).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facade import references, reports, rules, signature
from facade.errors import BadRequestError, InvalidResourceError, RefusedError, WrongStateError
from facade.gate import Gate
from facade.reports import Resource, Result
from facade.signature import version_of
from facade.validation import validate
from smart_auth import compartment
from smart_auth.interaction import Decision, Interaction
from smart_auth.released import WITHDRAWN, is_released, observation_categories

STATUSES = ("amended", "corrected", "appended", WITHDRAWN)
_LONGEST_REASON = 1000
_MOST_OBSERVATIONS = 100
# What an amendment may say anew; everything else says whose, of what and by whom it is.
_REPORT = frozenset(
    {"conclusion", "conclusionCode", "presentedForm", "result", "media", "text", "language"}
    | {"effectiveDateTime", "effectivePeriod"}
)
_OBSERVATION = frozenset(
    {"dataAbsentReason", "interpretation", "note", "bodySite", "method", "component", "referenceRange"}
    | {"text", "language", "effectiveDateTime", "effectivePeriod"}
)
# Of these the client sends back what it read; the server gives them anew.
_SERVER = frozenset({"meta", "status", "issued", "resultsInterpreter"})


@dataclass(frozen=True)
class Amendment:
    """What `$sign` is asked to make of a signed report."""

    status: str
    reason: str
    report: Resource | None
    observations: tuple[Resource, ...]


def asked(body: Mapping[str, Any]) -> Amendment | None:
    """Return what the Parameters ask for: `status`, `reason`, `report`, `observation`; None: no amendment."""
    given = body.get("parameter", [])
    if not given:
        return None
    texts: dict[str, str] = {}
    resources: dict[str, list[Resource]] = {"report": [], "observation": []}
    for item in given if isinstance(given, list) else [None]:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(item, dict) or name not in ("status", "reason", *resources) or name in texts:
            raise BadRequestError("a parameter is unknown or repeated")
        if name in resources:
            resources[name].append(_resource(name, item.get("resource")))
            continue
        values = [value for key, value in item.items() if key.startswith("value")]
        text = values[0].strip() if len(values) == 1 and isinstance(values[0], str) else ""
        if not 0 < len(text) <= _LONGEST_REASON:
            raise BadRequestError(f"{name} has no value that can be read")
        texts[name] = text
    if texts.get("status") not in STATUSES:
        raise InvalidResourceError(
            f"status is one of {', '.join(STATUSES)}", expression="Parameters.parameter"
        )
    if "reason" not in texts:
        raise InvalidResourceError("an amendment has a reason", expression="Parameters.parameter")
    reports_given, observations = resources["report"], resources["observation"]
    ids = [one.get("id") for one in observations]
    if len(reports_given) > 1 or len(set(map(str, ids))) < len(ids) or len(ids) > _MOST_OBSERVATIONS:
        raise BadRequestError("a resource is repeated")
    return Amendment(texts["status"], texts["reason"], next(iter(reports_given), None), tuple(observations))


async def amend(gate: Gate, decision: Decision, found: Result, asked: Amendment) -> Resource:
    """Change a signed report with its Observations in one signed transaction; returns the report."""
    if not is_released(found.report):
        raise WrongStateError("only a signed report is amended or withdrawn")
    now = reports.server_time()
    if asked.status == WITHDRAWN:
        if asked.report is not None or asked.observations:
            raise InvalidResourceError("a withdrawal has no content", expression="Parameters.parameter")
        changed = [{**part, "status": WITHDRAWN} for part in found.parts]
        kept: list[Resource] = []
    else:
        changed, kept = await _content(gate, decision, found, asked, now)
    return await reports.seal(
        gate,
        changed,
        kept=kept,
        uids=signature.segmentation_uids(found.task),
        activity="withdrawn" if asked.status == WITHDRAWN else asked.status,
        recorded=now,
        reason=asked.reason,
    )


async def was_done(gate: Gate, found: Result, asked: Amendment) -> bool:
    """Whether the stored version is this amendment by this person: the first answer was lost."""
    stored = {part["id"]: part for part in found.parts}
    given = [asked.report, *asked.observations] if asked.report else [*asked.observations]
    if found.report.get("status") != asked.status or any(
        one.get("id") not in stored or _said(one) != _said(stored[one["id"]]) for one in given
    ):
        return False
    reference = f"DiagnosticReport/{found.report['id']}"
    target = {"reference": f"{reference}/_history/{version_of(found.report)}"}
    async for provenance in gate.hapi.search_all("Provenance", [("target", reference)]):
        agents = [agent.get("who") for agent in provenance.get("agent", [])]
        is_theirs = target in provenance.get("target", []) and reports.signer(gate) in agents
        if is_theirs and {"text": asked.reason} in provenance.get("reason", []):
            return True
    return False


async def _content(
    gate: Gate, decision: Decision, found: Result, asked: Amendment, now: str
) -> tuple[list[Resource], list[Resource]]:
    """Return the next versions, the report first, and the Observations that stay as they are."""
    old = {part["id"]: part for part in found.observations}
    report = dict(asked.report or found.report)
    await _check(gate, decision, report, found.report, _REPORT)
    wanted = [_id_of(result) for result in report.get("result", [])]
    given = {str(one.get("id")): dict(one) for one in asked.observations}
    if asked.status == "appended":
        _check_added(report, found.report)
        if given:
            raise InvalidResourceError("appending changes no result", expression="Parameters.parameter")
    elif any(id_ not in old or id_ not in wanted for id_ in given):
        raise InvalidResourceError("not a result of the report", expression="Parameters.parameter")
    observations: list[Resource] = []
    for id_, new in given.items():
        right = gate.decide(Interaction("update", "Observation", id_))
        await _check(gate, right, new, old[id_], _OBSERVATION)
        observations.append({**new, "status": asked.status, "issued": now})
    for id_ in wanted:
        if id_ not in old:
            added = await _added(gate, id_, found.report)
            observations.append({**added, "status": "final", "issued": now})
    # What the report no longer says is not true any more.
    observations += [{**part, "status": WITHDRAWN} for id_, part in old.items() if id_ not in wanted]
    if not observations and _said(report) == _said(found.report):
        raise InvalidResourceError("nothing is changed", expression="Parameters.parameter")
    changed = {one["id"] for one in observations}
    kept = [part for id_, part in old.items() if id_ not in changed]
    server = {"status": asked.status, "issued": now, "resultsInterpreter": [reports.signer(gate)]}
    return [{**report, **server}, *observations], kept


async def _check(
    gate: Gate, decision: Decision, new: Resource, old: Resource, content: frozenset[str]
) -> None:
    """Raise unless only content differs, and all of it is valid and within the caller's rights."""
    type_ = str(old["resourceType"])
    if new.get("resourceType") != type_ or new.get("id") != old["id"]:
        raise InvalidResourceError("not the resource that is amended", expression="Parameters.parameter")
    new["meta"] = old["meta"]
    fixed = {name for name in {*new, *old} if not _is_content(name, content) and name not in _SERVER}
    wrong = [(f"{type_}.{name}", "an amendment does not change it") for name in sorted(fixed)
             if new.get(name) != old.get(name)]  # fmt: skip
    if wrong:
        raise InvalidResourceError(issues=tuple(wrong))
    validate(new)
    await references.resolve(gate, new, old)
    if not (await gate.confirm(decision, old) and await gate.confirm(decision, new)):
        raise RefusedError("ERR_004", "the new version is outside the caller's rights")


async def _added(gate: Gate, id_: str, report: Resource) -> Resource:
    """Return a draft of a result that the amended report takes up."""
    right = gate.decide(Interaction("update", "Observation", id_))
    added = await gate.read(right, "Observation", id_)
    is_draft = added.get("status") in ("registered", "preliminary") and not rules.keys(added)
    of_another = await gate.hapi.search("DiagnosticReport", [("result", f"Observation/{id_}")], count=1)
    if (
        not is_draft
        or of_another.get("entry")
        or "imaging" not in (observation_categories(added) or ())
        or compartment.patient_of(added) != compartment.patient_of(report)
    ):
        raise InvalidResourceError(
            "a new result is a draft of imaging, of this patient and of no other report",
            expression="DiagnosticReport.result",
        )
    return added


def _check_added(new: Resource, old: Resource) -> None:
    """Raise unless everything that the report said still stands there, in its place."""
    wrong = []
    for name in sorted(_said(old)):
        before, after = old[name], new.get(name)
        if isinstance(before, list) and isinstance(after, list):
            is_kept = after[: len(before)] == before
        elif name == "conclusion" and isinstance(after, str):
            is_kept = after.startswith(before)
        else:
            is_kept = name == "text" or after == before
        if not is_kept:
            wrong.append((f"DiagnosticReport.{name}", "appending changes nothing that was said"))
    if wrong:
        raise InvalidResourceError(issues=tuple(wrong))


def _is_content(name: str, content: frozenset[str]) -> bool:
    bare = name.removeprefix("_")
    return bare in content or (content is _OBSERVATION and bare.startswith("value"))


def _said(resource: Mapping[str, Any]) -> Resource:
    return {name: value for name, value in resource.items() if name not in _SERVER}


def _id_of(reference: Any) -> str:
    type_, _, rest = str(reference.get("reference", "")).partition("/")
    if type_ != "Observation" or not rest:
        raise InvalidResourceError(expression="DiagnosticReport.result")
    return rest.partition("/")[0]


def _resource(name: str, resource: Any) -> Resource:
    wanted = {"report": "DiagnosticReport", "observation": "Observation"}[name]
    if not isinstance(resource, dict) or resource.get("resourceType") != wanted:
        raise BadRequestError(f"{name} is a {wanted}")
    return resource
