"""Everything of smart_auth that one process runs, wired together; the facade makes one and keeps it.

auth = SMARTAuth(settings, on_event=record)
await auth.start()                      # tables, keys, revocation feed
routes = routes.build(auth)             # mounted at /auth
principal = await auth.authenticator.authenticate(method, authorization=..., cookie=..., ...)
await auth.stop()
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from anyio import CapacityLimiter, to_thread

from smart_auth import clients, passwords
from smart_auth.assertion import ClientAuthenticator
from smart_auth.authenticate import Authenticator
from smart_auth.database import Database
from smart_auth.directory import Directory, DirectoryError, Looker, principal_of
from smart_auth.errors import InvalidTokenError, StoreUnavailableError
from smart_auth.events import OnEvent, Outcome, Who, agent, ignore
from smart_auth.grants import Grants
from smart_auth.hashing import Hashing
from smart_auth.interaction import Principal, Role
from smart_auth.jwks_fetch import KeySets
from smart_auth.keys import Keys
from smart_auth.models import Client, User
from smart_auth.revocations import Feed
from smart_auth.session import LOGIN_COOKIE, VIEWER_COOKIE, Session, Sessions
from smart_auth.settings import SMARTAuthSettings
from smart_auth.store import Redis, Store, connect
from smart_auth.throttle import Throttle
from smart_auth.tickets import Tickets
from smart_auth.tokens import Issuer, Verifier
from smart_auth.totp import SecondFactors

DATABASE_THREADS = 8
MEMORY_POLL_S = 1


class SMARTAuth:
    """The authorization server of one process."""

    def __init__(
        self,
        settings: SMARTAuthSettings,
        *,
        redis: Redis | None = None,
        on_event: OnEvent = ignore,
        report_key: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._on_event = on_event
        self._noting: asyncio.Task[None] | None = None
        self.directory: Directory | None = None  # the facade's search and read, once it has a client of HAPI
        self._owns_redis = redis is None
        self._redis = redis or connect(settings.redis_url.get_secret_value())
        self._database_threads = CapacityLimiter(DATABASE_THREADS)
        self.hashing = Hashing()
        self.database = Database(settings.database_url.get_secret_value())
        self.keys = Keys(
            settings.keys_dir, report_key=report_key, keep_s=settings.longest_token_s, clock=clock
        )
        self.feed = Feed(
            self.database, poll_s=settings.revocation_poll_s, stale_s=settings.revocation_stale_s
        )
        self.store = Store(self._redis, clock=clock)
        self.sessions = Sessions(
            self.store, self.feed, lifetime_s=settings.session_s, origin=settings.origin, clock=clock
        )
        self.verifier = Verifier(self.keys, settings.issuer, settings.audience, self.feed, clock=clock)
        self.authenticator = Authenticator(self.verifier, self.sessions, viewer_cookie=self.viewer_cookie)
        self.tickets = Tickets(self.store, self.verifier)
        self.throttle = Throttle(
            self.database, lock_after=settings.lock_after, lock_s=settings.lock_s, clock=clock
        )
        self.second_factors = SecondFactors(self.database, self.keys.second_factor_secret, clock=clock)
        self.grants = Grants(
            settings,
            self.database,
            self.store,
            self.sessions,
            Issuer(self.keys, settings.issuer, settings.audience, clock=clock),
            self.verifier,
            self.in_thread,
            clock=clock,
        )
        self.clients = ClientAuthenticator(
            self.client,
            self.store,
            token_url=f"{settings.issuer}/token",
            key_sets=KeySets(allow_loopback=settings.jwks_loopback),
            clock=clock,
        )

    @property
    def viewer_cookie(self) -> str:
        """Name of the viewer's cookie; bound to host and TLS where there is TLS."""
        return f"__Host-{VIEWER_COOKIE}" if self.settings.is_tls else VIEWER_COOKIE

    @property
    def login_cookie(self) -> str:
        """Name of the login cookie."""
        return f"__Secure-{LOGIN_COOKIE}" if self.settings.is_tls else LOGIN_COOKIE

    async def start(self) -> None:
        """Bring the tables up to date and start following revocations."""
        await self.in_thread(self.database.migrate)
        await self.in_thread(passwords.nobody)
        await self.in_thread(self.feed.start)
        self._noting = asyncio.create_task(self._note_memory())

    async def _note_memory(self) -> None:
        """Note since when Redis remembers as soon as it does: were it noted by the first question only, the
        first back end after a Redis that came back empty would be taken for a replay.
        """
        while True:
            with suppress(StoreUnavailableError):
                await self.store.remembers_since()
            await asyncio.sleep(MEMORY_POLL_S)

    async def stop(self) -> None:
        """Stop the feed and close what was opened."""
        if self._noting is not None:
            self._noting.cancel()
        await self.in_thread(self.feed.stop)
        self.database.close()
        if self._owns_redis:
            await self._redis.aclose()

    async def in_thread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a database call off the event loop."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._database_threads)

    async def client(self, client_id: str) -> Client | None:
        """An active client."""
        client: Client | None = await self.in_thread(clients.get, self.database, client_id)
        return client

    def looker(self, session: Session, address: str | None) -> Looker:
        """Looks patients and visits up in the name of this person."""
        if self.directory is None:
            raise DirectoryError
        return Looker(self.directory, principal_of(session, cast(Role, session.role)), address)

    async def record(
        self,
        kind: str,
        outcome: Outcome,
        who: Who = None,
        *,
        client: str | None = None,
        address: str | None = None,
        **detail: str,
    ) -> None:
        """Tell the audit trail; an event that cannot be recorded stops the request."""
        known = agent(who, client=client, address=address)
        await self.in_thread(self._on_event, kind, known, outcome, detail)

    def recorder(self, *kinds: str, who: Who, address: str | None, **detail: str) -> Callable[[User], None]:
        """What `users` calls in its worker thread, inside the transaction, about the user who is changed."""

        def record(target: User) -> None:
            about = {"target": target.id, "role": target.role, **detail}
            for kind in kinds:
                self._on_event(kind, agent(who, address=address), "success", about)

        return record

    def is_valid(self, principal: Principal) -> bool:
        """Whether a caller verified earlier still has their rights; StaleRevocationsError when unknown."""
        try:
            self.verifier.check(principal)
        except InvalidTokenError:
            return False
        return True
