"""Way out: the WebSocket. A change in another's record, or in what is not released, is told to nobody."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from facade import hub
from facade.routes.notifications import PATH
from smart_auth.policy import NOTIFIED
from tests.escape.inside import InsideDoor
from tests.escape.suite import Suite

pytestmark = pytest.mark.server
_LABELS = {"DiagnosticReport": "report", "ImagingStudy": "study", "Task": "task"}


@asynccontextmanager
async def listening(door: InsideDoor, token: dict[str, str]) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """One connection by a ticket, over ASGI; what the server sends comes through the queue."""
    answer = await door.send("POST", "/auth/ticket", token, b"")
    ticket = json.loads(answer.body)["ticket"]
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": f"ticket={ticket}".encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost:8080")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 8080),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    ended, sent = asyncio.Event(), asyncio.Queue[dict[str, Any]]()
    given = iter([{"type": "websocket.connect"}])

    async def receive() -> Any:
        if (message := next(given, None)) is not None:
            return message
        await ended.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Any) -> None:
        await sent.put(message)

    running = asyncio.ensure_future(door.world.app(scope, receive, send))
    assert (await sent.get())["type"] == "websocket.accept"
    yield sent
    ended.set()
    await running


@pytest.mark.parametrize("token", ["patient", "external"])
async def test_nothing_of_another_record_is_told(escape: Suite, token: str) -> None:
    door, caller = cast(InsideDoor, escape.door), escape.callers[token]
    names = caller.case.world
    redis = door.world.services.redis
    hidden = [(type_, names[f"foreign.{label}"]) for type_, label in _LABELS.items()]
    hidden += [("Task", names["draft.task"]), ("ImagingStudy", names["draft.incomplete"][:64])]
    hidden += [("DiagnosticReport", names["draft.preliminary"]), ("Patient", names["foreign.patient"])]
    own = {"type": "DiagnosticReport", "id": names["own.report"], "version": "1"}
    async with listening(door, dict(caller.world)) as sent, asyncio.timeout(30):
        while not (await redis.pubsub_numsub(hub.CHANNEL))[0][1]:  # noqa: ASYNC110  Redis says it
            await asyncio.sleep(0.01)
        for type_, id_ in hidden:
            await redis.publish(hub.CHANNEL, json.dumps({"type": type_, "id": id_, "version": "1"}))
        await redis.publish(hub.CHANNEL, json.dumps(own))
        told = [await sent.get()]
        assert json.loads(told[0]["text"]) == own
        assert sent.empty()
    assert set(_LABELS) == set(NOTIFIED)
