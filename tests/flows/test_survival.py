"""kill -9 of every process of the pipeline in the middle of its work: the study ends whole, and once.

Each test fails when the protection is taken out: without leases and reconcile the work is never taken up
again, without fixed identifiers and conditional creates there are two of something, without the replace
directory a slice is gone.
"""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom import Dataset

from subscriptions.names import NOTIFICATION_CHANNEL
from subscriptions.queue import Enqueued
from tests.flows.pipeline import Clinic
from tests.flows.queues import Queues
from tests.servers.stack import wait_for
from tests.servers.standing import standing_still

pytestmark = [pytest.mark.server, pytest.mark.timeout(300, func_only=True)]


def test_an_imaging_worker_killed_in_the_middle_of_a_study(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series)
    clinic.send(study.files)
    clinic.kill_at("worker-imaging", lambda: clinic.children("worker-imaging"))
    clinic.wait_available(study)
    clinic.assert_images_whole(study)
    task = clinic.wait_task(study, "rejected")
    assert task["statusReason"]["text"].startswith("missing ")


def test_an_imaging_worker_killed_between_delete_and_post(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series)
    clinic.send(study.files)

    def copies() -> list[Path]:
        return list((clinic.stack.var / "replace").glob("*.dcm"))

    def is_gone_from_orthanc() -> bool:
        return any(clinic.stored(copy.stem) is None for copy in copies())

    seen = clinic.stop_at("worker-imaging", copies, is_gone_from_orthanc)
    assert seen, "no replacement was seen in its middle"
    clinic.wait_available(study)
    clinic.assert_images_whole(study)


def test_orthanc_killed_in_the_middle_of_a_conversion(clinic: Clinic, single_series: list[Dataset]) -> None:
    study = clinic.study(single_series)
    clinic.send(study.files)
    copies = clinic.stack.var / "replace"
    clinic.kill_at("orthanc", lambda: [*copies.glob("*.dcm")] or "done" in clinic.outcomes(study))
    clinic.stack.wait_ready("orthanc")
    clinic.wait_available(study)
    clinic.assert_images_whole(study)
    assert not list(copies.glob("*.dcm"))


def test_what_a_killed_restoring_had_begun_is_served_again(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    study = clinic.study(single_series[:1])
    clinic.send(study.files)
    clinic.wait_available(study)
    (row,) = clinic.index.instances(study.uid)
    # All that `neuronova study restore` has changed when it is killed before its first replacement.
    clinic.index.begin_restore(row.sop_uid)
    wait_for(lambda: clinic.index.instances(study.uid) == [row], "the label of what is stored")


def test_ingest_killed_while_a_study_arrives(clinic: Clinic, single_series: list[Dataset]) -> None:
    study = clinic.study(single_series)
    half = len(study.files) // 2
    clinic.send(study.files[:half])
    clinic.kill_at("ingest", lambda: clinic.index.instances(study.uid))
    clinic.send(study.files[half:])
    clinic.wait_available(study)
    wait_for(lambda: len(clinic.outcomes(study)) == len(study.files), "every instance to be taken in")
    wait_for(
        lambda: (
            clinic.imaging_studies(study)[0]["numberOfInstances"] == len(study.files)
            and clinic.is_available(study)
        ),
        "the whole study to be available",
    )
    clinic.assert_images_whole(study)


def test_an_inference_worker_killed_in_the_middle_of_its_task(clinic: Clinic, brain: list[Dataset]) -> None:
    study = clinic.study(brain)
    clinic.send(study.files)
    clinic.kill_at(
        "worker-inference", lambda: [t for t in clinic.tasks(study) if t["status"] == "in-progress"]
    )
    clinic.wait_task(study, "completed")
    clinic.assert_images_whole(study)
    clinic.assert_result_whole(study)
    wait_for(lambda: clinic.orders_in_openemr(study) == 1, "the order to be in OpenEMR")


def test_an_inference_worker_killed_between_segmentation_and_report(
    clinic: Clinic, brain: list[Dataset]
) -> None:
    study = clinic.study(brain)
    clinic.send(study.files)
    wait_for(lambda: [task for task in clinic.tasks(study) if task["status"] == "in-progress"], "its task")
    # While the record stands still, the worker can store its SEG and cannot go on to the report.
    with standing_still(clinic.stack.pid("hapi")) as stands:
        assert stands
        wait_for(lambda: clinic.segmentations(study), "the segmentation")
        clinic.stack.kill("worker-inference")
    assert not clinic.reports(study)
    clinic.wait_task(study, "completed")
    clinic.assert_result_whole(study)


def test_an_inference_worker_killed_right_after_the_report(
    clinic: Clinic, queues: Queues, brain: list[Dataset]
) -> None:
    study = clinic.study(brain)
    clinic.send(study.files)
    wait_for(lambda: [task for task in clinic.tasks(study) if task["status"] == "in-progress"], "its task")
    with ExitStack() as held:
        with standing_still(clinic.stack.pid("hapi")) as stands:
            assert stands
            wait_for(lambda: clinic.segmentations(study), "the segmentation")
            # From here on the end of the job cannot be recorded.
            assert held.enter_context(standing_still(clinic.stack.pid("redis")))
        wait_for(lambda: clinic.reports(study), "the report")
        clinic.stack.kill("worker-inference")
        # With it goes what the worker has said to its socket: that the job is done.
        clinic.stack.kill("redis")
    clinic.stack.wait_ready("redis")
    (task,) = clinic.tasks(study)
    # Reconcile does not ask for a Task that has its result; a repeated delivery does.
    wait_for(lambda: queues.ask("run_inference", task["id"]) is Enqueued.TAKEN_OVER, "the next attempt", 60)
    wait_for(
        lambda: not queues.is_waiting("inference", task["id"]) and not clinic.children("worker-inference"),
        "the next attempt to end",
        60,
    )
    clinic.assert_result_whole(study)


def test_the_receiver_killed_and_down_while_a_study_becomes_available(
    clinic: Clinic, single_series: list[Dataset]
) -> None:
    clinic.stack.kill("receiver")
    clinic.stack.stop("receiver")
    try:
        study = clinic.study(single_series)
        clinic.send(study.files)
        clinic.wait_task(study, "rejected")
        wait_for(lambda: clinic.orders_in_openemr(study) == 1, "the order to be in OpenEMR")
    finally:
        clinic.stack.start("receiver")
    clinic.assert_images_whole(study)


def test_an_openemr_worker_killed_in_the_middle_of_an_order(clinic: Clinic, queues: Queues) -> None:
    numbers: list[str] = []

    def order() -> str:
        _, order_id, number = clinic.order()
        numbers.append(number)
        return order_id

    order_id = queues.kill_in_job("worker-openemr", "openemr", order)
    wait_for(lambda: queues.is_done("sync_openemr", "ServiceRequest", order_id, "1"), "the job to end", 60)
    assert clinic.orders_of(numbers[-1]) == 1


def test_a_notify_worker_killed_in_the_middle_of_its_job(clinic: Clinic, queues: Queues) -> None:
    patient_id, _, _ = clinic.order()
    with queues.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(NOTIFICATION_CHANNEL)

        def report() -> str:
            draft = {
                "resourceType": "DiagnosticReport",
                "status": "preliminary",
                "code": {"text": "MR brain"},
                "subject": {"reference": f"Patient/{patient_id}"},
            }
            return str(clinic.create(draft)["id"])

        report_id = queues.kill_in_job("worker-notify", "notify", report)
        wanted = {"type": "DiagnosticReport", "id": report_id, "version": "1"}

        def is_told() -> bool:
            message = channel.get_message(timeout=0.1)
            return message is not None and json.loads(message["data"]) == wanted

        wait_for(is_told, "the change to be told", 60)


def test_redis_killed_while_a_notification_waits(clinic: Clinic, queues: Queues) -> None:
    """What only Redis knows: it is there again from its append-only file."""
    patient_id, _, _ = clinic.order()
    clinic.stack.stop("worker-notify")
    try:
        draft = {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": {"text": "MR brain"},
            "subject": {"reference": f"Patient/{patient_id}"},
        }
        report_id = str(clinic.create(draft)["id"])
        wait_for(lambda: queues.is_waiting("notify", report_id), "the notification to wait")
        clinic.stack.kill("redis")
        clinic.stack.wait_ready("redis")
        assert queues.is_waiting("notify", report_id), "the notification was lost"
    finally:
        clinic.stack.start("worker-notify")
    wait_for(
        lambda: queues.is_done("notify", "DiagnosticReport", report_id, "1"), "the change to be told", 60
    )


def test_redis_killed_and_started_empty(clinic: Clinic, queues: Queues, brain: list[Dataset]) -> None:
    study = clinic.study(brain)
    clinic.send(study.files)
    wait_for(lambda: clinic.outcomes(study), "the study to arrive")
    queues.empty()
    clinic.wait_task(study, "completed")
    clinic.assert_images_whole(study)
    clinic.assert_result_whole(study)


def test_redis_empty_while_a_proposal_and_then_a_task_wait(
    clinic: Clinic, queues: Queues, brain: list[Dataset]
) -> None:
    study = clinic.study(brain)
    clinic.stack.stop("worker-inference")
    clinic.send(study.files)
    clinic.wait_available(study)
    id_ = clinic.imaging_studies(study)[0]["id"]
    wait_for(lambda: queues.is_waiting("inference", id_), "the proposal to be asked for")
    try:
        queues.empty()
        wait_for(lambda: queues.is_waiting("inference", id_), "the proposal to be asked for again")
        # Nobody asks for the task until the worker that proposed it is gone.
        with standing_still(clinic.stack.pid("receiver")), standing_still(clinic.stack.pid("scheduler")):
            clinic.stack.start("worker-inference")
            clinic.kill_at("worker-inference", lambda: clinic.tasks(study))
            clinic.stack.stop("worker-inference")
        (task,) = clinic.tasks(study)
        wait_for(lambda: queues.is_waiting("inference", task["id"]), "the task to be asked for")
        queues.empty()
    finally:
        clinic.stack.start("worker-inference")
    clinic.wait_task(study, "completed")
    clinic.assert_images_whole(study)
    clinic.assert_result_whole(study)


def test_redis_killed_in_the_middle(clinic: Clinic, single_series: list[Dataset]) -> None:
    study = clinic.study(single_series)
    clinic.send(study.files)
    clinic.kill_at("redis", lambda: clinic.outcomes(study))
    clinic.wait_task(study, "rejected")
    clinic.assert_images_whole(study)


def test_hapi_killed_right_after_the_study_was_created(clinic: Clinic, brain: list[Dataset]) -> None:
    study = clinic.study(brain)
    clinic.send(study.files)
    clinic.kill_at("hapi", lambda: clinic.imaging_studies(study))
    clinic.stack.wait_ready("hapi")
    clinic.wait_task(study, "completed")
    clinic.assert_images_whole(study)
    clinic.assert_result_whole(study)
    wait_for(lambda: clinic.orders_in_openemr(study) == 1, "the order to be in OpenEMR")
    clinic.assert_trail_whole(study)
