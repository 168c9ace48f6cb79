"""The WebSocket tells each caller what that caller may know, and ends when the rights end.

Real Redis, real server of the protocol, real sessions and tickets; HAPI's answers are given by a transport.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from redis.asyncio import Redis
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from facade import circuit, hub
from facade.arrival import Arrival
from facade.audit.spool import Spool, decode
from facade.hapi import HAPIClient
from facade.routes import notifications
from facade.state import Services
from smart_auth import routes as auth_routes
from smart_auth import users
from smart_auth.service import SMARTAuth
from smart_auth.session import Started
from tests.facade.world import settings_of
from tests.smart_auth.flow import new_user, settings_for

pytestmark = pytest.mark.server
ORIGIN = "http://localhost:8080"


def task(number: int, version: str = "1") -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "id": f"t{number}",
        "meta": {"versionId": version},
        "status": "completed",
        "intent": "order",
        "for": {"reference": "Patient/p1"},
    }


def report(name: str, patient: str, status: str) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": name,
        "meta": {"versionId": "3"},
        "status": status,
        "code": {"text": "report"},
        "subject": {"reference": f"Patient/{patient}"},
    }


@dataclass
class Facade:
    """The route as it is served, and what stands behind it."""

    port: int
    auth: SMARTAuth
    redis: Redis
    spool: Path
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_down: bool = False
    gate: asyncio.Event | None = None
    """When set, HAPI answers reads only after it."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("down")
        path = request.url.path.removeprefix("/fhir/")
        if path == "Task":
            assert request.url.params["business-status"] == "urn:neuronova:review|awaiting-review"
            entries = [{"resource": one} for one in self.stored.values() if one["resourceType"] == "Task"]
            return httpx.Response(200, json={"resourceType": "Bundle", "entry": entries})
        if self.gate is not None:
            await self.gate.wait()
        if path not in self.stored:
            return httpx.Response(404, json={"resourceType": "OperationOutcome"})
        return httpx.Response(200, json=self.stored[path])

    def keep(self, *resources: dict[str, Any]) -> None:
        for one in resources:
            self.stored[f"{one['resourceType']}/{one['id']}"] = one

    async def session(self, name: str, role: str, **more: Any) -> Started:
        user_id = new_user(self.auth, name, role, **more)
        user = users.get(self.auth.database, user_id)
        assert user is not None
        return await self.auth.sessions.start(user)

    async def publish(self, type_: str, id_: str, version: str = "1") -> None:
        await self.redis.publish(hub.CHANNEL, json.dumps({"type": type_, "id": id_, "version": version}))

    @asynccontextmanager
    async def open(
        self, started: Started | None, *, origin: str | None = ORIGIN, query: str = ""
    ) -> AsyncIterator[ClientConnection]:
        headers = {"Cookie": f"{self.auth.viewer_cookie}={started.viewer}"} if started else {}
        if origin is not None:
            headers["Origin"] = origin
        url = f"ws://127.0.0.1:{self.port}/ws/notifications{query}"
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            yield socket

    def records(self) -> list[dict[str, Any]]:
        found = []
        for segment in sorted(self.spool.glob("*.spool")):
            for line in segment.read_bytes().rstrip(b"\0").splitlines():
                record = decode(line)
                assert record is not None
                found.append(record["event"])
        return found

    async def listening(self) -> None:
        """Until the process follows the channel."""
        async with asyncio.timeout(10):
            while not (await self.redis.pubsub_numsub(hub.CHANNEL))[0][1]:  # noqa: ASYNC110  Redis says it
                await asyncio.sleep(0.01)


@pytest.fixture
async def facade(redis_server: Any, tmp_path: Path, keys_dir: Path) -> AsyncIterator[Facade]:
    redis = Redis.from_url(redis_server.redis_url, db=10)
    await redis.flushdb()
    auth = SMARTAuth(settings_for(tmp_path, "unix:///unused", keys_dir=keys_dir), redis=redis)
    await auth.start()
    made = Facade(0, auth, redis, tmp_path / "spool")
    spool = Spool(made.spool, "facade")
    settings = settings_of(tmp_path)
    hapi = HAPIClient("http://hapi.test/fhir", "secret", transport=httpx.MockTransport(made.answer))
    services = Services(settings, hapi, auth, spool, redis, circuit.of_pixels(settings))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"services": services}

    app = Starlette(
        routes=[*notifications.routes, Mount("/auth", routes=auth_routes.build(auth))], lifespan=lifespan
    )
    server = uvicorn.Server(
        uvicorn.Config(Arrival(app), port=0, log_config=None, timeout_graceful_shutdown=2)
    )
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    made.port = server.servers[0].sockets[0].getsockname()[1]
    yield made
    server.should_exit = True
    await running
    spool.close()
    await auth.stop()
    await redis.flushdb()
    await redis.aclose()


async def told(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(5):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def closed(socket: ClientConnection, within_s: float = 5) -> int:
    """The code with which the server closes."""

    async def drain() -> None:
        while True:
            await socket.recv()

    with pytest.raises(ConnectionClosed) as ending:
        await asyncio.wait_for(drain(), within_s)
    assert ending.value.rcvd is not None
    return ending.value.rcvd.code


async def test_a_client_hears_what_it_missed_and_then_what_happens(facade: Facade) -> None:
    facade.keep(task(1), report("r1", "p1", "preliminary"))
    async with facade.open(await facade.session("doctor", "doctor")) as socket:
        assert await told(socket) == {"type": "Task", "id": "t1", "version": "1"}
        await facade.listening()
        await facade.publish("DiagnosticReport", "r1")
        assert await told(socket) == {"type": "DiagnosticReport", "id": "r1", "version": "3"}
        facade.keep(task(1, version="2"))
        await facade.publish("Task", "t1", "2")
        assert await told(socket) == {"type": "Task", "id": "t1", "version": "2"}


async def test_the_same_version_is_told_once(facade: Facade) -> None:
    facade.keep(task(1), report("r1", "p1", "final"))
    async with facade.open(await facade.session("doctor", "doctor")) as socket:
        assert (await told(socket))["id"] == "t1"
        await facade.listening()
        for _ in range(3):
            await facade.publish("Task", "t1")
        await facade.publish("DiagnosticReport", "r1")
        assert (await told(socket))["id"] == "r1"


async def test_a_patient_hears_of_released_results_of_their_own_only(facade: Facade) -> None:
    facade.keep(
        task(1),
        report("draft", "own", "preliminary"),
        report("foreign", "p1", "final"),
        report("mine", "own", "final"),
    )
    async with facade.open(await facade.session("patient", "patient")) as socket:
        await facade.listening()
        for type_, name in (
            ("Task", "t1"),
            ("DiagnosticReport", "draft"),
            ("DiagnosticReport", "foreign"),
            ("DiagnosticReport", "missing"),
            ("Patient", "own"),
            ("DiagnosticReport", "mine"),
        ):
            await facade.publish(type_, name)
        assert await told(socket) == {"type": "DiagnosticReport", "id": "mine", "version": "3"}


async def test_each_connection_and_each_delivery_is_recorded(facade: Facade) -> None:
    facade.keep(task(1))
    async with facade.open(await facade.session("doctor", "doctor")) as socket:
        await told(socket)
    opened, delivered = facade.records()
    assert opened["outcome"] == delivered["outcome"] == "0"
    targets = [entity["what"].get("reference") for entity in delivered["entity"]]
    assert targets[:2] == ["Patient/p1", "Task/t1/_history/1"]


@pytest.mark.parametrize(
    ("origin", "query", "status"),
    [
        (None, "", 403),
        ("http://evil.example", "", 403),
        ("http://localhost:8080.evil.example", "", 403),
        ("null", "", 403),
        (ORIGIN, "?access_token=x", 401),
        (ORIGIN, "?ticket=x", 400),
    ],
)
async def test_a_cookie_needs_our_exact_origin_and_nothing_in_the_url(
    facade: Facade, origin: str | None, query: str, status: int
) -> None:
    started = await facade.session("doctor", "doctor")
    with pytest.raises(InvalidStatus) as refused:
        async with facade.open(started, origin=origin, query=query):
            pass
    assert refused.value.response.status_code == status
    assert [event["outcome"] for event in facade.records()] == ["8"]


async def test_nobody_is_refused(facade: Facade) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with facade.open(None):
            pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"{}")["resourceType"] == "OperationOutcome"


async def test_a_role_that_may_know_nothing_is_refused(facade: Facade) -> None:
    started = await facade.session("lab", "lab")
    facade.keep(report("r1", "p1", "final"), task(1))
    async with facade.open(started) as socket:
        # The laboratory reads reports, but no Task.
        await facade.listening()
        await facade.publish("Task", "t1")
        await facade.publish("DiagnosticReport", "r1")
        assert (await told(socket))["type"] == "DiagnosticReport"


async def test_a_ticket_is_good_once_and_from_our_pages_only(
    facade: Facade, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    facade.keep(task(1))
    started = await facade.session("doctor", "doctor")
    headers = {
        "Cookie": f"{facade.auth.viewer_cookie}={started.viewer}",
        "Origin": ORIGIN,
        "X-CSRF-Token": started.session.csrf,
    }
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{facade.port}", headers=headers) as browser:
        tickets = [(await browser.post("/auth/ticket")).json()["ticket"] for _ in range(2)]
    async with facade.open(None, origin=None, query=f"?ticket={tickets[0]}") as socket:
        assert (await told(socket))["id"] == "t1"
    for origin, ticket in ((None, tickets[0]), ("http://evil.example", tickets[1])):
        with pytest.raises(InvalidStatus):
            async with facade.open(None, origin=origin, query=f"?ticket={ticket}"):
                pass
    assert not [line for line in caplog.messages if "ticket=" in line and "websockets.client" not in line]


async def test_logout_closes_within_a_second(facade: Facade) -> None:
    started = await facade.session("doctor", "doctor")
    async with facade.open(started) as socket:
        await facade.listening()
        begin = time.monotonic()
        await facade.auth.grants.end_session(started.session)
        assert await closed(socket) == 1008
        assert time.monotonic() - begin < 1


async def test_a_disabled_user_is_closed_within_a_second(facade: Facade) -> None:
    started = await facade.session("doctor", "doctor")
    async with facade.open(started) as socket:
        await facade.listening()
        begin = time.monotonic()
        users.set_disabled(facade.auth.database, started.session.user_id, disabled=True, actor=None)
        assert await closed(socket) == 1008
        assert time.monotonic() - begin < 1


def _unreadable() -> None:
    raise OperationalError("select", {}, OSError("gone"))


async def test_unreadable_revocations_close(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    started = await facade.session("doctor", "doctor")
    async with facade.open(started) as socket:
        await facade.listening()
        monkeypatch.setattr(facade.auth.feed, "refresh", _unreadable)
        assert await closed(socket) == 1013


async def test_a_client_that_does_not_keep_up_is_closed(facade: Facade) -> None:
    facade.gate = asyncio.Event()
    started = await facade.session("doctor", "doctor")
    async with facade.open(started) as socket:
        await facade.listening()
        for number in range(hub.QUEUE + 50):
            await facade.publish("DiagnosticReport", f"r{number}")
        assert await closed(socket) == 1013
    facade.gate.set()


async def test_hapi_down_closes_so_that_the_next_connection_hears_it(facade: Facade) -> None:
    facade.keep(report("r1", "p1", "final"))
    started = await facade.session("doctor", "doctor")
    async with facade.open(started) as socket:
        await facade.listening()
        await facade.publish("DiagnosticReport", "r1")
        assert (await told(socket))["id"] == "r1"
        facade.is_down = True
        await facade.publish("DiagnosticReport", "r2")
        assert await closed(socket) == 1013
    facade.is_down = False
    facade.keep(task(7))
    async with facade.open(started) as socket:
        assert (await told(socket))["id"] == "t7"


async def test_a_lost_redis_connection_is_made_up_for(facade: Facade) -> None:
    facade.keep(task(1))
    async with facade.open(await facade.session("doctor", "doctor")) as socket:
        assert (await told(socket))["id"] == "t1"
        await facade.listening()
        facade.keep(task(2))
        await facade.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert (await told(socket))["id"] == "t2"


async def test_a_client_that_talks_is_closed(facade: Facade) -> None:
    async with facade.open(await facade.session("doctor", "doctor")) as socket:
        await socket.send("hello")
        assert await closed(socket) == 1003


async def test_one_person_cannot_take_all_connections(facade: Facade) -> None:
    started = await facade.session("doctor", "doctor")
    opened = [facade.open(started) for _ in range(notifications.CONNECTIONS_MOST)]
    for one in opened:
        await one.__aenter__()
    with pytest.raises(InvalidStatus) as refused:
        async with facade.open(started):
            pass
    assert refused.value.response.status_code == 429
    for one in opened:
        await one.__aexit__(None, None, None)
