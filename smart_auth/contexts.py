"""Ends whatever is bound to a patient: grants, one's own logins, what is under way in a browser or an app.

For the moment in which it turns out that a record is not what it was taken for: a study of somebody else, or
a person with two records. Who comes again is asked for the patient again.
Sources: SMART App Launch 2.2.0 "Scopes and Launch Context"; RFC 7009 (revocation).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select

from smart_auth.database import Database
from smart_auth.models import GrantFamily, User
from smart_auth.revocations import end_grants, raise_epoch
from smart_auth.store import Store

KINDS = ("launch", "request", "code")
"""What lives in the store and may name a patient: launches, requests of apps, authorization codes."""


@dataclass(frozen=True)
class Ended:
    """How many of each ended."""

    grants: int
    users: int
    contexts: int


async def end(database: Database, store: Store, patients: Collection[str], *, token_s: int) -> Ended:
    """End it for these patients (ids). Done twice it finds nothing more.

    The store comes first and last: a code that was under way may have become a grant in between, or a launch
    a code.

    :param token_s: the longest life of an access token
    :raises StoreUnavailableError: Redis does not answer
    """
    wanted = frozenset(patients)
    contexts = await _forget(store, wanted)
    grants, users = _end(database, wanted, token_s)
    contexts += await _forget(store, wanted)
    more, _ = _end(database, wanted, token_s, with_users=False)
    return Ended(grants + more, users, contexts)


def _end(
    database: Database, patients: frozenset[str], token_s: int, *, with_users: bool = True
) -> tuple[int, int]:
    now = int(time.time())
    # The context of a launch may name the patient too, in a reference.
    named = [GrantFamily.launch.contains(f'"Patient/{id_}"', autoescape=True) for id_ in sorted(patients)]
    bound = or_(GrantFamily.patient.in_(patients), *named)
    with database.write() as session:
        ended = end_grants(session, bound, now=now, token_s=token_s)
        if not with_users:
            return len(ended), 0
        own = [f"Patient/{id_}" for id_ in patients]
        users = session.scalars(select(User).where(User.fhir_user.in_(own))).all()
        for user in users:
            user.generation += 1
            ended += end_grants(session, GrantFamily.user_id == user.id, now=now, token_s=token_s)
        raise_epoch(session)
        return len(ended), len(users)


async def _forget(store: Store, patients: frozenset[str]) -> int:
    return sum([await store.remove_where(kind, lambda value: _names(value, patients)) for kind in KINDS])


def _names(value: Any, patients: frozenset[str]) -> bool:
    """Whether a kept value is bound to one of the patients, or refers to one anywhere."""
    if isinstance(value, Mapping):
        if value.get("patient") in patients:
            return True
        return any(_names(one, patients) for one in value.values())
    if isinstance(value, list):
        return any(_names(one, patients) for one in value)
    return isinstance(value, str) and value.removeprefix("Patient/") in patients and "/" in value
