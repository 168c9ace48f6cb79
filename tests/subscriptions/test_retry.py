import pytest
import redis.exceptions

from facade.errors import HAPIConflictError, HAPIPermanentError, HAPITemporaryError
from imaging.errors import GeometryError, OrthancTemporaryError
from subscriptions.errors import AuditUnavailableError, DeadlineError, QueueUnavailableError
from subscriptions.retry import TEMPORARY_RETRIES, Verdict, pause_s, verdict


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HAPITemporaryError(), Verdict.TEMPORARY),
        (OrthancTemporaryError("x"), Verdict.TEMPORARY),
        (QueueUnavailableError(), Verdict.TEMPORARY),
        (AuditUnavailableError(), Verdict.TEMPORARY),
        (redis.exceptions.ConnectionError(), Verdict.TEMPORARY),
        (ConnectionRefusedError(), Verdict.TEMPORARY),
        (TimeoutError(), Verdict.TEMPORARY),
        (HAPIPermanentError(422), Verdict.PERMANENT),
        (GeometryError("x"), Verdict.PERMANENT),
        (DeadlineError(), Verdict.UNKNOWN),
        (HAPIConflictError(409, "HAPI-0989"), Verdict.UNKNOWN),
        (ValueError("x"), Verdict.UNKNOWN),
    ],
)
def test_the_class_of_an_error_says_whether_to_try_again(error: Exception, expected: Verdict) -> None:
    assert verdict(error) is expected


def test_pauses_grow_to_a_minute_and_outlast_a_day() -> None:
    pauses = [pause_s(n) for n in range(TEMPORARY_RETRIES)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert max(pauses) == 60
    assert sum(pauses) > 24 * 3600
