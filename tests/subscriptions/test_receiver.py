"""The receiver as HAPI sees it; Redis is real, HAPI is not needed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from starlette.types import Receive, Scope, Send

from subscriptions.app import create
from subscriptions.names import SECRET_HEADER, WAKE_CHANNEL
from subscriptions.settings import SubscriptionsSettings
from subscriptions.topics import TOPICS

pytestmark = pytest.mark.server

SECRET = "s" * 32
WITH_SECRET = {SECRET_HEADER: SECRET, "If-Match": 'W/"3"'}


def _settings(directory: Path, redis_url: str) -> SubscriptionsSettings:
    return SubscriptionsSettings(
        hapi_url="http://127.0.0.1:9/fhir",
        hapi_secret="h" * 32,
        redis_url=redis_url,
        receiver_secret=SECRET,
        spool_dir=directory,
        base_url="http://localhost",
    )


@pytest.fixture
async def client(tmp_path: Path, own_redis: Any, connection: redis.Redis) -> AsyncIterator[httpx.AsyncClient]:
    application = create(_settings(tmp_path, own_redis.url))
    async with application.router.lifespan_context(application) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await application(scope | {"state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            yield client


def _queued(connection: redis.Redis, name: str) -> list[bytes]:
    return list(connection.lrange(f"rq:queue:{name}", 0, -1))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_notification_becomes_a_job_and_the_answer_is_empty(
    client: httpx.AsyncClient, connection: redis.Redis, method: str
) -> None:
    answer = await client.request(
        method, "/hooks/study-available/ImagingStudy/a.b-1", headers=WITH_SECRET, json={"id": "ignored"}
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert _queued(connection, "inference") == [b"propose_inference__a_pb-1__3_a1"]


async def test_a_repeated_delivery_makes_no_second_job(
    client: httpx.AsyncClient, connection: redis.Redis
) -> None:
    for _ in range(2):
        await client.put("/hooks/patient/Patient/p", headers=WITH_SECRET)
    assert _queued(connection, "openemr") == [b"sync_openemr__Patient__p__3_a1"]


@pytest.mark.parametrize("secret", [None, "", "t" * 32, SECRET + "x", "\u00e9"])
async def test_without_the_secret_nothing_is_taken(
    client: httpx.AsyncClient, connection: redis.Redis, secret: str | None
) -> None:
    headers = {} if secret is None else {SECRET_HEADER: secret.encode("latin-1")}
    for path in ("/hooks/patient/Patient/p", "/wake"):
        assert (await client.post(path, headers=headers)).status_code == 403
    assert _queued(connection, "openemr") == []


@pytest.mark.parametrize(
    "path",
    [
        "/hooks/audit/AuditEvent/a",
        "/hooks/patient/Practitioner/p",
        "/hooks/patient/Patient/a_b",
        "/hooks/patient/Patient/" + "a" * 65,
    ],
)
async def test_what_is_no_topic_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.put(path, headers=WITH_SECRET)).status_code == 404


async def test_without_redis_hapi_is_told_to_try_again(
    client: httpx.AsyncClient, connection: redis.Redis, own_redis: Any
) -> None:
    own_redis.kill()
    try:
        assert (await client.put("/hooks/patient/Patient/p", headers=WITH_SECRET)).status_code == 503
        assert (await client.post("/wake", headers=WITH_SECRET)).status_code == 503
    finally:
        own_redis.start()
    assert (await client.put("/hooks/patient/Patient/p", headers=WITH_SECRET)).status_code == 204


async def test_a_wake_up_reaches_ingest(client: httpx.AsyncClient, connection: redis.Redis) -> None:
    with connection.pubsub() as channel:
        channel.subscribe(WAKE_CHANNEL)
        assert channel.get_message(timeout=2)
        assert (await client.post("/wake", headers=WITH_SECRET)).status_code == 204
        message = channel.get_message(timeout=2)
    assert message is not None
    assert message["type"] == "message"


def test_every_topic_asks_for_jobs_of_the_table() -> None:
    from subscriptions.catalogue import JOBS, checked_arguments

    for topic in TOPICS.values():
        for name, *arguments in topic.calls(topic.type, "id-1", "1"):
            assert checked_arguments(JOBS[name], arguments)
        assert "AuditEvent" not in topic.criteria
        assert topic.criteria.startswith(f"{topic.type}?")
