"""Waiting after failed logins: per account name and per address, in the database, the same for all names.

A browser in which the person has logged in before (`device.py`) is counted by itself: strangers who guess at
an account, or from a shared address, lock out strangers and not the person.

From the third failure in a row the wait doubles (1 s, 2 s, 4 s ...); from `lock_after` failures on it is
`lock_s`. Source: NIST SP 800-63B 5.2.2 (rate limiting).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from smart_auth.database import Database
from smart_auth.models import LoginFailure
from smart_auth.secret import digest

FREE_FAILURES = 3
# Many people may share one address (a hospital behind one gateway): it may fail more often than one account.
ADDRESS_FACTOR = 5
KEEP_S = 86400


@dataclass(frozen=True)
class Failures:
    """What an administrator sees of an account's failures."""

    count: int = 0
    locked_until: int | None = None
    """Seconds since 1970; None: not locked. Waits before the lock are not shown."""


class Throttle:
    """Counts failed logins."""

    def __init__(
        self, database: Database, *, lock_after: int, lock_s: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._lock_after = lock_after
        self._lock_s = lock_s
        self._clock = clock

    def attempt(self, username: str, address: str | None, device: str | None = None) -> int:
        """Seconds to wait before this login may be tried; 0: now, and it is counted as failed already.

        Counting before the password is checked leaves no gap for many tries at the same time.
        """
        now = int(self._clock())
        with self._database.write() as session:
            session.execute(delete(LoginFailure).where(LoginFailure.last_at < now - KEEP_S))
            rows = [(self._row(session, key), factor) for key, factor in _keys(username, address, device)]
            wait = max(row.wait_until - now for row, _ in rows)
            if wait > 0:
                return wait
            for row, factor in rows:
                row.count += 1
                row.last_at = now
                row.wait_until = now + self._delay_s(row.count, factor)
        return 0

    def succeeded(self, username: str, address: str | None, device: str | None = None) -> None:
        """Forget the account's failures; of the address only this try (nobody else is freed by it).

        From a known browser only that browser's own are forgotten: who guesses elsewhere goes on waiting.
        """
        with self._database.write() as session:
            for key, factor in _keys(username, address, device):
                row = self._row(session, key)
                row.count = 0 if factor == 1 else max(0, row.count - 1)
                row.wait_until = 0 if factor == 1 else int(self._clock())

    def unlock(self, *usernames: str) -> None:
        """Forget the failures of these accounts (not of addresses and browsers)."""
        keys = [_account(username) for username in usernames]
        with self._database.write() as session:
            session.execute(delete(LoginFailure).where(LoginFailure.key.in_(keys)))

    def failures(self, usernames: Iterable[str]) -> Mapping[str, Failures]:
        """The state of these accounts."""
        keys = {_account(username): username for username in usernames}
        now = int(self._clock())
        found = dict.fromkeys(keys.values(), Failures())
        with self._database.read() as session:
            for row in session.scalars(select(LoginFailure).where(LoginFailure.key.in_(list(keys)))):
                locked = row.count >= self._lock_after and row.wait_until > now
                found[keys[row.key]] = Failures(row.count, row.wait_until if locked else None)
        return found

    @staticmethod
    def _row(session: Session, key: str) -> LoginFailure:
        """The row, locked until the end of the transaction (SQLite locks the whole file anyway)."""
        row = session.get(LoginFailure, key, with_for_update=True)
        if row is not None:
            return row
        try:
            # Another process may make it at the same moment; then that one is read.
            with session.begin_nested():
                session.add(LoginFailure(key=key, count=0, last_at=0, wait_until=0))
        except IntegrityError:
            session.expire_all()
        return session.get_one(LoginFailure, key, with_for_update=True)

    def _delay_s(self, count: int, factor: int) -> int:
        if count >= self._lock_after * factor:
            return self._lock_s
        beyond = count - FREE_FAILURES * factor
        return min(self._lock_s, 1 << min(beyond, 20)) if beyond >= 0 else 0


def _keys(username: str, address: str | None, device: str | None) -> list[tuple[str, int]]:
    """(row, how many times more patient we are); names are kept as hashes: they may be mistyped passwords."""
    if device:
        return [(digest(f"device:{device}:{username}"), 1)]
    keys = [(_account(username), 1)]
    if address:
        keys.append((digest(f"address:{network(address)}"), ADDRESS_FACTOR))
    return keys


def _account(username: str) -> str:
    return digest(f"user:{username}")


def network(address: str) -> str:
    """An IPv6 caller has a whole /64 to itself (RFC 6177): it counts as one address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped is not None:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
