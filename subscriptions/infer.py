"""Job `run_inference`: a requested Task to a segmentation and a draft report.

The order of the steps: take the Task, read the pixels (in children without secrets), predict, store the SEG,
write the report in one transaction together with the Task. SEG and report have UIDs and identifiers made from
the result key, and the Task's version closes the transaction: a run that was killed anywhere is run again and
leaves one of each. What the study itself is to blame for ends in a failed Task with the reason, not in a dead
letter.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from imaging.arrival import Arrival, take_in
from imaging.errors import CorrectionBusyError, ImagingError
from imaging.index import InstanceRow
from imaging.orthanc import Origin
from imaging.volume import Volume
from imaging.volumes import read_volume
from inference.bundle import Bundle
from inference.errors import InferenceError, SelectionError
from inference.findings import measure
from inference.key import derived_uid
from inference.predict import Prediction, predict
from inference.report import Segmentation, transaction
from inference.segmentation import SegmentationObject, dicom_seg
from subscriptions import tasks
from subscriptions.clients import Clients
from subscriptions.earlier import earlier
from subscriptions.pacs import Pacs
from subscriptions.propose import key_of, pacs_and_bundles, study_uid_of
from subscriptions.selection import Selected, choose, header
from subscriptions.trail import follow

AT_ONCE = 8
"""Files fetched from Orthanc at the same time."""

_log = logging.getLogger(__name__)
Resource = dict[str, Any]


async def run_inference(task_id: str, clients: Clients) -> None:
    """Work on a Task that waits, or whose worker has died."""
    task = await clients.hapi.read("Task", task_id)
    follow(task)
    if task["status"] not in tasks.OPEN and not tasks.was_given_up(task):
        return
    study = await clients.hapi.read("ImagingStudy", str(tasks.study_ref(task)).rpartition("/")[2])
    if study["status"] != "available":
        return  # it is growing; reconcile asks again
    if clients.pacs is not None and clients.pacs.corrections.is_under_way(study_uid_of(study)):
        raise CorrectionBusyError("Whose study it is is being corrected.")
    what = [f"Task/{task_id}", f"ImagingStudy/{study['id']}"]
    patient = study["subject"]["reference"]
    async with clients.trail.around("ai-run", "E", what=what, patient=patient, detail=_facts(task)):
        await _run(task, study, clients)


async def _run(task: Resource, study: Resource, clients: Clients) -> None:
    pacs, bundles = pacs_and_bundles(clients)
    bundle = bundles.loaded.get(tasks.bundle_id(task) or "")
    if bundle is None:
        await _close(task, clients, "rejected", ("bundle-not-allowed", "The bundle is not offered any more."))
        return
    try:
        selected = choose(pacs, bundle, study_uid_of(study))
    except SelectionError as error:
        await _close(task, clients, "rejected", (error.code, error.reason))
        return
    if selected.key != key_of(task) or task["for"]["reference"] != study["subject"]["reference"]:
        reason = ("study-changed", "The study or the bundle has changed since this task was made.")
        await _close(task, clients, "rejected", reason)
        return
    for status in ("accepted", "in-progress"):
        if _comes_before(task["status"], status):
            task = await tasks.advance(clients.hapi, clients.trail, task, status)
    bundles.take_threads()
    try:
        await _produce(task, study, bundle, selected, clients, pacs)
    except (ImagingError, InferenceError) as error:
        if error.temporary:
            raise
        await _close(task, clients, "failed", (error.code, str(error)))


async def _produce(
    task: Resource, study: Resource, bundle: Bundle, selected: Selected, clients: Clients, pacs: Pacs
) -> None:
    begun = time.monotonic()
    volumes = dict(
        zip(
            selected.instances,
            await asyncio.gather(*(_volume(pacs, rows) for rows in selected.instances.values())),
            strict=True,
        )
    )
    read_s = time.monotonic() - begun
    prediction = predict(bundle, volumes)
    first = volumes[next(iter(volumes))]
    findings = measure(bundle, prediction, first.spacing_mm)
    segmentation = await _store_segmentation(task, bundle, selected, prediction, first, clients, pacs)
    clients.check()
    await clients.hapi.transaction(
        transaction(
            task,
            study,
            findings,
            bundle,
            selected.key,
            segmentation,
            dtype=prediction.dtype,
            earlier=await earlier(clients.hapi, str(tasks.study_ref(task)), bundle.id, but=task["id"]),
        )
    )
    _log.info(
        "draft report is written",
        extra={
            "task": f"Task/{task['id']}",
            "bundle": bundle.id,
            "read_s": round(read_s, 2),
            "network_s": round(prediction.network_s, 2),
            "total_s": round(time.monotonic() - begun, 2),
        },
    )


async def _volume(pacs: Pacs, rows: Sequence[InstanceRow]) -> Volume:
    turn = asyncio.Semaphore(AT_ONCE)

    async def file(row: InstanceRow) -> bytes:
        async with turn:
            return await pacs.orthanc.file(row.orthanc_id)

    return await read_volume(pacs.children, await asyncio.gather(*(file(row) for row in rows)))


async def _store_segmentation(
    task: Resource,
    bundle: Bundle,
    selected: Selected,
    prediction: Prediction,
    grid: Volume,
    clients: Clients,
    pacs: Pacs,
) -> Segmentation | None:
    """The SEG in Orthanc and in the stored rows; what an earlier run left there is kept."""
    series_uid, sop_uid = (derived_uid(selected.key, name) for name in ("seg-series", "seg-instance"))
    if pacs.index.by_sop_uid(sop_uid) is not None:
        return Segmentation(series_uid, sop_uid)
    by_uid = {row.sop_uid: row for rows in selected.instances.values() for row in rows}
    sources = [header(pacs, by_uid[uid]) for uid in grid.sop_uids]
    # The moment of the Task, not of this run: a second run writes the same bytes.
    created = datetime.fromisoformat(task["authoredOn"]).astimezone(UTC)
    labels = grid.in_source_order(prediction.labels)
    seg = dicom_seg(bundle, labels, sources, selected.key, created)
    if seg is None:
        return None
    clients.check()
    await _store(seg, selected.key, task["for"]["reference"], pacs)
    return Segmentation(seg.series_uid, seg.sop_uid)


async def _store(seg: SegmentationObject, key: str, patient_ref: str, pacs: Pacs) -> None:
    """Announce, store, write the rows: so a kill leaves nothing that ingest would take for news."""
    found = await pacs.children.inspect(seg.data)
    pacs.index.announce_own(found.sop_uid, found.digest, key)
    await pacs.orthanc.store(seg.data)
    arrival = Arrival(found, Origin("", "", "", ""), None, True, key, time.time())
    take_in(pacs.index, pacs.data_dir, arrival, patient_ref)


async def _close(task: Resource, clients: Clients, status: str, reason: tuple[str, str]) -> None:
    _log.warning("task ends without a result", extra={"task": f"Task/{task['id']}", "reason_code": reason[0]})
    clients.check()
    await tasks.advance(clients.hapi, clients.trail, task, status, reason=reason)


def _comes_before(present: str, wanted: str) -> bool:
    order = ("failed", *tasks.OPEN)
    return order.index(present) < order.index(wanted)


def _facts(task: Resource) -> dict[str, str]:
    return {"bundle": tasks.bundle_id(task) or "", "result": key_of(task) or ""}
