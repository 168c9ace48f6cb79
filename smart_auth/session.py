"""Logins in the browser: one session, two cookies.

- the viewer's cookie (`neuronova_session`, SameSite=Strict): DICOMweb, STOW, the results of an open study,
  $review, $sign and the WebSocket, with fixed scopes, never plain FHIR;
- the login cookie (`neuronova_login`, SameSite=Lax, /auth only): an app that sends the person here again
  needs no second password. Lax, because the app's link comes from another site.
Unsafe requests by cookie need our exact Origin and the CSRF value (design, section 7). Every login makes new
secrets (no session fixation). Beside the sessions there is a list of each user's own, with the time of last
use, kept to the minute. Sources: RFC 6265bis (cookie prefixes), OWASP Session Management.
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
VIEWER_SCOPES = scopes.parse(
    "user/ImagingStudy.crs user/Task.rus user/DiagnosticReport.rus user/Observation.r user/Device.r"
)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A session is looked up at most this often: a viewer asks for hundreds of frames a second.
CACHE_S = 0.5
CACHE = 1024
TOUCH_S = 60


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
    address: str | None = None
    """Network address at the login."""
    browser: str = ""
    """Kind of browser at the login."""

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


def is_csrf(value: str | None, session: Session) -> bool:
    """Whether it is the CSRF value of the session (as bytes: a person may send any characters)."""
    return hmac.compare_digest((value or "").encode(), session.csrf.encode())


def own_patient(role: str, fhir_user: str | None) -> str | None:
    """The Patient id of a login of role patient."""
    return fhir_user.removeprefix("Patient/") if role == "patient" and fhir_user else None


@dataclass(frozen=True)
class Listed:
    """A living session as its user sees it."""

    session: Session
    used: int

    def to_json(self) -> dict[str, Any]:
        """For an administrator; the identity is no credential."""
        return {
            "sid": self.session.sid,
            "since": self.session.auth_time,
            "used": self.used,
            "expires": self.session.expires,
            "address": self.session.address,
            "browser": self.session.browser,
        }


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
        self._touched: dict[str, float] = {}

    async def start(
        self,
        user: User,
        *,
        address: str | None = None,
        browser: str = "",
        continued: Session | None = None,
    ) -> Started:
        """A new session after every step of a login was right.

        `continued`: the session that it replaces; the login stays as old as it was.
        """
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
            auth_time=continued.auth_time if continued else now,
            expires=continued.expires if continued else now + self._lifetime_s,
            csrf=new_secret(),
            viewer=digest(viewer),
            login=digest(login),
            address=address,
            browser=browser,
        )
        lifetime_s = session.expires - now
        for kind, secret in (("viewer", viewer), ("login", login), ("sid", session.sid)):
            await self._store.put_as(kind, secret, asdict(session), lifetime_s=lifetime_s)
        # The list forgets what ended long ago: nobody has to look at it for it to stay short.
        noted = await self._store.noted(_list(user.id))
        await self._store.unnote(
            _list(user.id), *(sid for sid, used in noted.items() if used < now - self._lifetime_s)
        )
        await self._touch(session)
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
            await self._touch(session)
        return self._alive(session)

    async def by_login_cookie(self, secret: str) -> Session | None:
        """The session of a login cookie, if it is alive."""
        try:
            session = self._alive(self._check(await self._store.get("login", secret)))
        except InvalidTokenError:
            return None
        await self._touch(session)
        return session

    async def is_alive(self, sid: str) -> bool:
        """Whether the session with this identity goes on (online_access)."""
        return await self.by_sid(sid) is not None

    async def of(self, user_id: str) -> list[Listed]:
        """The living sessions of a user, the last used first; dead ones leave the list."""
        found, gone = [], []
        for sid, used in (await self._store.noted(_list(user_id))).items():
            session = await self.by_sid(sid)
            if session is not None:
                found.append(Listed(session, used))
            else:
                gone.append(sid)
        await self._store.unnote(_list(user_id), *gone)
        return sorted(found, key=lambda one: -one.used)

    async def by_sid(self, sid: str) -> Session | None:
        """The session with this identity, if it is alive. The identity is no credential."""
        try:
            return self._alive(self._check(await self._store.get("sid", sid)))
        except InvalidTokenError:
            return None

    async def end(self, session: Session) -> None:
        """Log out."""
        self._cache.clear()
        await self._store.unnote(_list(session.user_id), session.sid)
        await self._store.remove("viewer", session.viewer)
        await self._store.remove("login", session.login)
        await self._store.remove("sid", digest(session.sid))

    def check_unsafe(self, session: Session, *, method: str, origin: str | None, csrf: str | None) -> None:
        """CrossSiteError unless an unsafe request comes from our own pages."""
        if method in SAFE_METHODS:
            return
        if origin != self._origin or csrf is None or not is_csrf(csrf, session):
            raise CrossSiteError

    async def _touch(self, session: Session) -> None:
        """Note that the session is used, at most once a minute in each process."""
        now = time.monotonic()
        if now - self._touched.get(session.sid, float("-inf")) < TOUCH_S:
            return
        if len(self._touched) >= CACHE:
            self._touched.clear()
        self._touched[session.sid] = now
        await self._store.note(
            _list(session.user_id), session.sid, int(self._clock()), lifetime_s=self._lifetime_s
        )

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


def _list(user_id: str) -> str:
    return f"sessions:{user_id}"
