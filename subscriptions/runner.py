"""Runs one job in the child of a worker: allow-list, lease, deadline, log context, and what a failure means.

What it answers is for RQ: None when the job is done, a pause in seconds when it shall run again. It raises
only JobFailedError, whose text is a class name and a safe sentence, because RQ stores and logs what it is
given.
"""

import asyncio
import importlib
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from facade import log
from subscriptions.catalogue import JobKind, checked_arguments, kind_of
from subscriptions.errors import DeadlineError, JobFailedError, JobNotAllowedError, LeaseLostError
from subscriptions.lease import Holder, Leases
from subscriptions.queue import JobQueue, job_key
from subscriptions.retry import Verdict, pause_s, retries, verdict

_log = logging.getLogger(__name__)


Check = Callable[[], None]
"""Raises LeaseLostError when somebody else has taken the job over."""

ClientsFactory = Callable[[Check], AbstractAsyncContextManager[Any]]
"""Opens what a job of one queue works with."""


@dataclass(frozen=True)
class Run:
    """One run of a job, as RQ describes it."""

    job_id: str
    function: str
    arguments: tuple[Any, ...]
    failures: int
    request_id: str | None


@dataclass(frozen=True)
class Again:
    """The job shall run again: after how long, and how often at most."""

    pause_s: int
    at_most: int


class Runner:
    """Runs jobs on behalf of one worker process."""

    def __init__(self, queue: JobQueue, leases: Leases, clients: ClientsFactory, worker_pid: int) -> None:
        self._queue = queue
        self._leases = leases
        self._clients = clients
        self._worker_pid = worker_pid

    def holder(self, job_id: str) -> Holder:
        """The lease is the worker's, not the child's: the worker renews it."""
        return Holder.of(self._worker_pid, job_id)

    def run(self, run: Run) -> Again | None:
        """Run the job once.

        :raises JobFailedError: it failed and shall not be tried again
        """
        try:
            kind = kind_of(run.function)
            arguments = checked_arguments(kind, run.arguments)
        except JobNotAllowedError as error:
            _log.error("a job was refused: it is not in the table of jobs")
            raise JobFailedError(f"{error.code}: {error.sentence}") from None
        key, holder = job_key(kind.name, arguments), self.holder(run.job_id)
        log.job_id.set(run.job_id)
        log.request_id.set(run.request_id)
        if not self._leases.acquire(key, holder):
            _log.info("another worker is running this job")
            return None
        begun = time.monotonic()
        try:
            asyncio.run(self._perform(kind, arguments, lambda: self._check(key, holder)))
        # Every error of a job ends here: as a pause, or as a dead letter. None may end the worker.
        except Exception as error:  # noqa: BLE001
            return self._failed(kind, run, error)
        _log.info("job done", extra={"job": kind.name, "seconds": round(time.monotonic() - begun, 3)})
        if kind.versioned:
            self._queue.mark_done(kind.name, *arguments)
        return None

    async def _perform(self, kind: JobKind, arguments: tuple[str, ...], check: Callable[[], None]) -> None:
        module, _, name = kind.function.rpartition(".")
        function: Callable[..., Awaitable[None]] = getattr(importlib.import_module(module), name)
        try:
            async with asyncio.timeout(kind.timeout_s) as deadline, self._clients(check) as clients:
                await function(*arguments, clients=clients)
        except TimeoutError as error:
            if deadline.expired():
                raise DeadlineError from error
            raise

    def _check(self, key: str, holder: Holder) -> None:
        if self._leases.holder(key) != holder and not self._leases.acquire(key, holder):
            raise LeaseLostError

    def _failed(self, kind: JobKind, run: Run, error: Exception) -> Again | None:
        if isinstance(error, LeaseLostError):
            _log.warning("stopped: another worker has taken this job over")
            return None
        decided = verdict(error)
        at_most = retries(decided)
        code = getattr(error, "code", None) or type(error).__name__
        fields = {
            "job": kind.name,
            "error_code": code,
            "verdict": decided.value,
            "failures": run.failures + 1,
        }
        if run.failures < at_most:
            pause = pause_s(run.failures)
            # Only an error that nobody has classified needs its place in the code.
            _log.warning(
                "job failed and runs again",
                extra={**fields, "pause_s": pause},
                exc_info=error if decided is Verdict.UNKNOWN else None,
            )
            return Again(pause_s=pause, at_most=at_most)
        _log.error("job failed for good", extra=fields, exc_info=error)
        sentence = str(error) if hasattr(error, "code") else type(error).__name__
        raise JobFailedError(f"{code}: {sentence}") from None
