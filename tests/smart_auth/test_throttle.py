"""Waiting after failed logins, per account and per address."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smart_auth.database import Database
from smart_auth.throttle import Throttle
from tests.smart_auth.quick import tables_in


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(tmp_path: Path, clock: Clock) -> Iterator[Throttle]:
    database = Database(tables_in(tmp_path))
    yield Throttle(database, lock_after=10, lock_s=900, clock=clock)
    database.close()


def test_the_wait_doubles_and_ends_in_a_lock(throttle: Throttle, clock: Clock) -> None:
    waits = []
    for _ in range(12):
        assert throttle.attempt("demo", None) == 0
        waits.append(throttle.attempt("demo", None) if len(waits) >= 2 else 0)
        clock.now += waits[-1]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 900, 900, 900]


def test_a_success_frees_the_account(throttle: Throttle) -> None:
    for _ in range(3):
        throttle.attempt("demo", "192.0.2.1")
    assert throttle.attempt("demo", "192.0.2.1") > 0
    throttle.succeeded("demo", "192.0.2.1")
    assert throttle.attempt("demo", "192.0.2.1") == 0


def test_many_accounts_from_one_address_are_stopped(throttle: Throttle) -> None:
    tried = sum(throttle.attempt(f"demo-{number}", "192.0.2.1") == 0 for number in range(100))
    assert tried == 15
    assert throttle.attempt("demo-x", "192.0.2.2") == 0


def test_one_account_from_many_addresses_is_stopped(throttle: Throttle) -> None:
    tried = sum(throttle.attempt("demo", f"192.0.2.{number}") == 0 for number in range(100))
    assert tried == 3


def test_tries_at_the_same_time_are_all_counted(throttle: Throttle) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: throttle.attempt("demo", None), range(24)))
    assert answers.count(0) == 3


def test_a_known_password_does_not_free_the_address_for_others(throttle: Throttle) -> None:
    for number in range(15):
        throttle.attempt(f"demo-{number}", "192.0.2.1")
    throttle.succeeded("demo-14", "192.0.2.1")
    assert throttle.attempt("demo-a", "192.0.2.1") == 0
    assert throttle.attempt("demo-b", "192.0.2.1") > 0


def test_strangers_cannot_lock_a_person_out_of_a_known_browser(throttle: Throttle, clock: Clock) -> None:
    for number in range(60):
        throttle.attempt("demo", f"192.0.2.{number}")
        clock.now += 1000
    assert throttle.attempt("demo", "192.0.2.99") == 0
    assert throttle.attempt("demo", "192.0.2.99") == 900
    assert throttle.attempt("demo", "192.0.2.99", "known-browser") == 0
    throttle.succeeded("demo", "192.0.2.99", "known-browser")
    # The strangers go on waiting.
    assert throttle.attempt("demo", "192.0.2.99") == 900


def test_a_known_browser_is_counted_too(throttle: Throttle) -> None:
    answers = [throttle.attempt("demo", None, "known-browser") for _ in range(5)]
    assert answers == [0, 0, 0, 1, 1]


def test_addresses_of_one_ipv6_network_count_as_one(throttle: Throttle) -> None:
    tried = sum(throttle.attempt(f"demo-{n}", f"2001:db8:1:2::{n:x}") == 0 for n in range(100))
    assert tried == 15
    assert throttle.attempt("demo-x", "2001:db8:1:3::1") == 0
    assert sum(throttle.attempt(f"demo-m{n}", f"::ffff:192.0.2.{n}") == 0 for n in range(20)) == 20


def test_an_administrator_sees_a_lock_and_takes_it_away(throttle: Throttle, clock: Clock) -> None:
    for _ in range(10):
        throttle.attempt("demo", None)
        clock.now += 1000
    throttle.attempt("other", None)
    throttle.attempt("demo", None)
    seen = throttle.failures(["demo", "other", "nobody"])
    assert (seen["demo"].count, seen["demo"].locked_until) == (11, int(clock.now) + 900)
    assert (seen["other"].count, seen["other"].locked_until) == (1, None)
    assert seen["nobody"].count == 0
    throttle.unlock("demo")
    assert throttle.attempt("demo", None) == 0
    assert throttle.failures(["demo"])["demo"].count == 1
