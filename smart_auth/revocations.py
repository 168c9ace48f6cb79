"""What ends rights before their time, and how every process learns of it within a second.

A change that takes a right away raises the epoch in the same transaction. Each process reads the epoch every
500 ms and, when it moved, the whole state; a state that was not confirmed for 1 s is not trusted (design,
section 6). Sources: RFC 7009 (revocation), RFC 9700 section 4.14 (refresh token reuse).
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from smart_auth.database import Database
from smart_auth.errors import InvalidTokenError, SMARTAuthError, StaleRevocationsError
from smart_auth.models import Client, Epoch, GrantFamily, Revocation, User
from smart_auth.secret import digest

logger = logging.getLogger(__name__)

BACK_END_S = 86400  # no token of a back end lives longer
_BACK_END = "client"


@dataclass(frozen=True)
class State:
    """Who is active, and what has ended."""

    epoch: int = 0
    generations: Mapping[str, int] = field(default_factory=dict)
    """Active users and their generation; a token of another generation is over."""
    clients: frozenset[str] = frozenset()
    """Active clients."""
    origins: frozenset[str] = frozenset()
    """Origins of their pages in browsers (CORS)."""
    ended: frozenset[tuple[str, str]] = frozenset()
    """(kind, value) of what was revoked: token, grant or session."""
    back_ends: Mapping[str, int] = field(default_factory=dict)
    """Active clients whose tokens of a back end were ended, and when: those up to that second are over."""


def raise_epoch(session: Session) -> None:
    """Tell every process to read again; part of the transaction that takes the right away."""
    session.execute(update(Epoch).values(value=Epoch.value + 1))


def revoke(session: Session, kind: str, value: str, *, expires_at: int) -> None:
    """End a token, grant or session; `expires_at` is when its last token would have ended anyway."""
    session.execute(delete(Revocation).where(Revocation.expires_at < int(time.time())))
    known = session.scalar(select(Revocation.id).where(Revocation.kind == kind, Revocation.value == value))
    if known is None:
        # Two processes may end the same thing at the same moment; once is enough.
        with contextlib.suppress(IntegrityError), session.begin_nested():
            session.add(Revocation(kind=kind, value=value, expires_at=expires_at))
    raise_epoch(session)


def end_grants(session: Session, *conditions: object, now: int, token_s: int) -> list[GrantFamily]:
    """End every live grant that meets the conditions, with all its tokens."""
    found = session.scalars(select(GrantFamily).where(GrantFamily.ended_at.is_(None), *conditions)).all()  # type: ignore[arg-type]
    for grant in found:
        grant.ended_at = now
        revoke(session, "grant", grant.id, expires_at=now + token_s + 60)
    return list(found)


def end_back_end(session: Session, client_id: str, *, now: int) -> None:
    """End every token that a back end got until now: it has no grant that could be ended."""
    value = digest(client_id)
    session.execute(delete(Revocation).where(Revocation.kind == _BACK_END, Revocation.value == value))
    session.flush()
    revoke(session, _BACK_END, value, expires_at=now + BACK_END_S)


def back_end_ended(database: Database, client_id: str) -> int:
    """When its tokens were ended last; a new one has to be younger."""
    with database.read() as session:
        until = session.scalar(
            select(Revocation.expires_at).where(
                Revocation.kind == _BACK_END, Revocation.value == digest(client_id)
            )
        )
    return until - BACK_END_S if until is not None else 0


class Feed:
    """The state of one process, kept fresh by its own thread (a busy event loop must not make it old)."""

    def __init__(self, database: Database, *, poll_s: float = 0.5, stale_s: float = 1.0) -> None:
        self._database = database
        self._poll_s = poll_s
        self._stale_s = stale_s
        self._state = State()
        self._confirmed = float("-inf")
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read once, then keep reading until `stop`."""
        self.refresh()
        self._thread = threading.Thread(target=self._run, name="revocations", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def refresh(self) -> None:
        """Read the epoch, and the state when the epoch moved."""
        with self._lock:
            # The age counts from before the question: an answer is as old as its request.
            began = time.monotonic()
            with self._database.read() as session:
                epoch = session.scalar(select(Epoch.value)) or 0
                if epoch != self._state.epoch:
                    self._state = _read(session, epoch)
            self._confirmed = began

    @property
    def age_s(self) -> float:
        """Seconds since the state was last known to be right."""
        return time.monotonic() - self._confirmed

    @property
    def state(self) -> State:
        """The state, or StaleRevocationsError when it is too old to trust."""
        if self.age_s > self._stale_s:
            self._catch_up()
        if self.age_s > self._stale_s:
            raise StaleRevocationsError
        return self._state

    def check(
        self,
        *,
        client_id: str | None,
        user_id: str | None,
        generation: int,
        keys: tuple[tuple[str, str], ...],
        issued: int = 0,
    ) -> None:
        """Refuse what belongs to nobody active, to an older generation, or was ended."""
        state = self.state
        if client_id is not None and client_id not in state.clients:
            raise InvalidTokenError
        if user_id is None and client_id is not None and issued <= state.back_ends.get(client_id, -1):
            raise InvalidTokenError
        if user_id is not None and state.generations.get(user_id) != generation:
            raise InvalidTokenError
        if any(key in state.ended for key in keys):
            raise InvalidTokenError

    def _catch_up(self) -> None:
        """A busy machine may keep the thread waiting: read here, where it is a local file and takes 1 ms."""
        if self._database.is_sqlite:
            with contextlib.suppress(SQLAlchemyError, SMARTAuthError, OSError):
                self.refresh()

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.refresh()
            except (SQLAlchemyError, SMARTAuthError, OSError):
                # The state grows old and everything is refused until reading works again.
                logger.exception("revocations could not be read")


def _read(session: Session, epoch: int) -> State:
    users = session.execute(select(User.id, User.generation).where(User.status == "active"))
    clients = session.execute(select(Client.id, Client.cors_origins).where(Client.status == "active")).all()
    ended = session.execute(
        select(Revocation.kind, Revocation.value, Revocation.expires_at).where(
            Revocation.expires_at >= int(time.time())
        )
    ).all()
    moments = {value: until - BACK_END_S for kind, value, until in ended if kind == _BACK_END}
    back_ends = {client_id: moments.get(digest(client_id)) for client_id, _ in clients} if moments else {}
    return State(
        epoch=epoch,
        generations={user_id: generation for user_id, generation in users},
        clients=frozenset(client_id for client_id, _ in clients),
        origins=frozenset(origin for _, origins in clients for origin in json.loads(origins)),
        ended=frozenset((kind, value) for kind, value, _ in ended if kind != _BACK_END),
        back_ends={client_id: moment for client_id, moment in back_ends.items() if moment is not None},
    )
