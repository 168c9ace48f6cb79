"""A worker process: `python -m subscriptions.worker QUEUE`, one kind of work, any number of processes.

RQ's worker forks a child for each job. What is slow to load is loaded before, so that no job pays for it.
Beyond RQ: the child dies with the worker, the lease is renewed while the child works, a lost Redis ends no
running job, and functions come from the table of jobs only.
"""

import argparse
import gc
import logging
import os
import signal
import sys
import time
from typing import Any, ClassVar

import redis
import redis.exceptions
from rq import Queue as RQQueue
from rq import Retry, Worker, worker_registration
from rq.job import Job
from rq.serializers import JSONSerializer

from facade import log
from subscriptions.catalogue import QUEUES
from subscriptions.clients import prepare
from subscriptions.errors import JobFailedError
from subscriptions.lease import Holder, Leases, die_with_parent
from subscriptions.queue import JobQueue, connect
from subscriptions.runner import Run, Runner
from subscriptions.settings import SubscriptionsSettings

REDIS_WAIT_S = 1

_log = logging.getLogger(__name__)
_REDIS_GONE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


class AllowedJob(Job):  # type: ignore[misc]
    """A job whose function is looked up in our table, never imported by the name that stands in Redis."""

    runner: ClassVar[Runner]

    meta: dict[str, Any] | None
    retries_left: int | None

    def _execute(self) -> Any:
        run = Run(
            job_id=self.id,
            function=self.func_name,
            arguments=tuple(self.args) if not self.kwargs else (None,),
            failures=self.number_of_retries or 0,
            request_id=(self.meta or {}).get("request_id"),
        )
        try:
            again = self.runner.run(run)
        except JobFailedError as error:
            self.retries_left = 0  # RQ's own count is for children that were killed
            self.meta = (self.meta or {}) | {"reason": str(error)}
            self.save_meta()
            raise
        return None if again is None else Retry(max=again.at_most, interval=again.pause_s)


class LeasedWorker(Worker):  # type: ignore[misc]
    """RQ's forking worker, with leases."""

    leases: Leases
    runner: Runner

    def main_work_horse(self, job: Any, queue: Any) -> None:
        """The child's first step: not to outlive the worker."""
        die_with_parent(self.pid)
        super().main_work_horse(job, queue)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Also brings the worker's own entry back, when Redis has come back empty."""
        super().heartbeat(timeout, pipeline)
        if pipeline is None and not self.connection.sismember(self.redis_workers_keys, self.key):
            with self.connection.pipeline() as entry:
                entry.hset(self.key, mapping=self.serialize())
                worker_registration.register(self, entry)
                entry.execute()

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        """Nothing: the runner has said what failed, without the texts that RQ would print."""

    def maintain_heartbeats(self, job: Any) -> None:
        """Called while the child works. A lost Redis is no reason to leave the child alone."""
        try:
            self.leases.renew(str(job.meta.get("key")), self._holder(job))
            super().maintain_heartbeats(job)
        except _REDIS_GONE:
            _log.warning("Redis does not answer; the running job goes on", extra={"job": job.id})

    def set_current_job_working_time(self, current_job_working_time: float, pipeline: Any = None) -> None:
        """Statistics only, so a lost Redis does not matter."""
        try:
            super().set_current_job_working_time(current_job_working_time, pipeline)
        except _REDIS_GONE:
            self.current_job_working_time = current_job_working_time

    def monitor_work_horse(self, job: Any, queue: Any) -> None:
        """Wait for the child, then give its lease back: only now RQ's books show how it ended."""
        try:
            super().monitor_work_horse(job, queue)
        finally:
            try:
                self.leases.release(str(job.meta.get("key")), self._holder(job))
            except _REDIS_GONE:
                _log.warning("Redis does not answer; the lease runs out by itself", extra={"job": job.id})

    def _holder(self, job: Any) -> Holder:
        return self.runner.holder(job.id)


def wait_for_redis(connection: redis.Redis) -> None:
    """Return when Redis answers; says once that it does not."""
    said = False
    while True:
        try:
            connection.ping()
        # A Redis that is still loading its file answers with BusyLoadingError, a ConnectionError.
        except _REDIS_GONE:
            if not said:
                _log.warning("waiting for Redis")
            said = True
            time.sleep(REDIS_WAIT_S)
            continue
        if said:
            _log.info("Redis answers again")
        return


def build(queue_name: str, settings: SubscriptionsSettings, connection: redis.Redis) -> LeasedWorker:
    """A worker of one queue, everything loaded that its jobs need."""
    leases = Leases(connection, settings.lease_s)
    queue = JobQueue(connection, leases)
    runner = Runner(queue, leases, prepare(queue_name, settings), os.getpid())
    job_class = type("BoundJob", (AllowedJob,), {"runner": runner})
    worker = LeasedWorker(
        [RQQueue(queue_name, connection=connection, serializer=JSONSerializer, job_class=job_class)],
        connection=connection,
        serializer=JSONSerializer,
        job_class=job_class,
        # Three renewals for each lease, and so for each heartbeat.
        job_monitoring_interval=max(1, settings.lease_s // 3),
        worker_ttl=60,
        log_job_description=False,
    )
    worker.leases, worker.runner = leases, runner
    worker.log_result_lifespan = False
    worker.max_connection_wait_time = 2.0
    return worker


def main(arguments: list[str] | None = None) -> int:
    """Work until told to stop; a restarted Redis is waited for."""
    parser = argparse.ArgumentParser(prog="subscriptions.worker")
    parser.add_argument("queue", choices=QUEUES)
    queue_name: str = parser.parse_args(arguments).queue
    log.configure(f"worker-{queue_name}")
    # Tells of each module that it copies, at INFO.
    logging.getLogger("highdicom").setLevel(logging.WARNING)
    settings = SubscriptionsSettings.from_environment()
    connection = connect(settings.redis_url)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until RQ's own handler is there
    wait_for_redis(connection)
    # What is loaded stays. To look through it for garbage takes a fifth of the time of loading,
    # and a child that does so copies its pages: 80 MB, 1 s with torch.
    gc.disable()
    worker = build(queue_name, settings, connection)
    gc.collect()
    gc.freeze()
    gc.enable()
    _log.info("worker is ready", extra={"queue": queue_name})
    while True:
        try:
            worker.work(logging_level="WARNING")  # the runner says what was done
        except _REDIS_GONE:
            _log.warning("lost Redis")
        # RQ has no public word for it; `_stop_requested` is set only while a job runs.
        if worker._shutdown_requested_date is not None:
            return 0
        time.sleep(REDIS_WAIT_S)  # whatever RQ gave up on, not in a tight loop
        wait_for_redis(connection)
        worker.name = f"{queue_name}-{os.getpid()}-{time.time_ns():x}"


if __name__ == "__main__":
    sys.exit(main())
