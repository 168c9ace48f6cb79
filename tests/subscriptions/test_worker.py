"""The worker as a real process on a real Redis: what happens to a job when anything around it is killed."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from subscriptions import retry
from subscriptions.lease import Leases
from subscriptions.queue import Enqueued, JobQueue, RetryClock

pytestmark = pytest.mark.server

PROGRAM = Path(__file__).with_name("worker_process.py")
Eventually = Callable[..., object]


class Workers:
    """Worker processes of one test, and what their jobs say."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.directory = directory
        self.running: list[subprocess.Popen[bytes]] = []
        self._environment = os.environ | {
            "TEST_DIR": str(directory),
            "PYTHONPATH": str(Path.cwd()),
            "SUBSCRIPTIONS_HAPI_URL": "http://127.0.0.1:9/fhir",
            "SUBSCRIPTIONS_HAPI_SECRET": "x" * 32,
            "SUBSCRIPTIONS_REDIS_URL": redis_url,
            "SUBSCRIPTIONS_RECEIVER_SECRET": "y" * 32,
            "SUBSCRIPTIONS_SPOOL_DIR": str(directory),
            "SUBSCRIPTIONS_BASE_URL": "http://localhost",
            "SUBSCRIPTIONS_LEASE_S": "3",
        }

    def start(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen([sys.executable, str(PROGRAM)], env=self._environment, stderr=log)
        self.running.append(process)
        return process

    def said(self) -> list[str]:
        path = self.directory / "said"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def log(self) -> str:
        return (self.directory / "log").read_text(encoding="utf-8")

    def go(self) -> None:
        (self.directory / "go").touch()


@pytest.fixture
def workers(tmp_path: Path, own_redis: Any, connection: redis.Redis) -> Iterator[Workers]:
    """Workers for tests that kill them."""
    with _ended(Workers(tmp_path, own_redis.url)) as workers:
        yield workers


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, own_redis: Any) -> Iterator[Workers]:
    with _ended(Workers(tmp_path_factory.mktemp("worker"), own_redis.url)) as workers:
        workers.start()
        yield workers


@pytest.fixture
def worker(lasting: Workers, connection: redis.Redis) -> Workers:
    """One worker that the tests of this module share, with nothing said yet."""
    for name in ("said", "go"):
        (lasting.directory / name).unlink(missing_ok=True)
    return lasting


@contextmanager
def _ended(workers: Workers) -> Iterator[Workers]:
    try:
        yield workers
    finally:
        for process in workers.running:
            process.kill()
            process.wait()


@pytest.fixture(autouse=True, scope="module")
def test_jobs() -> Iterator[None]:
    """The same table of jobs here as in the worker processes."""
    os.environ.setdefault("TEST_DIR", "/nonexistent")
    specification = importlib.util.spec_from_file_location("worker_process", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    specification.loader.exec_module(importlib.util.module_from_spec(specification))
    yield
    from subscriptions import catalogue

    for name in [name for name, kind in catalogue.JOBS.items() if kind.arguments == ("subject",)]:
        del catalogue.JOBS[name]


def test_a_killed_worker_takes_its_child_along_and_the_next_attempt_starts_at_once(
    workers: Workers, queue: JobQueue, eventually: Eventually
) -> None:
    first = workers.start()
    queue.enqueue("nap", "s")
    eventually(workers.said)
    child = int(workers.said()[0].split()[2])
    first.kill()
    first.wait()
    eventually(lambda: _is_gone(child))
    eventually(lambda: queue.enqueue("nap", "s") is Enqueued.TAKEN_OVER)
    workers.go()
    workers.start()
    eventually(lambda: "end s" in workers.said())
    assert workers.said().count("end s") == 1


def test_a_running_job_outlives_a_redis_that_comes_back_empty(
    workers: Workers, queue: JobQueue, own_redis: Any, eventually: Eventually
) -> None:
    workers.start()
    queue.enqueue("nap", "s")
    eventually(workers.said)
    own_redis.kill(empty=True)
    eventually(lambda: "Redis does not answer; the running job goes on" in workers.log())
    own_redis.start()
    workers.go()
    eventually(lambda: "end s" in workers.said())
    queue.enqueue("nap", "t")
    eventually(lambda: "end t" in workers.said())


def test_an_idle_worker_survives_a_restart_of_redis(
    workers: Workers, queue: JobQueue, own_redis: Any, eventually: Eventually
) -> None:
    worker = workers.start()
    eventually(lambda: "worker is ready" in workers.log())
    own_redis.kill()
    own_redis.start()
    workers.go()
    queue.enqueue("nap", "s")
    eventually(lambda: "end s" in workers.said())
    assert worker.poll() is None


def test_an_idle_worker_ends_when_it_is_told_to(
    workers: Workers, connection: redis.Redis, eventually: Eventually
) -> None:
    worker = workers.start()
    eventually(
        lambda: [connection.hget(key, "state") for key in connection.scan_iter("rq:worker:*")] == [b"idle"]
    )
    worker.terminate()
    assert worker.wait(timeout=5) == 0


def test_a_worker_that_starts_first_waits_for_redis(
    workers: Workers, queue: JobQueue, own_redis: Any, eventually: Eventually
) -> None:
    own_redis.kill()
    workers.start()
    eventually(lambda: "waiting for Redis" in workers.log())
    own_redis.start()
    workers.go()
    queue.enqueue("nap", "s")
    eventually(lambda: "end s" in workers.said())


# The tests above kill; those below share one worker, which must not take jobs from them.


def test_a_killed_child_is_tried_again_by_its_worker(
    worker: Workers, queue: JobQueue, connection: redis.Redis, eventually: Eventually
) -> None:
    queue.enqueue("nap", "s")
    eventually(worker.said)
    worker.go()
    os.kill(int(worker.said()[0].split()[2]), signal.SIGKILL)
    clock = RetryClock(connection, "clock")
    eventually(lambda: (clock.tick(), "end s" in worker.said())[1])


def test_what_kills_its_process_every_time_ends_as_a_dead_letter(
    worker: Workers,
    queue: JobQueue,
    connection: redis.Redis,
    eventually: Eventually,
) -> None:
    queue.enqueue("be_killed", "poison")
    _hurry(connection, eventually, lambda: queue.dead_letters())
    assert worker.said().count("start poison") == 1 + retry.KILLED_RETRIES
    assert "signal 9" in queue.dead_letters()[0].reason


def test_a_permanent_error_is_a_dead_letter_at_once(
    worker: Workers, queue: JobQueue, eventually: Eventually
) -> None:
    queue.enqueue("fail_permanently", "bad")
    eventually(queue.dead_letters)
    (letter,) = queue.dead_letters()
    assert letter.reason == "input-changed: The study has changed since this task was made."
    assert worker.said().count("start bad") == 1


def test_a_temporary_error_is_tried_again_until_it_works(
    worker: Workers, queue: JobQueue, connection: redis.Redis, eventually: Eventually
) -> None:
    queue.enqueue("fail_temporarily", "later")
    _hurry(connection, eventually, lambda: worker.said().count("start later") > 6)
    assert queue.dead_letters() == []
    worker.go()
    _hurry(connection, eventually, lambda: queue.enqueue("fail_temporarily", "later") is Enqueued.QUEUED)


def test_an_unknown_error_is_tried_a_few_times_and_its_text_is_kept_nowhere(
    worker: Workers, queue: JobQueue, connection: redis.Redis, eventually: Eventually
) -> None:
    queue.enqueue("fail_oddly", "odd")
    _hurry(connection, eventually, queue.dead_letters)
    assert worker.said().count("start odd") == 1 + retry.UNKNOWN_RETRIES
    assert queue.dead_letters()[0].reason == "ValueError: ValueError"
    assert "시험" not in worker.log()
    for key in connection.scan_iter("rq:*"):
        assert "시험".encode() not in (connection.dump(key) or b"")


def test_a_job_over_its_deadline_is_stopped(worker: Workers, queue: JobQueue, eventually: Eventually) -> None:
    queue.enqueue("oversleep", "s")
    eventually(lambda: '"error_code":"deadline"' in worker.log())


def test_a_function_outside_the_table_is_not_run_whatever_stands_in_redis(
    worker: Workers, queue: JobQueue, eventually: Eventually
) -> None:
    target = worker.directory / "made-by-a-stranger"
    queue._rq("notify").enqueue_call("os.mkdir", args=[str(target)], job_id="foreign_a1")
    eventually(queue.dead_letters)
    assert not target.exists()


def test_a_lease_is_renewed_while_a_job_runs(
    worker: Workers, queue: JobQueue, leases: Leases, connection: redis.Redis, eventually: Eventually
) -> None:
    queue.enqueue("nap", "s")
    eventually(worker.said)
    connection.pexpire("nn:lease:nap__s", 2000)
    eventually(lambda: int(str(connection.pttl("nn:lease:nap__s"))) > 2000)
    worker.go()
    eventually(lambda: not leases.is_live("nap__s"))


def _hurry(connection: redis.Redis, eventually: Eventually, condition: Callable[[], object]) -> None:
    """Wait for a condition while every pause is over at once."""
    clock = RetryClock(connection, "clock")

    def step() -> object:
        for member, _ in connection.zscan_iter("rq:scheduled:notify"):
            connection.zadd("rq:scheduled:notify", {member: 0})
        clock.tick()
        return condition()

    eventually(step)


def _is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True
