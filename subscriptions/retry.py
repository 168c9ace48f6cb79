"""Whether and when a failed job is tried again: by the class of the error, never by its text."""

import asyncio
import enum

import redis.exceptions

from facade.errors import HAPIConflictError
from subscriptions.errors import DeadlineError

BACKOFF_MAX_S = 60
"""A dependency that comes back is used again within a minute."""

TEMPORARY_RETRIES = 1500
"""With the pauses below a little more than a day: longer than an outage that nobody repairs."""

UNKNOWN_RETRIES = 3
"""An error of no known class may be chance or a defect; three more runs tell which."""

KILLED_RETRIES = 3
"""A job whose process was killed (memory, signal) may be what kills it, so it does not run for ever."""


class Verdict(enum.Enum):
    """What an error says about trying again."""

    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


def verdict(error: BaseException) -> Verdict:
    """Read the class of an error: its own `temporary`, or what is known of the libraries'."""
    # A stale version (the next run reads again) or a busy machine: more than a few of them are not chance.
    if isinstance(error, HAPIConflictError | DeadlineError):
        return Verdict.UNKNOWN
    temporary = getattr(error, "temporary", None)
    if isinstance(temporary, bool):
        return Verdict.TEMPORARY if temporary else Verdict.PERMANENT
    if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError | ConnectionError):
        return Verdict.TEMPORARY
    # asyncio's time-out of a dependency; the job's own deadline is DeadlineError.
    if isinstance(error, asyncio.TimeoutError):
        return Verdict.TEMPORARY
    return Verdict.UNKNOWN


def pause_s(failures: int) -> int:
    """Pause before the next run after so many failures: 1, 2, 4 ... seconds up to a minute."""
    return min(BACKOFF_MAX_S, 1 << min(failures, 6))


def retries(kind: Verdict) -> int:
    """How often an error of this class is tried again."""
    return {Verdict.TEMPORARY: TEMPORARY_RETRIES, Verdict.UNKNOWN: UNKNOWN_RETRIES, Verdict.PERMANENT: 0}[
        kind
    ]
