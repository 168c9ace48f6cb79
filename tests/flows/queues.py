"""The workers' queues in Redis: how the flows meet a worker in the middle of one certain job."""

import time
from collections.abc import Callable
from typing import Any

from subscriptions.lease import Leases
from subscriptions.queue import Enqueued, JobQueue, connect
from tests.flows.pipeline import Clinic
from tests.servers.stack import wait_for
from tests.servers.standing import standing_still


class Queues:
    """What waits, what runs, and what is done."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self.redis: Any = connect(clinic.stack.redis_url)
        self._jobs = JobQueue(self.redis, Leases(self.redis, 1))

    def close(self) -> None:
        self.redis.close()

    def is_waiting(self, queue: str, subject: str) -> bool:
        """Does a job about this subject wait in a queue, or on its way to a worker that stands still?

        Redis moves a job for a worker that has asked for one, whether that worker runs or not.
        """
        lists = (f"rq:queue:{queue}", f"rq:queue:{queue}:intermediate")
        return any(_names(self.redis.lrange(name, 0, -1), subject) for name in lists)

    def is_running(self, queue: str, subject: str) -> bool:
        """Has a worker taken a job about this subject?"""
        return _names(self.redis.zrange(f"rq:wip:{queue}", 0, -1), subject)

    def is_done(self, job: str, *arguments: str) -> bool:
        """Has this job ended well?"""
        return self._jobs.is_done(job, *arguments)

    def ask(self, job: str, *arguments: str) -> Enqueued:
        """Ask for a job, as a repeated delivery would."""
        return self._jobs.enqueue(job, *arguments)

    def kill_in_job(self, program: str, queue: str, ask: Callable[[], str]) -> str:
        """kill -9 of a worker while it runs a job that `ask` sets going; answers the job's subject.

        The worker stands still until the job waits, so that its beginning cannot be missed. A job that ended
        before anybody saw it run is followed by another.
        """
        for _ in range(20):
            with standing_still(self._clinic.stack.pid(program)):
                subject = ask()
                wait_for(lambda subject=subject: self.is_waiting(queue, subject), "the job to wait")
            end = time.monotonic() + 90
            while self.is_waiting(queue, subject):
                assert time.monotonic() < end, "the job was not taken"
                time.sleep(0.002)
            if self.is_running(queue, subject):
                self._clinic.stack.kill(program)
                return subject
        raise AssertionError(f"no job of {program} was seen while it ran")

    def empty(self) -> None:
        """Redis comes back, but has forgotten everything."""
        stack = self._clinic.stack
        stack.stop("redis")
        for path in (stack.var / "redis").glob("**/*"):
            if path.is_file():
                path.unlink()
        stack.start("redis")


def _names(ids: list[bytes], subject: str) -> bool:
    """Is one of these job ids about the subject? (Dots are written otherwise in them.)"""
    return any(subject.replace(".", "_p").encode() in id_ for id_ in ids)
