"""`/ws/notifications`: who may know of a change hears that it happened: type, id and version, nothing else.

A caller comes with the viewer's cookie (exact Origin) or with a one-time ticket of 30 s from `POST
/auth/ticket` (`?ticket=`; a browser's Origin must be ours here too). A token never stands in a URL. Each
message is decided and recorded at the moment of its delivery, on the resource as HAPI has it then. The
connection ends within a second of logout or revocation. On connecting, and after every gap, the client
hears of the Tasks that await a review. Close codes (RFC 6455 section 7.4.1): 1008 rights have ended, 1013
come again (too slow, or a system is down), 1003 the client sent something. Pings are the server's (uvicorn,
every 20 s).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Final
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from facade import log as logs
from facade.access import address
from facade.audit.errors import AuditError
from facade.audit.event import audit_event
from facade.errors import FacadeError, HAPIError, HAPIGoneError, HAPINotFoundError, RefusedError
from facade.gate import Gate, who
from facade.hub import GAP, Change, Hub, Listener
from facade.outcome import code_of, response
from facade.state import services
from smart_auth.authenticate import cookies
from smart_auth.compartment import patient_of
from smart_auth.errors import CrossSiteError, MixedCredentialsError, NoCredentialsError, SMARTAuthError
from smart_auth.interaction import Interaction, Principal

log = logging.getLogger(__name__)

PATH: Final = "/ws/notifications"
MISSED_MOST: Final = 200  # newest Tasks that a connecting client hears of
CONNECTIONS_MOST: Final = 10  # of one person or back end, in one process
_VALID_S: Final = 0.1  # with the revocation feed's 0.5 s this keeps the promise of one second
_ALIVE_S: Final = 0.5
_SEND_S: Final = 5.0
_SENT_MOST: Final = 1000
_AWAITING = (
    ("code", "urn:neuronova:task|ai-inference"),
    ("business-status", "urn:neuronova:review|awaiting-review"),
    ("_sort", "-_lastUpdated"),
)


class _QuietFilter(logging.Filter):
    """Keeps two lines of uvicorn out of the log.

    One prints the address with its query, and so the ticket. The other calls every refused handshake an error
    (uvicorn 0.54, websockets_sansio_impl.py: a denial response never sets `handshake_complete`).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """False for those two."""
        said = str(record.msg)
        return '"WebSocket ' not in said and "without completing handshake" not in said


logging.getLogger("uvicorn.error").addFilter(_QuietFilter())


class _CloseError(Exception):
    """The connection ends, with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


# One hub for each Redis client, which is one for a process.
_HUBS: WeakKeyDictionary[Redis, Hub] = WeakKeyDictionary()


async def notifications(websocket: WebSocket) -> None:
    """One connection, from the handshake to its end."""
    await _Connection(websocket).serve()


routes = [WebSocketRoute(PATH, notifications)]


class _Connection:
    """One client."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._services = services(websocket)
        self._auth = self._services.auth
        self._hub = _HUBS.setdefault(self._services.redis, Hub(self._services.redis))
        self._address = address(websocket)
        self._sent: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def serve(self) -> None:
        """From the handshake to the end."""
        principal: Principal | None = None
        try:
            principal = await self._caller()
            gate = await Gate.enter(self._services, principal, self._address)
            gate.decide(Interaction("websocket"))
            if self._hub.count(_owner(principal)) >= CONNECTIONS_MOST:
                raise HTTPException(429)
            await gate.record(Interaction("websocket"))
        except (FacadeError, SMARTAuthError, AuditError, HTTPException, RedisError) as error:
            await self._refuse(error, principal)
            return
        await self._websocket.accept()
        try:
            async with self._hub.listener(_owner(principal)) as listener:
                await self._run(principal, listener)
        except _CloseError as ending:
            await self._close(ending)
        except WebSocketDisconnect:
            return

    async def _caller(self) -> Principal:
        headers, query = self._websocket.headers, self._websocket.query_params.multi_items()
        origin = headers.get("origin")
        ours = self._services.settings.base_url
        tickets = [value for name, value in query if name == "ticket"]
        if len(query) != len(tickets) or len(tickets) > 1 or headers.get("authorization"):
            # A token in a URL would end up in histories and logs.
            raise NoCredentialsError
        if origin is not None and origin != ours:
            raise CrossSiteError
        if tickets:
            if cookies(headers.get("cookie")).get(self._auth.viewer_cookie):
                raise MixedCredentialsError
            return await self._auth.tickets.redeem(tickets[0])
        if origin is None:
            # A browser always sends it; with a cookie nothing else tells our own pages from others.
            raise CrossSiteError
        return (await self._auth.authenticator.session(headers.get("cookie"))).principal()

    async def _refuse(self, error: Exception, principal: Principal | None) -> None:
        reason = f"{code_of(error)} {error.reason}" if isinstance(error, RefusedError) else code_of(error)
        answer = error
        try:
            await self._services.spool.write(
                audit_event(
                    interaction="websocket",
                    action="E",
                    who=who(principal, self._address),
                    outcome="8",
                    reason=reason,
                    request_id=logs.request_id.get() or "",
                )
            )
        except AuditError as unrecorded:
            answer = unrecorded
        await self._websocket.send_denial_response(
            response(answer, self._websocket.headers.get("accept-language"))
        )

    async def _run(self, principal: Principal, listener: Listener) -> None:
        """Until one of the parts ends; each of them ends by _CloseError or when the client has gone."""
        tasks = [
            asyncio.create_task(part)
            for part in (self._tell(principal, listener), self._watch(principal, listener), self._listen())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, principal: Principal, listener: Listener) -> None:
        while True:
            item = await listener.queue.get()
            try:
                changes = await self._missed(principal) if item == GAP else [item]
                for change in changes:
                    if isinstance(change, Change):
                        await self._deliver(principal, change)
            except (HAPIError, SMARTAuthError, AuditError) as error:
                # Better closed than silent: the next connection hears of what this one missed.
                raise _CloseError(1013, code_of(error)) from error

    async def _missed(self, principal: Principal) -> list[Change]:
        gate = Gate(self._services, principal, self._address)
        if not gate.may(Interaction("websocket", "Task", "any")).allowed:
            return []
        page = await self._services.hapi.search("Task", _AWAITING, count=MISSED_MOST)
        tasks = [entry["resource"] for entry in page.get("entry", []) if "resource" in entry]
        return [Change("Task", task["id"], task["meta"]["versionId"]) for task in reversed(tasks)]

    async def _deliver(self, principal: Principal, change: Change) -> None:
        """Tell of one change, if this caller may know of it now."""
        if not self._auth.is_valid(principal):
            raise _CloseError(1008, "rights have ended")
        gate = await Gate.enter(self._services, principal, self._address)
        interaction = Interaction("websocket", change.type, change.id)
        decision = gate.may(interaction)
        if not decision.allowed:
            return
        try:
            resource = await self._services.hapi.read(change.type, change.id)
        except (HAPINotFoundError, HAPIGoneError):
            return
        if decision.confirm and not await gate.confirm(decision, resource):
            return
        # The version that was decided on; a change in between has a message of its own.
        version = str(resource["meta"]["versionId"])
        key = (change.type, change.id)
        if self._sent.get(key) == version:
            return
        patient = patient_of(resource)
        await gate.record(
            interaction,
            what=[f"{change.type}/{change.id}/_history/{version}"],
            patients=[f"Patient/{patient}" if patient else None],
        )
        try:
            async with asyncio.timeout(_SEND_S):
                await self._websocket.send_json({"type": change.type, "id": change.id, "version": version})
        except TimeoutError:
            raise _CloseError(1013, "too slow") from None
        self._sent[key] = version
        self._sent.move_to_end(key)
        if len(self._sent) > _SENT_MOST:
            self._sent.popitem(last=False)

    async def _watch(self, principal: Principal, listener: Listener) -> None:
        """End when the rights end, or when the client does not keep up."""
        loop = asyncio.get_running_loop()
        ask_at = loop.time() + _ALIVE_S
        while True:
            try:
                async with asyncio.timeout(_VALID_S):
                    await listener.is_behind.wait()
                raise _CloseError(1013, "too slow")
            except TimeoutError:
                pass
            try:
                is_valid = self._auth.is_valid(principal)
                if is_valid and principal.session and loop.time() >= ask_at:
                    ask_at = loop.time() + _ALIVE_S
                    is_valid = await self._auth.sessions.is_alive(principal.jti)
            except SMARTAuthError as error:
                # Revocations or sessions cannot be read: nobody knows whether the rights still hold.
                raise _CloseError(1013, code_of(error)) from error
            if not is_valid:
                raise _CloseError(1008, "rights have ended")

    async def _listen(self) -> None:
        """A client has nothing to say; what comes is its end, or a mistake."""
        message = await self._websocket.receive()
        if message["type"] != "websocket.disconnect":
            raise _CloseError(1003, "nothing is expected from the client")

    async def _close(self, ending: _CloseError) -> None:
        log.info("notifications closed", extra={"close_code": ending.code, "reason": ending.reason})
        try:
            async with asyncio.timeout(_SEND_S):
                await self._websocket.close(ending.code, ending.reason)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            # The client has gone already, or takes nothing any more.
            return


def _owner(principal: Principal) -> str:
    return principal.user_id or principal.client_id
