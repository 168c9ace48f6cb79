"""Logins in the browser: one session, two cookies.

- the viewer's cookie (`neuronova_session`, SameSite=Strict): DICOMweb, STOW, $review and the WebSocket, with
  fixed scopes, never plain FHIR;
- the login cookie (`neuronova_login`, SameSite=Lax, /auth only): an app that sends the person here again
  needs no second password. Lax, because the app's link comes from another site.
Unsafe requests by cookie need our exact Origin and the CSRF value (design, section 7). Every login makes new
secrets (no session fixation). Sources: RFC 6265bis (cookie prefixes), OWASP Session Management.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

from smart_auth import scopes
from smart_auth.clients import VIEWER
from smart_auth.errors import CrossSiteError, InvalidTokenError
from smart_auth.interaction import Principal, Role
from smart_auth.models import User
from smart_auth.revocations import Feed
from smart_auth.roles import within_role
from smart_auth.secret import digest, new_id, new_secret
from smart_auth.store import Store

VIEWER_COOKIE = "neuronova_session"
LOGIN_COOKIE = "neuronova_login"
CSRF_HEADER = "X-CSRF-Token"
VIEWER_SCOPES = scopes.parse("user/ImagingStudy.crs user/Task.rus user/DiagnosticReport.rs")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A session is looked up at most this often: a viewer asks for hundreds of frames a second.
CACHE_S = 0.5
CACHE = 1024


@dataclass(frozen=True)
class Session:
    """One login of one person in one browser."""

    sid: str
    user_id: str
    role: str
    fhir_user: str | None
    organization: str | None
    generation: int
    auth_time: int
    expires: int
    csrf: str
    viewer: str
    """Digest of the viewer cookie's secret."""
    login: str
    """Digest of the login cookie's secret."""

    def principal(self) -> Principal:
        """The caller behind the viewer's cookie."""
        role = cast(Role, self.role)
        return Principal(
            user_id=self.user_id,
            fhir_user=self.fhir_user,
            role=role,
            scopes=within_role(VIEWER_SCOPES, role),
            client_id=VIEWER,
            jti=self.sid,
            patient=own_patient(self.role, self.fhir_user),
            organization=self.organization,
            auth_time=self.auth_time,
            expires=self.expires,
            session=True,
            generation=self.generation,
        )


def own_patient(role: str, fhir_user: str | None) -> str | None:
    """The Patient id of a login of role patient."""
    return fhir_user.removeprefix("Patient/") if role == "patient" and fhir_user else None


@dataclass(frozen=True)
class Started:
    """A new session and the secrets that only the browser keeps."""

    session: Session
    viewer: str
    login: str


class Sessions:
    """Starts, finds and ends sessions."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        *,
        lifetime_s: int,
        origin: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._feed = feed
        self._lifetime_s = lifetime_s
        self._origin = origin
        self._clock = clock
        self._cache: dict[str, tuple[float, Session]] = {}

    async def start(self, user: User) -> Started:
        """A new session after a password was right."""
        # The user may be newer than the last poll: without this, who sets a password and logs in at once
        # would be asked for it again.
        await asyncio.to_thread(self._feed.refresh)
        now = int(self._clock())
        viewer, login = new_secret(), new_secret()
        session = Session(
            sid=new_id(),
            user_id=user.id,
            role=user.role,
            fhir_user=user.fhir_user,
            organization=user.organization,
            generation=user.generation,
            auth_time=now,
            expires=now + self._lifetime_s,
            csrf=new_secret(),
            viewer=digest(viewer),
            login=digest(login),
        )
        for kind, secret in (("viewer", viewer), ("login", login), ("sid", session.sid)):
            await self._store.put_as(kind, secret, asdict(session), lifetime_s=self._lifetime_s)
        return Started(session, viewer, login)

    async def by_viewer_cookie(self, secret: str) -> Session:
        """The session of a viewer's cookie; InvalidTokenError when there is none."""
        now = time.monotonic()
        cached = self._cache.get(secret)
        if cached is not None and cached[0] > now:
            session = cached[1]
        else:
            session = self._check(await self._store.get("viewer", secret))
            if len(self._cache) >= CACHE:
                self._cache.clear()
            self._cache[secret] = (now + CACHE_S, session)
        return self._alive(session)

    async def by_login_cookie(self, secret: str) -> Session | None:
        """The session of a login cookie, if it is alive."""
        try:
            return self._alive(self._check(await self._store.get("login", secret)))
        except InvalidTokenError:
            return None

    async def is_alive(self, sid: str) -> bool:
        """Whether the session with this identity goes on (online_access)."""
        value = await self._store.get("sid", sid)
        try:
            return value is not None and self._alive(self._check(value)) is not None
        except InvalidTokenError:
            return False

    async def end(self, session: Session) -> None:
        """Log out."""
        self._cache.clear()
        await self._store.remove("viewer", session.viewer)
        await self._store.remove("login", session.login)
        await self._store.remove("sid", digest(session.sid))

    def check_unsafe(self, session: Session, *, method: str, origin: str | None, csrf: str | None) -> None:
        """CrossSiteError unless an unsafe request comes from our own pages."""
        if method in SAFE_METHODS:
            return
        if origin != self._origin or csrf is None or not hmac.compare_digest(csrf, session.csrf):
            raise CrossSiteError

    @staticmethod
    def _check(value: dict[str, Any] | None) -> Session:
        if value is None:
            raise InvalidTokenError
        return Session(**value)

    def _alive(self, session: Session) -> Session:
        if session.expires <= self._clock():
            raise InvalidTokenError
        self._feed.check(
            client_id=None,
            user_id=session.user_id,
            generation=session.generation,
            keys=(("session", session.sid),),
        )
        return session
