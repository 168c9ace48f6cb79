"""Owns the one transaction by which a result enters the record: all of it, once, or nothing.

Device, DiagnosticReport and Observations are conditional creates on fixed identifiers, so a repeated
transaction finds what is there; the Task is updated with If-Match, so that a repeated or late one is refused
as a whole (and with it the Provenance, which has no identifier). Results of the same study under another key:
a draft is cancelled, a signed report stays as it is and a Task asks for an amendment. Sources: FHIR R4
http.html (transaction, ifNoneExist, ifMatch), diagnosticreport.html (status).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from inference import names, resources
from inference.bundle import Bundle
from inference.errors import StaleTaskError
from inference.findings import Finding
from inference.resources import Resource, concept

SIGNED = frozenset({"final", "amended", "corrected", "appended"})
DRAFT = frozenset({"registered", "partial", "preliminary"})
_SUPERSEDED = "Superseded by a newer result of the same study."


@dataclass(frozen=True)
class Segmentation:
    """The stored SEG that belongs to the result."""

    series_uid: str
    sop_uid: str


@dataclass(frozen=True)
class Earlier:
    """An earlier AI result of the same study and bundle, as stored now: report, its Observations, its Task if
    known."""

    report: Mapping[str, Any]
    observations: Sequence[Mapping[str, Any]] = ()
    task: Mapping[str, Any] | None = None


def transaction(
    task: Mapping[str, Any],
    study: Mapping[str, Any],
    findings: Sequence[Finding],
    bundle: Bundle,
    key: str,
    seg: Segmentation | None,
    *,
    dtype: str = "",
    earlier: Sequence[Earlier] = (),
    now: datetime | None = None,
) -> Resource:
    """The transaction Bundle of one result. `task` and all of `earlier` as read from the store just
    before."""
    recorded = (
        (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    device_url, report_url = _urn(key, "device"), _urn(key, "report")
    urls = [_urn(key, finding.code) for finding in findings]
    observations = [resources.observation(bundle, study, f, key, device_url) for f in findings]
    report = resources.diagnostic_report(bundle, study, findings, key, urls)
    entries = [
        _create(device_url, resources.device(bundle)),
        *(_create(url, item) for url, item in zip(urls, observations, strict=True)),
        _create(report_url, report),
        _post(resources.provenance(study, [report_url, *urls], device_url, recorded)),
        _update(_finished(task, report_url, seg, dtype, recorded)),
    ]
    for result in earlier:
        if result.report["status"] in DRAFT:
            entries += cancelled(result, recorded, _SUPERSEDED)
        elif result.report["status"] in SIGNED:
            request = resources.amendment_request(study, result.report, key, report_url, device_url, recorded)
            entries.append(_create(_urn(key, f"amendment-{result.report['id']}"), request))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _finished(
    task: Mapping[str, Any], report_url: str, seg: Segmentation | None, dtype: str, now: str
) -> Resource:
    output: list[Resource] = [_output("report", valueReference={"reference": report_url})]
    if seg is not None:
        for code, uid in (("segmentation-series", seg.series_uid), ("segmentation", seg.sop_uid)):
            output.append(
                _output(code, valueIdentifier={"system": names.DICOM_UID, "value": f"urn:oid:{uid}"})
            )
    if dtype:
        output.append(_output("arithmetic", valueString=dtype))
    return {
        **task,
        "status": "completed",
        "businessStatus": concept(names.REVIEW, "awaiting-review"),
        "lastModified": now,
        "executionPeriod": {**task.get("executionPeriod", {}), "end": now},
        "output": output,
    }


def cancelled(result: Earlier, now: str, reason: str) -> list[Resource]:
    """Entries by which a draft that nobody signed gives way; what it said stays readable in its history."""
    entries = [_update({**part, "status": "cancelled"}) for part in (result.report, *result.observations)]
    if result.task is not None:
        changed = {
            **result.task,
            "businessStatus": concept(names.REVIEW, "rejected"),
            "statusReason": {"text": reason},
            "lastModified": now,
        }
        entries.append(_update(changed))
    return entries


def _output(code: str, **value: Any) -> Resource:
    return {"type": concept(names.TASK_OUTPUT, code), **value}


def _create(url: str, resource: Resource) -> Resource:
    """Conditional create on the resource's own identifier; encoded, because of the # in Observations'
    values."""
    identifier = resource["identifier"][0]
    token = quote(f"{identifier['system']}|{identifier['value']}", safe="")
    request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": f"identifier={token}"}
    return {"fullUrl": url, "resource": resource, "request": request}


def _post(resource: Resource) -> Resource:
    return {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def _update(resource: Mapping[str, Any]) -> Resource:
    version = resource.get("meta", {}).get("versionId")
    if not version:
        raise StaleTaskError()
    return {
        "resource": dict(resource),
        "request": {
            "method": "PUT",
            "url": f"{resource['resourceType']}/{resource['id']}",
            "ifMatch": f'W/"{version}"',
        },
    }


def _urn(key: str, purpose: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{key}/{purpose}").urn
