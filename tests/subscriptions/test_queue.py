import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from subscriptions import queue as module
from subscriptions.errors import JobNotAllowedError, JobUnknownError, QueueUnavailableError
from subscriptions.lease import Holder, Leases
from subscriptions.queue import Enqueued, JobQueue, RetryClock, connect, job_key

pytestmark = pytest.mark.server


def _job(connection: redis.Redis, job_id: str) -> Any:
    return Job.fetch(job_id, connection=connection, serializer=JSONSerializer)


def _pop(connection: redis.Redis, name: str, job_id: str, status: JobStatus = JobStatus.STARTED) -> Any:
    """What a worker does to a job that it takes; long enough ago that a lease should be there."""
    connection.lrem(f"rq:queue:{name}", 0, job_id)
    job = _job(connection, job_id)
    job.started_at = job.enqueued_at = datetime.now(UTC) - timedelta(seconds=60)
    job.set_status(status)
    job.save()
    return job


def _fail(connection: redis.Redis, name: str, job_id: str, reason: str = "x") -> None:
    job = _pop(connection, name, job_id, JobStatus.FAILED)
    job.meta["reason"] = reason
    job.save_meta()
    FailedJobRegistry(name, connection=connection, serializer=JSONSerializer).add(job)


def test_asking_twice_makes_one_job(queue: JobQueue) -> None:
    assert queue.enqueue("notify", "Task", "1", "2") is Enqueued.QUEUED
    assert queue.enqueue("notify", "Task", "1", "2") is Enqueued.DUPLICATE
    assert queue.enqueue("notify", "Task", "1", "3") is Enqueued.QUEUED
    assert queue.sizes()["notify"] == 2


def test_what_stands_in_redis_is_json_with_ids_only(queue: JobQueue, connection: redis.Redis) -> None:
    queue.enqueue("transcode_study", "1.2.840.99", request_id="ab" * 16)
    job = _job(connection, "transcode_study__1_p2_p840_p99_a1")
    assert job.func_name == "subscriptions.jobs.transcode_study"
    assert job.args == ["1.2.840.99"]
    assert job.meta["request_id"] == "ab" * 16


def test_ids_that_differ_in_a_dot_are_different_jobs() -> None:
    assert job_key("run_inference", ["a.b"]) != job_key("run_inference", ["a-b"])


@pytest.mark.parametrize(
    "call",
    [("os.system", "true"), ("notify", "Task"), ("notify", "Task", "1", "../x"), ("run_inference", "a b")],
)
def test_a_job_outside_the_table_is_refused(queue: JobQueue, call: tuple[str, ...]) -> None:
    with pytest.raises(JobNotAllowedError):
        queue.enqueue(*call)


def test_a_running_job_is_not_started_again(queue: JobQueue, leases: Leases, connection: redis.Redis) -> None:
    queue.enqueue("run_inference", "t")
    _pop(connection, "inference", "run_inference__t_a1")
    leases.acquire("run_inference__t", Holder.of(os.getpid(), "run_inference__t_a1"))
    assert queue.enqueue("run_inference", "t") is Enqueued.DUPLICATE


def test_a_job_whose_worker_died_is_taken_over_as_a_new_attempt(
    queue: JobQueue, connection: redis.Redis
) -> None:
    queue.enqueue("run_inference", "t")
    _pop(connection, "inference", "run_inference__t_a1")
    assert queue.enqueue("run_inference", "t") is Enqueued.TAKEN_OVER
    assert connection.lrange("rq:queue:inference", 0, -1) == [b"run_inference__t_a2"]
    assert not Job.exists("run_inference__t_a1", connection=connection), "RQ would call it failed later"
    assert queue.enqueue("run_inference", "t") is Enqueued.DUPLICATE


def test_a_job_lost_between_queue_and_worker_is_taken_over(queue: JobQueue, connection: redis.Redis) -> None:
    queue.enqueue("run_inference", "t")
    _pop(connection, "inference", "run_inference__t_a1", JobStatus.QUEUED)
    connection.lpush("rq:queue:inference:intermediate", "run_inference__t_a1")
    assert queue.enqueue("run_inference", "t") is Enqueued.TAKEN_OVER
    assert connection.llen("rq:queue:inference:intermediate") == 0


def test_a_job_that_kills_every_worker_becomes_a_dead_letter(
    queue: JobQueue, connection: redis.Redis
) -> None:
    queue.enqueue("run_inference", "t")
    for attempt in range(1, module.MAX_ATTEMPTS):
        _pop(connection, "inference", f"run_inference__t_a{attempt}")
        assert queue.enqueue("run_inference", "t") is Enqueued.TAKEN_OVER
    _pop(connection, "inference", f"run_inference__t_a{module.MAX_ATTEMPTS}")
    assert queue.enqueue("run_inference", "t") is Enqueued.DEAD
    assert queue.enqueue("run_inference", "t") is Enqueued.DEAD
    (letter,) = queue.dead_letters()
    assert letter.reason.startswith("abandoned")


def test_a_finished_job_runs_again_only_if_it_is_not_about_one_version(
    queue: JobQueue, connection: redis.Redis
) -> None:
    queue.enqueue("notify", "Task", "1", "2")
    _pop(connection, "notify", "notify__Task__1__2_a1", JobStatus.FINISHED)
    assert queue.enqueue("notify", "Task", "1", "2") is Enqueued.DUPLICATE
    queue.enqueue("transcode_study", "1.2")
    _pop(connection, "imaging", "transcode_study__1_p2_a1", JobStatus.FINISHED)
    assert queue.enqueue("transcode_study", "1.2") is Enqueued.QUEUED


def test_an_empty_redis_forgets_attempts_and_takes_the_work_again(
    queue: JobQueue, connection: redis.Redis
) -> None:
    queue.enqueue("run_inference", "t")
    connection.flushall()
    assert queue.enqueue("run_inference", "t") is Enqueued.QUEUED


def test_two_callers_at_once_make_one_job(
    queue: JobQueue, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = JobQueue(connection, Leases(connection, 3))
    really = queue._start

    def beaten(*arguments: Any) -> bool:
        other.enqueue("run_inference", "t")
        return really(*arguments)

    monkeypatch.setattr(queue, "_start", beaten)
    assert queue.enqueue("run_inference", "t") is Enqueued.DUPLICATE
    assert queue.sizes()["inference"] == 1


def test_dead_letters_are_listed_replayed_and_discarded(queue: JobQueue, connection: redis.Redis) -> None:
    for id_ in ("t", "u"):
        queue.enqueue("run_inference", id_)
        _fail(connection, "inference", f"run_inference__{id_}_a1", f"geometry: slices are missing in {id_}")
    assert queue.enqueue("run_inference", "t") is Enqueued.DEAD
    letters = queue.dead_letters()
    assert [letter.arguments for letter in letters] == [("t",), ("u",)]
    assert letters[0].reason == "geometry: slices are missing in t"

    assert queue.replay(letters[0].id) is Enqueued.QUEUED
    queue.discard(letters[1].id)
    assert queue.dead_letters() == []
    assert connection.lrange("rq:queue:inference", 0, -1) == [b"run_inference__t_a1"]
    with pytest.raises(JobUnknownError):
        queue.discard(letters[1].id)
    with pytest.raises(JobUnknownError):
        queue.replay("../../etc")


def test_a_pause_ends_also_when_the_clock_was_killed(queue: JobQueue, connection: redis.Redis) -> None:
    queue.enqueue("run_inference", "t")
    job = _pop(connection, "inference", "run_inference__t_a1", JobStatus.SCHEDULED)
    queue._rq("inference").schedule_job(job, datetime.now(UTC) - timedelta(seconds=1))
    assert queue.enqueue("run_inference", "t") is Enqueued.DUPLICATE
    RetryClock(connection, "clock")._scheduler.acquire_locks()  # and then it is killed, its lock in Redis
    RetryClock(connection, "clock").tick()
    assert connection.lrange("rq:queue:inference", 0, -1) == [b"run_inference__t_a1"]


def test_without_redis_the_error_is_temporary() -> None:
    connection = connect("unix:///nowhere/redis.sock")
    with pytest.raises(QueueUnavailableError) as caught:
        JobQueue(connection, Leases(connection, 3)).enqueue("run_inference", "t")
    assert caught.value.temporary


def test_done_marks_belong_to_one_version(queue: JobQueue) -> None:
    queue.mark_done("sync_openemr", "Patient", "1", "2")
    assert queue.is_done("sync_openemr", "Patient", "1", "2")
    assert not queue.is_done("sync_openemr", "Patient", "1", "3")
