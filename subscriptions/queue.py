"""How work is put into Redis, and what became of it.

A job is known by its key (name and arguments). Each run that has to be started over, because its worker died,
is an attempt with an RQ id of its own, `<key>_a<attempt>`: RQ itself would see an abandoned job only after
ten minutes and would refuse the id of a failed one for a year. Ids save work; they never carry correctness.

Two callers that enqueue the same thing at once compute the same id, and RQ's unique enqueue lets one through.
"""

import contextlib
import enum
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import redis
import redis.exceptions
from rq import Queue as RQQueue
from rq import Retry
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from subscriptions.catalogue import JOBS, QUEUES, JobKind, checked_arguments, kind_of
from subscriptions.errors import JobNotAllowedError, JobUnknownError, QueueUnavailableError
from subscriptions.lease import Leases
from subscriptions.retry import KILLED_RETRIES

RESULT_TTL_S = 300
"""A finished job is remembered this long: HAPI's repeated deliveries come within seconds."""

DAY_S = 24 * 3600

DEAD_TTL_S = 90 * DAY_S
"""Dead letters wait this long for an operator."""

MAX_ATTEMPTS = 5
"""Workers that may die on one job before it is a dead letter."""

HAND_OVER_S = 3
"""From popping a job to holding its lease takes milliseconds; until this age a job without lease is not
dead.
"""

DEADLINE_MARGIN_S = 15
"""RQ's own deadline, behind ours: for code that does not give the event loop its turn."""

_ATTEMPT_KEY = "nn:attempt:"
_DONE_KEY = "nn:done:"
_ID = re.compile(r"[A-Za-z0-9_-]{1,400}")


class Enqueued(enum.Enum):
    """What became of a request to run a job."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    TAKEN_OVER = "taken-over"
    DEAD = "dead"


class _State(enum.Enum):
    NONE = enum.auto()
    LIVE = enum.auto()
    ABANDONED = enum.auto()
    FINISHED = enum.auto()
    DEAD = enum.auto()


@dataclass(frozen=True)
class DeadLetter:
    """A job that failed for good: what it was, when it failed, and why (error class and a safe sentence)."""

    id: str
    name: str
    queue: str
    arguments: tuple[str, ...]
    failed_at: datetime | None
    reason: str


def connect(url: str) -> redis.Redis:
    """A connection pool to Redis that gives up on a dead server within seconds."""
    return redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=10, health_check_interval=30)


def job_key(name: str, arguments: Sequence[str]) -> str:
    """Name of a job whatever its attempt: RQ allows letters, digits, `_` and `-`, and ids also hold dots."""
    return "__".join([name, *(argument.replace(".", "_p") for argument in arguments)])


@contextlib.contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
        raise QueueUnavailableError from error


class JobQueue:
    """The queues, seen from those who put work in and those who look after it."""

    def __init__(self, connection: redis.Redis, leases: Leases) -> None:
        self._redis = connection
        self._leases = leases

    def enqueue(self, name: str, *arguments: str, request_id: str | None = None) -> Enqueued:
        """Ask for one run of a job; says so when that run exists already or the job is a dead letter.

        :raises JobNotAllowedError: the table of jobs has no such name, or the arguments do not fit
        :raises QueueUnavailableError: Redis does not answer
        """
        kind = JOBS.get(name)
        if kind is None:
            raise JobNotAllowedError
        checked = checked_arguments(kind, arguments)
        with _redis_errors():
            return self._enqueue(kind, checked, request_id)

    def _enqueue(self, kind: JobKind, arguments: tuple[str, ...], request_id: str | None) -> Enqueued:
        key = job_key(kind.name, arguments)
        attempt = self._attempt(key)
        state = self._state(kind, key, attempt) if attempt else _State.NONE
        if state is _State.LIVE or (state is _State.FINISHED and kind.versioned):
            return Enqueued.DUPLICATE
        if state is _State.DEAD:
            return Enqueued.DEAD
        if state is _State.ABANDONED:
            if self._abandoned_too_often(kind, key, attempt):
                return Enqueued.DEAD
            self._start(kind, arguments, key, attempt + 1, request_id)
            self._forget(kind, f"{key}_a{attempt}")
            return Enqueued.TAKEN_OVER
        started = self._start(kind, arguments, key, attempt + 1, request_id)
        return Enqueued.QUEUED if started else Enqueued.DUPLICATE

    def _start(
        self, kind: JobKind, arguments: tuple[str, ...], key: str, attempt: int, request_id: str | None
    ) -> bool:
        try:
            self._rq(kind.queue).enqueue_call(
                func=kind.function,
                args=list(arguments),
                timeout=kind.timeout_s + DEADLINE_MARGIN_S,
                result_ttl=RESULT_TTL_S,
                failure_ttl=DEAD_TTL_S,
                description=key,
                job_id=f"{key}_a{attempt}",
                meta={"key": key, "attempt": attempt, "request_id": request_id},
                retry=Retry(max=KILLED_RETRIES, interval=[1, 5, 15]),
                unique=True,
            )
            started = True
        except DuplicateJobError:
            started = False
        # Also after a lost race: the pointer may be behind when the winner died before setting it.
        # A version is asked for on one day only; its pointer need not stay for months.
        self._redis.set(_ATTEMPT_KEY + key, attempt, ex=DAY_S if kind.versioned else DEAD_TTL_S)
        return started

    def _attempt(self, key: str) -> int:
        return int(cast(bytes | None, self._redis.get(_ATTEMPT_KEY + key)) or 0)

    def _state(self, kind: JobKind, key: str, attempt: int) -> _State:
        """What the last attempt is doing; asked of the place where it should be, not of its label alone."""
        job = self._fetch(f"{key}_a{attempt}")
        status = job and job.get_status(refresh=False)
        if job is None or status is None or status in (JobStatus.CANCELED, JobStatus.STOPPED):
            return _State.NONE
        if status == JobStatus.FINISHED:
            return _State.FINISHED
        if status == JobStatus.FAILED:
            return _State.DEAD
        if status == JobStatus.SCHEDULED and job.id in ScheduledJobRegistry(queue=self._rq(kind.queue)):
            return _State.LIVE
        if status == JobStatus.QUEUED and self._redis.lpos(f"rq:queue:{kind.queue}", job.id) is not None:
            return _State.LIVE
        if self._leases.is_live(key) or _age_s(job) < HAND_OVER_S:
            return _State.LIVE
        return _State.ABANDONED

    def _abandoned_too_often(self, kind: JobKind, key: str, attempt: int) -> bool:
        if attempt < MAX_ATTEMPTS:
            return False
        job = self._fetch(f"{key}_a{attempt}")
        if job is not None:
            self._unregister(kind, job.id)
            job.set_status(JobStatus.FAILED)
            job.meta["reason"] = f"abandoned: {MAX_ATTEMPTS} workers died during this job"
            job.save_meta()
            FailedJobRegistry(queue=self._rq(kind.queue)).add(job, ttl=DEAD_TTL_S)
        return True

    def take_over(self, queue: str) -> int:
        """Start again what workers have died on in a queue; answers how many jobs.

        For work that is known from Redis alone: everything else is found by looking at what is undone.

        :raises QueueUnavailableError: Redis does not answer
        """
        with _redis_errors():
            started = StartedJobRegistry(queue=self._rq(queue)).get_job_and_execution_ids(cleanup=False)
            popped = cast(list[bytes], self._redis.lrange(f"rq:queue:{queue}:intermediate", 0, -1))
            taken = 0
            for job_id in {*(entry[0] for entry in started), *(id_.decode() for id_ in popped)}:
                job = self._fetch(job_id)
                kind = JOBS.get(job.func_name.rpartition(".")[2]) if job is not None else None
                if kind is not None:
                    arguments = checked_arguments(kind, job.args)
                    outcome = self._enqueue(kind, arguments, (job.meta or {}).get("request_id"))
                    taken += outcome is Enqueued.TAKEN_OVER
            return taken

    def _forget(self, kind: JobKind, job_id: str) -> None:
        """Take an abandoned run out of RQ's books, or RQ would call it failed later."""
        self._unregister(kind, job_id)
        job = self._fetch(job_id)
        if job is not None:
            job.delete()

    def _unregister(self, kind: JobKind, job_id: str) -> None:
        started = StartedJobRegistry(queue=self._rq(kind.queue))
        for entry in started.get_job_and_execution_ids(cleanup=False):
            if entry[0] == job_id:
                with self._redis.pipeline() as pipeline:
                    started.remove_execution(
                        Execution(id=entry[1], job_id=job_id, connection=self._redis), pipeline=pipeline
                    )
                    pipeline.execute()
        self._redis.lrem(f"rq:queue:{kind.queue}:intermediate", 0, job_id)

    def _rq(self, queue: str) -> Any:
        return RQQueue(queue, connection=self._redis, serializer=JSONSerializer)

    def _fetch(self, job_id: str) -> Any:
        try:
            return Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return None

    # What has been done, so that reconcile does not ask for it again. A lost mark costs one idle run.

    def mark_done(self, name: str, *subject: str) -> None:
        """Remember for a day that this has been done."""
        with _redis_errors():
            self._redis.set(_DONE_KEY + job_key(name, subject), int(time.time()), ex=DAY_S)

    def is_done(self, name: str, *subject: str) -> bool:
        """Was it marked as done within a day?"""
        with _redis_errors():
            return bool(self._redis.exists(_DONE_KEY + job_key(name, subject)))

    # Dead letters, for the operator.

    def dead_letters(self) -> list[DeadLetter]:
        """All jobs that failed for good, oldest first."""
        with _redis_errors():
            jobs = [
                (queue, self._fetch(job_id))
                for queue in QUEUES
                for job_id in FailedJobRegistry(queue=self._rq(queue)).get_job_ids(cleanup=False)
            ]
            letters = [_letter(queue, job) for queue, job in jobs if job is not None]
        return sorted(letters, key=lambda letter: letter.failed_at or datetime.fromtimestamp(0, UTC))

    def replay(self, job_id: str) -> Enqueued:
        """Run a dead letter again, as a new attempt.

        :raises JobUnknownError: no dead letter has this id
        """
        with _redis_errors():
            job, queue = self._dead(job_id)
            kind = kind_of(job.func_name)
            arguments = checked_arguments(kind, job.args)
            self._remove_dead(job, queue)
            # A new count of attempts: the operator has decided that the cause is gone.
            self._redis.delete(_ATTEMPT_KEY + job_key(kind.name, arguments))
            return self._enqueue(kind, arguments, (job.meta or {}).get("request_id"))

    def discard(self, job_id: str) -> None:
        """Throw a dead letter away. Reconcile may ask for the work again if it is still undone.

        :raises JobUnknownError: no dead letter has this id
        """
        with _redis_errors():
            job, queue = self._dead(job_id)
            self._remove_dead(job, queue)

    def _dead(self, job_id: str) -> tuple[Any, str]:
        job = self._fetch(job_id) if _ID.fullmatch(job_id) else None
        if job is None or job.origin not in QUEUES or job.get_status(refresh=False) != JobStatus.FAILED:
            raise JobUnknownError
        return job, job.origin

    def _remove_dead(self, job: Any, queue: str) -> None:
        FailedJobRegistry(queue=self._rq(queue)).remove(job.id)
        job.delete()

    def sizes(self) -> dict[str, int]:
        """Waiting jobs per queue."""
        with _redis_errors():
            return {queue: int(self._rq(queue).count) for queue in QUEUES}


class RetryClock:
    """Puts jobs whose pause is over back into their queues (RQ's scheduler, without its own process)."""

    def __init__(self, connection: redis.Redis, name: str) -> None:
        # A fixed name: after a kill -9 the lock of the dead one is taken back at once, not after a minute.
        self._scheduler = RQScheduler(
            list(QUEUES), connection=connection, serializer=JSONSerializer, name=name, logging_level="WARNING"
        )

    def tick(self) -> None:
        """Move what is due.

        :raises QueueUnavailableError: Redis does not answer
        """
        with _redis_errors():
            self._scheduler.acquire_locks()
            self._scheduler.enqueue_scheduled_jobs()


def _age_s(job: Any) -> float:
    """Seconds since the last sign of progress of a job."""
    times = [t for t in (job.enqueued_at, job.started_at) if t is not None]
    if not times:
        return float("inf")
    return float((datetime.now(UTC) - max(times)).total_seconds())


def _letter(queue: str, job: Any) -> DeadLetter:
    result = job.latest_result()
    reason = (job.meta or {}).get("reason")
    if reason is None and result is not None:
        # RQ's own words, when the child was killed or a pause too many was asked for.
        reason = (result.exc_string or result.type.name.lower()).strip().splitlines()[-1]
    return DeadLetter(
        id=job.id,
        name=job.func_name.rpartition(".")[2],
        queue=queue,
        arguments=tuple(job.args),
        failed_at=job.ended_at or (result.created_at if result is not None else None),
        reason=reason or "",
    )
