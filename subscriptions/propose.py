"""Job `propose_inference`: a Task for each allowed bundle, requested if the study fits it, else rejected with
why.

The result key is the identifier of a conditional create: proposing twice, or a late series that is no input,
makes no second Task.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from imaging.errors import CorrectionBusyError
from inference import names
from inference.bundle import Bundle
from inference.errors import SelectionError
from inference.resources import concept
from subscriptions.bundles import Bundles
from subscriptions.clients import Clients
from subscriptions.earlier import cancel_drafts
from subscriptions.errors import WrongWorkerError
from subscriptions.names import RESULT_SYSTEM, STUDY_SYSTEM, TASK_AI, TASK_SYSTEM
from subscriptions.pacs import Pacs
from subscriptions.selection import Selected, choose
from subscriptions.tasks import REASON_SYSTEM
from subscriptions.trail import follow

Resource = dict[str, Any]


async def propose_inference(imaging_study_id: str, clients: Clients) -> None:
    """Make the Tasks of an available study."""
    pacs, bundles = pacs_and_bundles(clients)
    study = await clients.hapi.read("ImagingStudy", imaging_study_id)
    follow(study)
    study_uid = study_uid_of(study)
    row = pacs.index.study(study_uid)
    if study.get("status") != "available" or row is None:
        return  # it has grown meanwhile; it is proposed again when it is available
    if pacs.corrections.is_under_way(study_uid):
        raise CorrectionBusyError("Whose study it is is being corrected.")
    if row.patient_ref != study["subject"]["reference"]:
        return  # it has been given to another patient; it is published again under that one
    for bundle_id, reason in bundles.broken.items():
        await _create(clients, _rejected(pacs, study, study_uid, bundle_id, "bundle-contract", reason))
    for bundle_id, bundle in bundles.loaded.items():
        try:
            selected = choose(pacs, bundle, study_uid)
        except SelectionError as error:
            task = _rejected(pacs, study, study_uid, bundle_id, error.code, error.reason)
            await cancel_drafts(clients, study, bundle_id, error.reason)
        else:
            task = _requested(study, bundle, selected)
        await _create(clients, task)


def pacs_and_bundles(clients: Clients) -> tuple[Pacs, Bundles]:
    """What only an inference worker has."""
    if clients.pacs is None or clients.bundles is None:
        raise WrongWorkerError
    return clients.pacs, clients.bundles


def study_uid_of(study: Resource) -> str:
    """The Study Instance UID of an ImagingStudy."""
    for identifier in study.get("identifier", []):
        if identifier.get("system") == STUDY_SYSTEM:
            return str(identifier.get("value", "")).removeprefix("urn:oid:")
    return ""


def key_of(task: Resource) -> str | None:
    """The result key of a Task."""
    return next(
        (str(i["value"]) for i in task.get("identifier", []) if i.get("system") == RESULT_SYSTEM), None
    )


def _requested(study: Resource, bundle: Bundle, selected: Selected) -> Resource:
    pixels = sorted(row.digest for rows in selected.instances.values() for row in rows)
    inputs: list[Resource] = [
        {
            "type": concept(names.TASK_INPUT, "series", text=role),
            "valueIdentifier": {"system": STUDY_SYSTEM, "value": f"urn:oid:{series_uid}"},
        }
        for role, series_uid in selected.series.items()
    ]
    digest = hashlib.sha256("\n".join(pixels).encode()).hexdigest()
    inputs.append({"type": concept(names.TASK_INPUT, "pixel-digest"), "valueString": digest})
    return _task(study, bundle.id, selected.key) | {
        "status": "requested",
        "description": bundle.metadata.neuronova.title,
        "input": [*inputs, _bundle_input(bundle.id)],
    }


def _rejected(
    pacs: Pacs, study: Resource, study_uid: str, bundle_id: str, code: str, reason: str
) -> Resource:
    pixels = sorted((row.sop_uid, row.digest) for row in pacs.index.instances(study_uid) if not row.own)
    correction = pacs.corrections.latest(study_uid)
    known = [study_uid, bundle_id, code, reason, pixels, *([correction] if correction else [])]
    content = json.dumps(known, separators=(",", ":"))
    key = f"rejected-{hashlib.sha256(content.encode()).hexdigest()}"
    return _task(study, bundle_id, key) | {
        "status": "rejected",
        "statusReason": concept(REASON_SYSTEM, code, text=reason),
        "input": [_bundle_input(bundle_id)],
    }


def _task(study: Resource, bundle_id: str, key: str) -> Resource:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {
        "resourceType": "Task",
        "identifier": [{"system": RESULT_SYSTEM, "value": key}],
        "intent": "order",
        "code": {"coding": [{"system": TASK_SYSTEM, "code": TASK_AI}]},
        "focus": {"reference": f"ImagingStudy/{study['id']}"},
        "for": dict(study["subject"]),
        "authoredOn": now,
        "lastModified": now,
    }


def _bundle_input(bundle_id: str) -> Resource:
    return {"type": concept(names.TASK_INPUT, "bundle"), "valueString": bundle_id}


async def _create(clients: Clients, task: Resource) -> None:
    clients.check()
    async with clients.trail.around(
        "create",
        "C",
        what=[task["focus"]["reference"]],
        patient=task["for"]["reference"],
        detail={"task": TASK_AI, "status": task["status"]},
    ):
        value = task["identifier"][0]["value"]
        await clients.hapi.create(task, if_none_exist=f"identifier={RESULT_SYSTEM}|{value}")
