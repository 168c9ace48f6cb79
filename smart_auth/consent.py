"""What a person allows an app: remembered, asked again when the app wants more, ended by the person.

Sources: SMART App Launch 2.2.0 "Scopes and Launch Context" (the granted scope may be narrower than the asked
one, by `cruds` and by query); OpenID Connect Core 3.1.2.4; RFC 6749 3.3.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session as SQLSession

from smart_auth import scopes
from smart_auth.database import Database
from smart_auth.models import Client, Consent, GrantFamily
from smart_auth.progress import Consented
from smart_auth.revocations import end_grants
from smart_auth.scopes import LETTERS, Grant, ScopeSet

CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
CONDITIONS = "http://terminology.hl7.org/CodeSystem/condition-category"
# What a person may narrow a whole type to: the categories that say something to a lay reader.
NARROWER: Mapping[str, Sequence[str]] = {
    "Observation": tuple(f"{CATEGORIES}|{code}" for code in ("laboratory", "vital-signs", "imaging")),
    "Condition": tuple(f"{CONDITIONS}|{code}" for code in ("problem-list-item", "encounter-diagnosis")),
}


@dataclass(frozen=True)
class Access:
    """One app that has access to a person's rights."""

    client_id: str
    name: str
    trusted: bool
    since: int
    used: int | None
    """Last time a token was given out; None: allowed, and no grant is alive."""
    scope: ScopeSet


def parts(grant: Grant) -> list[Grant]:
    """A scope as the person switches it: looking (r, s) and changing (c, u, d) apart."""
    found = []
    for group in ("rs", "cud"):
        letters = "".join(letter for letter in LETTERS if letter in grant.letters and letter in group)
        if letters:
            found.append(Grant(grant.context, grant.type, letters, grant.predicates))
    return found


def narrower(grant: Grant) -> list[tuple[str, str]]:
    """(token, form value) of the categories that a whole type can be narrowed to."""
    if grant.predicates:
        return []
    return [(token, f"{grant.context}/{grant.type}|{token}") for token in NARROWER.get(grant.type, ())]


def chosen(offer: ScopeSet, allowed: Iterable[str], only: Iterable[str]) -> ScopeSet:
    """What the person left switched on of an offer; form values that were not offered count for nothing."""
    on, kept = set(allowed), set(only)
    words = frozenset(word for word in offer.words if word in on)
    together: dict[Grant, set[str]] = {}
    for grant in offer.grants:
        tokens = tuple(sorted(token for token, value in narrower(grant) if value in kept))
        predicates = (("category", tokens),) if tokens else grant.predicates
        for part in parts(grant):
            if str(part) in on:
                key = Grant(grant.context, grant.type, "", predicates)
                together.setdefault(key, set()).update(part.letters)
    grants = frozenset(
        Grant(
            key.context, key.type, "".join(letter for letter in LETTERS if letter in letters), key.predicates
        )
        for key, letters in together.items()
    )
    return ScopeSet(grants, words)


def find(database: Database, user_id: str, client_id: str) -> Consented | None:
    """What is remembered."""
    with database.read() as session:
        row = _row(session, user_id, client_id)
    return Consented(scopes.parse(row.asked), scopes.parse(row.scope)) if row is not None else None


def remember(database: Database, user_id: str, client_id: str, asked: ScopeSet, scope: ScopeSet) -> None:
    """Keep an answer. An older one stays for other scopes; where the two overlap, the new one counts."""
    with database.write() as session:
        row = _row(session, user_id, client_id)
        if row is None:
            row = Consent(user_id=user_id, client_id=client_id, asked="", scope="")
            session.add(row)
        row.asked = str(_over(scopes.parse(row.asked), asked, asked))
        row.scope = str(_over(scopes.parse(row.scope), asked, scope))
        row.granted_at = int(time.time())


def covers(session: SQLSession, user_id: str, client: Client, scope: ScopeSet) -> bool:
    """Whether the person's word for this still stands (a code may come after they took it back)."""
    if client.trusted:
        return True
    row = _row(session, user_id, client.id)
    return row is not None and scopes.parse(row.scope).covers(scope)


def within(session: SQLSession, user_id: str, client: Client, scope: ScopeSet) -> ScopeSet:
    """What registration and the person's word leave of a scope now; a refresh never brings more back."""
    left = scope & scopes.parse(client.scope)
    if client.trusted:
        return left
    row = _row(session, user_id, client.id)
    return left & scopes.parse(row.scope) if row is not None else ScopeSet()


def listed(database: Database, user_id: str, now: int) -> list[Access]:
    """Every app that has access, or that may have it without asking; by name."""
    with database.read() as session:
        alive = (
            select(
                GrantFamily.client_id,
                func.min(GrantFamily.created_at),
                func.max(GrantFamily.used_at),
            )
            .where(
                GrantFamily.user_id == user_id, GrantFamily.ended_at.is_(None), GrantFamily.expires_at > now
            )
            .group_by(GrantFamily.client_id)
        )
        grants = {client_id: (since, used) for client_id, since, used in session.execute(alive)}
        rows = {
            row.client_id: row for row in session.scalars(select(Consent).where(Consent.user_id == user_id))
        }
        found = []
        for client in session.scalars(select(Client).where(Client.id.in_({*grants, *rows}))):
            row = rows.get(client.id)
            since, used = grants.get(client.id, (None, None))
            scope = scopes.parse(row.scope) if row is not None else _granted(session, user_id, client.id, now)
            started = min(moment for moment in (since, row.granted_at if row else None) if moment is not None)
            found.append(Access(client.id, client.name, client.trusted, started, used, scope))
    return sorted(found, key=lambda access: (access.name.casefold(), access.client_id))


def end(database: Database, user_id: str, client_id: str, *, token_s: int) -> bool:
    """Take an app's access back: the answer, its grants and every token. True when there was something."""
    with database.write() as session:
        found = session.execute(
            delete(Consent).where(Consent.user_id == user_id, Consent.client_id == client_id)
        )
        ended = end_grants(
            session,
            GrantFamily.user_id == user_id,
            GrantFamily.client_id == client_id,
            now=int(time.time()),
            token_s=token_s,
        )
        return bool(ended) or found.rowcount > 0  # type: ignore[attr-defined]


def _row(session: SQLSession, user_id: str, client_id: str) -> Consent | None:
    return session.scalar(select(Consent).where(Consent.user_id == user_id, Consent.client_id == client_id))


def _granted(session: SQLSession, user_id: str, client_id: str, now: int) -> ScopeSet:
    found = session.scalars(
        select(GrantFamily.scope).where(
            GrantFamily.user_id == user_id,
            GrantFamily.client_id == client_id,
            GrantFamily.ended_at.is_(None),
            GrantFamily.expires_at > now,
        )
    )
    return scopes.parse(" ".join(dict.fromkeys(part for text in found for part in text.split())))


def _over(old: ScopeSet, asked: ScopeSet, new: ScopeSet) -> ScopeSet:
    """The old answer where it says nothing about what was asked now, and the new one."""
    apart = {grant for grant in old.grants if all(not _overlap(grant, one) for one in asked.grants)}
    return ScopeSet(frozenset(apart | new.grants), (old.words - asked.words) | new.words)


def _overlap(a: Grant, b: Grant) -> bool:
    is_same = a.context == b.context and (a.type == b.type or "*" in (a.type, b.type))
    return is_same and bool(set(a.letters) & set(b.letters))
