"""The trail on the real store: the supervised shipper, killed again and again, and what verification then
says.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool
from facade.hapi import HAPIClient
from tests.facade.audit.shipping import check, client, drained, events_of, write
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server
RECORDS = 320
KILLS = 4


@pytest.fixture(scope="module")
def shipping(servers: Stack) -> Stack:
    """HAPI and the shipper."""
    return servers.need("hapi", "audit-shipper")


@pytest.fixture
async def store(shipping: Stack) -> AsyncIterator[HAPIClient]:
    """HAPI with the shipper's secret."""
    async with client(shipping) as opened:
        yield opened


async def test_kill_9_of_the_shipper_leaves_each_record_once_in_an_unbroken_trail(
    shipping: Stack, store: HAPIClient
) -> None:
    run = uuid.uuid4().hex[:12]
    for turn in range(KILLS):
        # Either the batch is under way to HAPI, or its success has just been noted.
        file = shipping.var / "audit" / ("next.json" if turn % 2 else "state.json")
        before = _written(file)
        write(shipping, f"{run}{turn}", RECORDS // KILLS)
        wait_for(lambda file=file, before=before: _written(file) != before, "the shipper to be at work")
        shipping.kill("audit-shipper")
        wait_for(lambda: shipping.pid("audit-shipper") > 0, "the next shipper")
    shipping.wait_ready("audit-shipper")
    wait_for(lambda: drained(shipping), "the spool to be shipped", timeout_s=120)
    found: Counter[str] = Counter()
    async for event in store.search_all("AuditEvent", []):
        name = event["entity"][-1]["what"]["identifier"]["value"]
        if name.startswith(run):
            found[name] += 1
    assert len(found) == RECORDS
    assert set(found.values()) == {1}
    report = await check(shipping)
    assert report.is_whole, report.first_break


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


async def test_references_are_literal_only_to_what_exists(shipping: Stack, store: HAPIClient) -> None:
    async with HAPIClient(shipping.hapi_url, shipping.secrets["hapi-facade"]) as facade:
        patient = await facade.create(
            {"resourceType": "Patient", "name": [{"family": "Demo", "given": ["One"]}]}
        )
    run = uuid.uuid4().hex[:12]
    reference = f"Patient/{patient['id']}"
    write(shipping, run, 1, patient=reference, what=["ImagingStudy/never-existed", "Foo/1", "Patient/../x"])
    wait_for(lambda: drained(shipping), "the spool to be shipped", timeout_s=60)
    (event,) = await events_of(store, run)
    targets = [entity["what"] for entity in event["entity"]]
    assert targets[0]["reference"] == reference
    assert [target["identifier"]["value"] for target in targets[1:4]] == [
        "ImagingStudy/never-existed",
        "Foo/1",
        "Patient/../x",
    ]
    found = await store.search("AuditEvent", [("patient", reference)])
    assert event["id"] in [entry["resource"]["id"] for entry in found["entry"]]


async def test_nobody_changes_or_deletes_an_event(shipping: Stack, store: HAPIClient) -> None:
    run = uuid.uuid4().hex[:12]
    write(shipping, run, 1)
    wait_for(lambda: drained(shipping), "the spool to be shipped", timeout_s=60)
    (event,) = await events_of(store, run)
    changed = {name: value for name, value in event.items() if name != "meta"} | {"outcome": "4"}
    for caller in ("hapi-shipper", "hapi-facade", "hapi-workers", "hapi-receiver"):
        async with HAPIClient(shipping.hapi_url, shipping.secrets[caller]) as hapi:
            path = f"AuditEvent/{event['id']}"
            assert (await hapi.send("PUT", path, json=changed)).status_code == 403
            assert (await hapi.send("DELETE", path)).status_code == 403
            if caller != "hapi-shipper":
                new = {name: value for name, value in changed.items() if name != "id"}
                assert (await hapi.send("POST", "AuditEvent", json=new)).status_code == 403
    assert (await store.read("AuditEvent", event["id"]))["meta"]["versionId"] == "1"


async def test_nginxs_word_on_a_passed_answer_is_joined(servers: Stack, store: HAPIClient) -> None:
    stack = servers.need("nginx", "hapi", "audit-shipper")
    # A worker of nginx loses the first word after the shipper was started again: only then it connects anew.
    async with asyncio.timeout(50):
        while True:
            async with httpx.AsyncClient(base_url=stack.base_url, timeout=30) as browser:
                answer = await browser.get("/fhir/metadata")
            events = await passed(stack, store, answer.headers["x-request-id"])
            if events:
                break
    (event,) = events
    details = {one["type"]: one["valueString"] for one in event["entity"][-1]["detail"]}
    assert details["http-status"] == str(answer.status_code)
    assert int(details["body-bytes"]) == len(answer.content)


async def passed(stack: Stack, store: HAPIClient, request_id: str) -> list[dict[str, Any]]:
    """Record a passed answer, and what is told of it within seconds (a minute without the word of nginx)."""
    spool = Spool(stack.var / "spool", "facade")
    who = Who(None, "doctor", "test")
    spool.write_sync(audit_event(interaction="read", action="R", who=who, request_id=request_id, passed=True))
    spool.close()
    for _ in range(25):
        if events := await told(store, request_id):
            return events
        await asyncio.sleep(0.2)
    return []


async def told(store: HAPIClient, request_id: str) -> list[dict[str, Any]]:
    """Events of a request with what nginx said of its answer, among the newest."""
    newest = await store.search("AuditEvent", [("_sort", "-_lastUpdated")], count=50)
    resources = [entry["resource"] for entry in newest.get("entry", [])]
    return [
        resource
        for resource in resources
        if resource["entity"][-1]["what"]["identifier"]["value"] == request_id
        and "detail" in resource["entity"][-1]
    ]


class Tampered(httpx.AsyncBaseTransport):
    """HAPI as it would answer if somebody had been at its database."""

    def __init__(self, change: Any) -> None:
        self._real = httpx.AsyncHTTPTransport()
        self._change = change

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._real.handle_async_request(request)
        await answer.aread()
        await answer.aclose()
        body = orjson.loads(answer.content)
        body["entry"] = self._change(body.get("entry", []))
        return httpx.Response(answer.status_code, json=body)

    async def aclose(self) -> None:
        await self._real.aclose()


async def test_tampering_with_the_store_is_named(shipping: Stack, store: HAPIClient) -> None:
    write(shipping, uuid.uuid4().hex[:12], 30)
    wait_for(lambda: drained(shipping), "the spool to be shipped", timeout_s=60)
    whole = await check(shipping)
    assert whole.is_whole, whole.first_break
    middle, last = f"ae-{whole.events // 2:012d}", f"ae-{whole.events:012d}"

    def is_(entry: dict[str, Any], name: str) -> bool:
        return bool(entry["resource"]["id"] == name)

    def changed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for entry in entries:
            if is_(entry, middle):
                entry["resource"]["agent"][0]["role"][0]["coding"][0]["code"] = "nurse"
        return entries

    cases = {
        ("changed", middle): changed,
        ("missing", middle): lambda entries: [entry for entry in entries if not is_(entry, middle)],
        ("truncated", last): lambda entries: [entry for entry in entries if not is_(entry, last)],
    }
    for (kind, name), change in cases.items():
        found = (await check(shipping, Tampered(change))).first_break
        assert found is not None, kind
        assert (found.kind, found.event) == (kind, name)


async def test_a_stop_anchors_the_head(shipping: Stack) -> None:
    write(shipping, uuid.uuid4().hex[:12], 3)
    wait_for(lambda: drained(shipping), "the spool to be shipped", timeout_s=60)
    shipping.stop("audit-shipper")
    anchors = shipping.var / "audit" / "anchors.jsonl"
    state = shipping.var / "audit" / "state.json"

    def is_anchored() -> bool:
        if not anchors.exists():
            return False
        newest = orjson.loads(anchors.read_bytes().splitlines()[-1])
        return bool(newest["hash"] == orjson.loads(state.read_bytes())["hash"])

    wait_for(is_anchored, "the head to be anchored")
    shipping.start("audit-shipper")
