"""The grants of the token endpoint: authorization code, refresh token, client credentials; and revocation.

Sources: RFC 6749 4.1.3, 4.4, 5, 6; RFC 7636 4.6; RFC 7009; RFC 9700 2.2.2 and 4.14 (rotation, reuse ends the
family); SMART App Launch 2.2.0 "Obtain access token", "Backend Services".
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oauth2.rfc7636.challenge import CODE_VERIFIER_PATTERN
from sqlalchemy import select, update
from sqlalchemy.orm import Session as SQLSession

from smart_auth import consent, scopes
from smart_auth.database import Database
from smart_auth.errors import InvalidTokenError, OAuthError
from smart_auth.interaction import Principal, Role
from smart_auth.models import Client, GrantFamily, RefreshToken, User
from smart_auth.progress import Approved
from smart_auth.retention import EVERY_S, forget_grants
from smart_auth.revocations import back_end_ended, end_grants, revoke
from smart_auth.roles import within_role
from smart_auth.scopes import ScopeSet
from smart_auth.secret import digest, new_id, new_secret
from smart_auth.session import Session, Sessions
from smart_auth.settings import SMARTAuthSettings
from smart_auth.store import Store
from smart_auth.tokens import Issuer, Subject, Verifier

InThread = Callable[..., Awaitable[Any]]


class ReuseError(OAuthError):
    """A code or refresh token came a second time; what the first one got has ended."""

    def __init__(self, user: User | None) -> None:
        super().__init__("invalid_grant", "this grant is not valid, or no longer")
        self.user = user


@dataclass(frozen=True)
class Granted:
    """A token response, and for the trail whom it is for and the access token's `jti`."""

    answer: dict[str, Any]
    subject: Subject
    jti: str


class Grants:
    """Makes and ends grants."""

    def __init__(
        self,
        settings: SMARTAuthSettings,
        database: Database,
        store: Store,
        sessions: Sessions,
        issuer: Issuer,
        verifier: Verifier,
        in_thread: InThread,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._sessions = sessions
        self._issuer = issuer
        self._verifier = verifier
        self._in_thread = in_thread
        self._clock = clock
        self._forgot = float("-inf")

    async def issue_code(self, approved: Approved, client: Client, session: Session) -> str:
        """A code for a request that has passed every step."""
        request = approved.asked
        return await self._store.put(
            "code",
            {
                "client_id": client.id,
                "redirect_uri": request.redirect_uri,
                "challenge": request.challenge,
                "nonce": request.nonce,
                "requested": request.scope,
                "scope": str(approved.granted),
                "patient": approved.patient,
                "encounter": approved.encounter,
                "launch": approved.context,
                "user_id": session.user_id,
                "generation": session.generation,
                "auth_time": session.auth_time,
                "sid": session.sid,
            },
            lifetime_s=self._settings.code_s,
        )

    async def by_code(self, client: Client, form: Mapping[str, str]) -> Granted:
        """Tokens for a code (RFC 6749 4.1.3)."""
        code = form.get("code", "")
        kept = await self._store.take("code", code)
        if kept is None:
            await self._store.use_once("reused", code, lifetime_s=2 * self._settings.code_s)
            owner = await self._in_thread(self._end_by_code, code)
            raise ReuseError(owner) if owner is not None else _invalid_grant()
        verifier = form.get("code_verifier", "")
        if (
            kept["client_id"] != client.id
            or kept["redirect_uri"] != form.get("redirect_uri")
            or not CODE_VERIFIER_PATTERN.match(verifier)
            or not hmac.compare_digest(create_s256_code_challenge(verifier), kept["challenge"])
        ):
            raise _invalid_grant()
        # The ceiling of the client may have become lower since the code was made.
        granted = scopes.parse(kept["scope"]) & scopes.parse(client.scope)
        user, grant, refresh = await self._in_thread(self._start_family, client, code, kept, granted)
        if await self._store.has("reused", code):
            # The second use came while the first was under way.
            await self._in_thread(self._end_by_code, code)
            raise ReuseError(user)
        subject = self._subject(client, user, grant, str(granted))
        response, jti = self._response(subject, grant, granted, refresh, kept["requested"])
        if "openid" in granted.words:
            response["id_token"] = self._issuer.id_token(
                subject,
                nonce=kept["nonce"],
                lifetime_s=self._settings.id_token_s,
                words=granted.words,
            )
        return Granted(response, subject, jti)

    async def by_refresh_token(self, client: Client, form: Mapping[str, str]) -> Granted:
        """Tokens for a refresh token, which is replaced (RFC 6749 6)."""
        user, grant, kept, refresh = await self._in_thread(
            self._rotate, client, form.get("refresh_token", ""), form.get("scope")
        )
        if refresh is None:
            raise ReuseError(user)
        if "offline_access" not in kept.words and not await self._sessions.is_alive(grant.session_id):
            raise _invalid_grant()
        wanted = kept & scopes.parse(form["scope"]) if form.get("scope") else kept
        granted = within_role(wanted, cast(Role, user.role))
        subject = self._subject(client, user, grant, str(granted))
        asked = form.get("scope") or str(granted)
        response, jti = self._response(subject, grant, granted, refresh, asked)
        return Granted(response, subject, jti)

    async def by_client_credentials(self, client: Client, form: Mapping[str, str]) -> Granted:
        """A token for a back end (SMART Backend Services)."""
        if client.kind != "backend" or client.role is None:
            raise OAuthError("unauthorized_client", "this client is not a back end")
        requested = form.get("scope", "")
        role = cast(Role, client.role)
        asked = within_role(scopes.parse(requested) & scopes.parse(client.scope), role)
        system = frozenset(grant for grant in asked.grants if grant.context == "system")
        granted = ScopeSet(system, asked.words & scopes.RIGHTS)
        if not granted.grants and not granted.words:
            raise OAuthError("invalid_scope", "no system scope that this client may have")
        subject = Subject(
            client_id=client.id, role=role, scope=str(granted), organization=client.organization
        )
        ended = await self._in_thread(back_end_ended, self._database, client.id)
        await self._in_thread(self._verifier.learn)
        token, jti = self._issuer.access_token(subject, self._settings.backend_token_s, after=ended)
        response = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self._settings.backend_token_s,
            "scope": scopes.echo(requested, granted),
        }
        return Granted(response, subject, jti)

    async def revoke(self, client: Client, token: str) -> User | Principal | None:
        """End a refresh token's family or one access token of this client (RFC 7009); whose it was."""
        owner: User | None = await self._in_thread(self._end_by_refresh_token, client.id, token)
        if owner is not None:
            return owner
        try:
            principal = self._verifier.verify(token)
        except InvalidTokenError:
            return None
        if principal.client_id != client.id:
            return None
        await self._in_thread(self._end_token, principal.jti, principal.expires)
        return principal

    async def end_session(self, session: Session) -> None:
        """Log out: the session, its grants and their tokens."""
        await self._sessions.end(session)
        await self._in_thread(self._end_by_session, session)

    async def end_grant(self, principal: Principal) -> None:
        """Log out of an app: its grant with every token."""
        if principal.grant_id is not None:
            await self._in_thread(self._end_by_id, principal.grant_id)

    def _start_family(
        self, client: Client, code: str, kept: dict[str, Any], granted: ScopeSet
    ) -> tuple[User, GrantFamily, str | None]:
        now = int(self._clock())
        with self._database.write() as session:
            if now - self._forgot >= EVERY_S:
                forget_grants(session, now)
                self._forgot = now
            user = _active(session, kept["user_id"])
            if user is None or user.generation != kept["generation"]:
                raise _invalid_grant()
            if not consent.covers(session, user.id, client, granted):
                raise _invalid_grant()
            grant = GrantFamily(
                id=new_id(),
                user_id=user.id,
                client_id=client.id,
                session_id=kept["sid"],
                code_hash=digest(code),
                scope=str(granted),
                patient=kept["patient"],
                encounter=kept["encounter"],
                launch=json.dumps(kept["launch"]) if kept["launch"] else None,
                auth_time=kept["auth_time"],
                created_at=now,
                expires_at=now + self._settings.refresh_absolute_s,
                used_at=now,
            )
            session.add(grant)
            session.flush()
            wants_refresh = granted.words & {"offline_access", "online_access"}
            refresh = self._new_refresh(session, grant, now) if wants_refresh else None
        return user, grant, refresh

    def _rotate(
        self, client: Client, token: str, scope: str | None
    ) -> tuple[User, GrantFamily, ScopeSet, str | None]:
        """(user, grant, what is left of its scope, new token). A used token ends the family: no new token."""
        now = int(self._clock())
        with self._database.write() as session:
            row = session.get(RefreshToken, digest(token))
            grant = session.get(GrantFamily, row.grant_id) if row else None
            if row is None or grant is None or grant.client_id != client.id:
                raise _invalid_grant()
            user = _active(session, grant.user_id)
            if user is None or grant.ended_at is not None or grant.expires_at <= now:
                raise _invalid_grant()
            left = consent.within(session, user.id, client, scopes.parse(grant.scope))
            # What a used token asks for does not matter: it ends the family below.
            if row.used_at is None and scope and not left.covers(scopes.parse(scope)):
                raise OAuthError("invalid_scope", "a refresh never adds scopes")
            if row.used_at is None and row.expires_at <= now:
                raise _invalid_grant()
            taken = session.execute(
                update(RefreshToken)
                .where(RefreshToken.hash == row.hash, RefreshToken.used_at.is_(None))
                .values(used_at=now)
            )
            if taken.rowcount != 1:  # type: ignore[attr-defined]
                self._end(session, GrantFamily.id == grant.id)
                return user, grant, left, None
            grant.used_at = now
            return user, grant, left, self._new_refresh(session, grant, now)

    def _new_refresh(self, session: SQLSession, grant: GrantFamily, now: int) -> str:
        token = new_secret()
        expires_at = min(now + self._settings.refresh_idle_s, grant.expires_at)
        session.add(RefreshToken(hash=digest(token), grant_id=grant.id, expires_at=expires_at))
        return token

    def _subject(self, client: Client, user: User, grant: GrantFamily, scope: str) -> Subject:
        return Subject(
            client_id=client.id,
            role=cast(Role, user.role),
            scope=scope,
            user_id=user.id,
            generation=user.generation,
            fhir_user=user.fhir_user,
            patient=grant.patient,
            organization=user.organization,
            grant_id=grant.id,
            auth_time=grant.auth_time,
        )

    def _response(
        self,
        subject: Subject,
        grant: GrantFamily,
        granted: ScopeSet,
        refresh: str | None,
        requested: str,
    ) -> tuple[dict[str, Any], str]:
        token, jti = self._issuer.access_token(subject, self._settings.access_token_s)
        response: dict[str, Any] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self._settings.access_token_s,
            "scope": scopes.echo(requested, granted),
        }
        if refresh is not None:
            response["refresh_token"] = refresh
        context = {"patient": grant.patient, "encounter": grant.encounter}
        response |= {name: value for name, value in context.items() if value is not None}
        return response | (json.loads(grant.launch) if grant.launch else {}), jti

    def _end_by_code(self, code: str) -> User | None:
        with self._database.write() as session:
            ended = self._end(session, GrantFamily.code_hash == digest(code))
            return session.get(User, ended[0].user_id) if ended else None

    def _end_by_refresh_token(self, client_id: str, token: str) -> User | None:
        with self._database.write() as session:
            row = session.get(RefreshToken, digest(token))
            if row is None:
                return None
            ended = self._end(session, GrantFamily.id == row.grant_id, GrantFamily.client_id == client_id)
            return session.get(User, ended[0].user_id) if ended else None

    def _end_by_id(self, grant_id: str) -> None:
        with self._database.write() as session:
            self._end(session, GrantFamily.id == grant_id)

    def _end_by_session(self, ended: Session) -> None:
        with self._database.write() as session:
            self._end(session, GrantFamily.session_id == ended.sid)
            revoke(session, "session", ended.sid, expires_at=ended.expires)

    def _end_token(self, jti: str, expires_at: int) -> None:
        with self._database.write() as session:
            revoke(session, "token", jti, expires_at=expires_at)

    def _end(self, session: SQLSession, *conditions: Any) -> list[GrantFamily]:
        return end_grants(session, *conditions, now=int(self._clock()), token_s=self._settings.access_token_s)


def _active(session: SQLSession, user_id: str) -> User | None:
    return session.scalar(select(User).where(User.id == user_id, User.status == "active"))


def _invalid_grant() -> OAuthError:
    """One answer for every reason."""
    return OAuthError("invalid_grant", "this grant is not valid, or no longer")
