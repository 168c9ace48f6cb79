import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from facade import log
from facade.audit.spool import Spool, decode
from facade.hapi import HAPIClient
from subscriptions.errors import AuditUnavailableError, InputChangedError
from subscriptions.trail import Trail, follow

REQUEST = "ab" * 16


@pytest.fixture(autouse=True)
def request_id() -> Iterator[None]:
    token = log.request_id.set(REQUEST)
    yield
    log.request_id.reset(token)


def _events(directory: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted(directory.glob("*.spool")) for line in path.read_bytes().splitlines()]
    return [record["event"] for record in map(decode, lines) if record is not None]


async def test_an_intent_is_durable_before_the_work_and_the_outcome_follows(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "worker-test")
    async with Trail(spool, "worker-test").around(
        "transcode", "U", what=["urn:oid:1.2"], patient="Patient/p", detail={"instances": "3"}
    ):
        (intent,) = _events(tmp_path)
        assert "intent" in json.dumps(intent)
    spool.close()
    intent, outcome = _events(tmp_path)
    assert (intent["outcome"], outcome["outcome"]) == ("0", "0")
    for event in (intent, outcome):
        text = json.dumps(event)
        assert REQUEST in text
        assert "Patient/p" in text
        assert "worker-test" in text


async def test_a_failure_is_recorded_by_its_code(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "worker-test")
    with pytest.raises(InputChangedError):
        async with Trail(spool, "worker-test").around("ai-run", "E", what=["Task/1"], patient=None):
            raise InputChangedError
    spool.close()
    _, outcome = _events(tmp_path)
    assert outcome["outcome"] == "8"
    assert outcome["outcomeDesc"] == "input-changed"


async def test_without_the_spool_nothing_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    trail = Trail(Spool(tmp_path / "file", "worker-test"), "worker-test")
    done = False
    with pytest.raises(AuditUnavailableError):
        async with trail.around("transcode", "U", what=[], patient=None):
            done = True
    assert not done


async def test_the_request_id_goes_from_resource_to_resource() -> None:
    sent: list[dict[str, Any]] = []

    def hapi(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(201, content=request.content)

    async with HAPIClient("http://hapi/fhir", "s", transport=httpx.MockTransport(hapi)) as client:
        await client.create({"resourceType": "Task", "meta": {"versionId": "3"}})
        await client.transaction(
            {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Task"}}]}
        )
    sources = [sent[0]["meta"]["source"], sent[1]["entry"][0]["resource"]["meta"]["source"]]
    assert sources == [f"urn:neuronova:request:{REQUEST}"] * 2
    log.request_id.set("cd" * 16)
    # HAPI adds what it kept of X-Request-ID behind a "#".
    follow({"meta": {"source": f"{sources[0]}#{REQUEST[:16]}"}})
    assert log.request_id.get() == REQUEST
    follow({"meta": {"source": "#QvJXTr0maUU3n3nB"}})
    assert log.request_id.get() == REQUEST
