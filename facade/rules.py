"""Rules of the product that a plain write has to keep; signing and reviewing go by their operations.

Source: the product's design, sections 4 (life of a report, identity) and 6 (meta of clients).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facade import names
from facade.errors import (
    FacadeError,
    InvalidResourceError,
    ServerElementError,
    WrongStateError,
    raise_together,
)
from facade.hapi import HAPIClient
from smart_auth import compartment
from smart_auth.released import is_released, is_tombstone, observation_categories

_DRAFT = ("registered", "partial", "preliminary")
_SIGNED = ("final", "amended", "corrected", "appended", "entered-in-error")
_SERVER_ELEMENTS: Mapping[str, Sequence[str]] = {
    "DiagnosticReport": ("issued", "performer", "resultsInterpreter"),
    "Task": ("businessStatus", "output"),
}
# A patient's facts hidden inside another resource would escape every rule that looks at resources.
_NEVER_CONTAINED = frozenset(
    {
        "Patient",
        "Group",
        "AuditEvent",
        "Provenance",
        "DiagnosticReport",
        "Observation",
        "Task",
        "ImagingStudy",
    }
)


def clean(resource: dict[str, Any], old: Mapping[str, Any] | None = None) -> None:
    """Take off what only the server says of a resource: version, time, source, our own tags."""
    meta = resource.get("meta")
    sent = meta if isinstance(meta, dict) else {}
    kept = {name: sent[name] for name in ("profile", "tag", "security") if name in sent}
    kept["tag"] = [tag for tag in kept.get("tag", []) if not _is_ours(tag)]
    kept["tag"] += [tag for tag in (old or {}).get("meta", {}).get("tag", []) if _is_ours(tag)]
    resource["meta"] = {name: value for name, value in kept.items() if value}
    if not resource["meta"]:
        del resource["meta"]


def check(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    """Raise for what the resource itself shows to be against the rules; all violations at once."""
    type_ = str(new["resourceType"])
    found: list[FacadeError] = []
    server = _server_elements(type_, new, old or {})
    if type_ == "DiagnosticReport":
        if old is not None and old.get("status") not in _DRAFT:
            found.append(WrongStateError("a signed or cancelled report changes only by its operations"))
        if new.get("status") not in _DRAFT:
            server.append(("DiagnosticReport.status", "only $sign and $review go beyond preliminary"))
    if type_ == "Task" and new.get("status") != (old or {"status": "requested"}).get("status"):
        server.append(("Task.status", "only the server moves a task"))
    if type_ in ("Task", "DiagnosticReport", "Observation") and keys(new) != keys(old or {}):
        server.append((f"{type_}.identifier", "the result key is the server's"))
    if type_ == "Observation":
        if (state := _wrong_state(new, old or {})) is not None:
            found.append(WrongStateError(state, expression="Observation.status"))
        if keys(new) and new.get("status") not in ("registered", "preliminary"):
            server.append(("Observation.status", "signing the report releases it"))
    if server:
        found.append(ServerElementError(issues=tuple(server)))
    wrong = [
        (f"{type_}.contained[{index}]", "this type cannot be contained")
        for index, item in enumerate(new.get("contained", []))
        if item.get("resourceType") in _NEVER_CONTAINED
    ]
    wrong += _unclear_subject(type_, new)
    if type_ == "Patient" and len(_mrns(new)) > 1:
        wrong.append(("Patient.identifier", "a patient has one MRN"))
    if type_ == "ServiceRequest" and is_imaging_order(new):
        wrong += [
            (f"ServiceRequest.{n}", "an imaging order has it") for n in ("code", "requester") if n not in new
        ]
    if type_ == "Task" and names.TASK_CODE not in _codes(new.get("code")):
        wrong.append(("Task.code", "a task of this product has a code of urn:neuronova:task"))
    if type_ == "Task" and old is None and not str(_reference(new.get("focus"))).startswith("ImagingStudy/"):
        wrong.append(("Task.focus", "an AI task is about an ImagingStudy"))
    if wrong:
        found.append(InvalidResourceError(issues=tuple(wrong)))
    raise_together(found)


def _wrong_state(new: Mapping[str, Any], old: Mapping[str, Any]) -> str | None:
    """Say why a plain write may not change an Observation: `$sign` releases and withdraws, nothing else."""
    if is_tombstone(old) and _is_imaging(old):
        return "a withdrawn result of imaging stays as it is"
    if keys(old) and (is_released(old) or old.get("status") == "cancelled"):
        return "a result that was signed or rejected changes only with its report"
    if is_tombstone(new) and not is_released(old) and any(_is_imaging(one) for one in (new, old) if one):
        # A withdrawn result of imaging is told to the patient; what was never released is not.
        return "only a released result of imaging can be withdrawn"
    return None


def _is_imaging(observation: Mapping[str, Any]) -> bool:
    return "imaging" in (observation_categories(observation) or ("imaging",))


def _unclear_subject(type_: str, new: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whose record it is stands in a literal reference and nowhere else: a logical one would be a guess."""
    subject = compartment.SUBJECTS.get(type_)
    if subject is None or type_ in ("Patient", "AuditEvent") or subject.element not in new:
        return []
    said = new[subject.element]
    text = said.get("reference") if isinstance(said, Mapping) else None
    if not isinstance(text, str) or text.startswith("#"):
        return [(f"{type_}.{subject.element}", "a literal reference says whose record this is")]
    return []


async def check_observation(hapi: HAPIClient, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """Raise unless the Observation may change: those of a report are released and changed with it alone."""
    asked = [("result", f"Observation/{old['id']}")]
    # A report that was made to forget its Observation is still found by the key of the AI result.
    asked += [("identifier", f"{names.AI_RESULT}|{key.partition('#')[0]}") for key in keys(old)]
    states: set[str] = set()
    for parameter in asked:
        page = await hapi.search("DiagnosticReport", [parameter], count=50)
        states |= {str(entry["resource"].get("status")) for entry in page.get("entry", [])}
    if states & {*_SIGNED, "cancelled"}:
        raise WrongStateError("an observation of a signed or cancelled report changes only with it")
    if states and new.get("status") not in ("registered", "preliminary"):
        raise ServerElementError("signing the report releases it", expression="Observation.status")


def is_imaging_order(resource: Mapping[str, Any]) -> bool:
    """Whether a ServiceRequest has the category of imaging."""
    return any((names.SNOMED, names.IMAGING) in _coded(concept) for concept in resource.get("category", []))


def mrn(patient: Mapping[str, Any]) -> str | None:
    """Return the MRN of a Patient."""
    return next(iter(_mrns(patient)), None)


def _mrns(patient: Mapping[str, Any]) -> list[str]:
    return [
        str(identifier["value"])
        for identifier in patient.get("identifier", [])
        if identifier.get("system") == names.MRN and identifier.get("value")
    ]


def _server_elements(type_: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{type_}.{name}", "set by the server only")
        for name in _SERVER_ELEMENTS.get(type_, ())
        if new.get(name) != old.get(name)
    ]


def keys(resource: Mapping[str, Any]) -> list[str]:
    """Return the keys of the AI result that a resource belongs to."""
    return sorted(
        str(identifier.get("value"))
        for identifier in resource.get("identifier", [])
        if identifier.get("system") == names.AI_RESULT
    )


def _is_ours(tag: Any) -> bool:
    return isinstance(tag, dict) and str(tag.get("system", "")).startswith("urn:neuronova:")


def _coded(concept: Any) -> set[tuple[str | None, str | None]]:
    codings = concept.get("coding", []) if isinstance(concept, Mapping) else []
    return {(coding.get("system"), coding.get("code")) for coding in codings}


def _codes(concept: Any) -> set[str | None]:
    return {code for system, code in _coded(concept) if system == names.TASK}


def _reference(value: Any) -> str | None:
    return value.get("reference") if isinstance(value, Mapping) else None
