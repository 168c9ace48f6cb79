"""Dead letters by the operator's command, in a real Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from subscriptions.lease import Leases
from subscriptions.queue import JobQueue, connect

pytestmark = pytest.mark.server


@pytest.fixture
def redis_url(redis_server: Any) -> Iterator[str]:
    url = f"{redis_server.redis_url}?db=9"
    with Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def installation(var: Path, redis_url: str) -> Path:
    (var / "etc" / "env" / "scheduler.env").write_text(
        "SUBSCRIPTIONS_HAPI_URL='http://127.0.0.1:1/fhir'\n"
        "SUBSCRIPTIONS_HAPI_SECRET='x'\n"
        f"SUBSCRIPTIONS_REDIS_URL='{redis_url}'\n"
        "SUBSCRIPTIONS_RECEIVER_SECRET='x'\n"
        f"SUBSCRIPTIONS_SPOOL_DIR='{var}/spool'\n"
        f"SUBSCRIPTIONS_STATE_DIR='{var}/state'\n"
        "SUBSCRIPTIONS_BASE_URL='http://localhost:8080'\n"
    )
    return var


def dead_letter(redis_url: str, arguments: tuple[str, ...]) -> str:
    """A job that failed for good, by RQ's own books."""
    with connect(redis_url) as client:
        queue = JobQueue(client, Leases(client, 30))
        queue.enqueue("notify", *arguments)
        (job_id,) = [key.decode() for key in client.lrange("rq:queue:notify", 0, -1)]
        client.lrem("rq:queue:notify", 0, job_id)
        job = Job.fetch(job_id, connection=client, serializer=JSONSerializer)
        job.set_status("failed")
        job.meta["reason"] = "it was refused"
        job.save_meta()
        FailedJobRegistry("notify", connection=client, serializer=JSONSerializer).add(job, ttl=3600)
    return job_id


def test_a_dead_letter_is_listed_replayed_and_discarded(run: Any, installation: Path, redis_url: str) -> None:
    job_id = dead_letter(redis_url, ("Task", "t1", "1"))
    listed = json.loads(run("jobs", "list", "--json").stdout)
    assert [(one["id"], one["job"], one["reason"]) for one in listed["dead"]] == [
        (job_id, "notify", "it was refused")
    ]
    done = run("jobs", "replay", job_id)
    assert done.exit_code == 0, done.output
    listed = json.loads(run("jobs", "list", "--json").stdout)
    assert (listed["dead"], listed["waiting"]["notify"]) == ([], 1)
    other = dead_letter_again(redis_url)
    assert run("jobs", "discard", "--all").exit_code == 0
    assert json.loads(run("jobs", "list", "--json").stdout)["dead"] == []
    assert other


def dead_letter_again(redis_url: str) -> str:
    """Another one, with an empty queue."""
    with connect(redis_url) as client:
        client.delete("rq:queue:notify")
    return dead_letter(redis_url, ("Task", "t2", "1"))


def test_an_unknown_id_is_refused(run: Any, installation: Path) -> None:
    done = run("jobs", "replay", "notify__Task__t9__1_a1")
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_redis_down_is_one_sentence(run: Any, installation: Path) -> None:
    path = installation / "etc" / "env" / "scheduler.env"
    path.write_text(
        path.read_text().replace("SUBSCRIPTIONS_REDIS_URL='", "SUBSCRIPTIONS_REDIS_URL='unix:///no")
    )
    done = run("jobs", "list")
    assert done.exit_code == 1
    assert done.stderr.startswith("neuronova: ")
