"""What HAPI has answered for, and what waits for it, is there after kill -9."""

import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field

import httpx
import pytest

from tests.facade.audit import shipping
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server
BEFORE, AFTER = 60, 20


@dataclass
class Killed:
    """What was written around the kill."""

    stack: Stack
    acknowledged: list[str] = field(default_factory=list)
    """Ids of patients."""
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Audit records: `run` while HAPI was there, `run` and `b` while it was not."""


@pytest.fixture(scope="module")
def killed(servers: Stack) -> Killed:
    """HAPI, killed while patients and events of the trail were written, and ready again."""
    stack = servers.need("hapi", "audit-shipper")
    around = Killed(stack)
    enough = threading.Event()

    def write(number: int) -> None:
        with _client(stack) as client:
            for count in range(10_000):
                name = [{"family": f"Demo{number}", "given": [str(count)]}]
                try:
                    answer = client.post("/Patient", json={"resourceType": "Patient", "name": name})
                except httpx.TransportError:
                    return
                if answer.status_code != httpx.codes.CREATED:
                    return
                around.acknowledged.append(answer.json()["id"])
                if len(around.acknowledged) >= BEFORE:
                    enough.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    shipping.write(stack, around.run, BEFORE)
    stack.kill("hapi")
    for writer in writers:
        writer.join()
    shipping.write(stack, f"{around.run}b", AFTER)
    stack.wait_ready("hapi")
    return around


def test_every_acknowledged_write_survives(killed: Killed) -> None:
    with _client(killed.stack) as client:
        answers = {id_: client.get(f"/Patient/{id_}").status_code for id_ in killed.acknowledged}
    assert len(answers) >= BEFORE
    assert set(answers.values()) == {httpx.codes.OK}


async def test_the_trail_loses_nothing_and_has_nothing_twice(killed: Killed) -> None:
    wait_for(lambda: shipping.drained(killed.stack), "the spool to be shipped", timeout_s=120)
    async with shipping.client(killed.stack) as store:
        for run, count in ((killed.run, BEFORE), (f"{killed.run}b", AFTER)):
            events = await shipping.events_of(store, run)
            found = Counter(event["entity"][-1]["what"]["identifier"]["value"] for event in events)
            assert len(found) == count
            assert set(found.values()) == {1}
    assert (await shipping.check(killed.stack)).is_whole


def _client(stack: Stack) -> httpx.Client:
    headers = {"X-NeuroNova-Secret": stack.secrets["hapi-facade"]}
    return httpx.Client(base_url=stack.hapi_url, headers=headers, timeout=30)
