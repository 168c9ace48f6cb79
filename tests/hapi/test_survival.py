"""What HAPI has answered for is there after kill -9."""

import threading

import httpx
import pytest

from tests.servers.stack import Stack

pytestmark = pytest.mark.server


def test_every_acknowledged_write_survives_kill_9(hapi: Stack) -> None:
    acknowledged: list[str] = []
    enough = threading.Event()

    def write(number: int) -> None:
        with _client(hapi) as client:
            for count in range(10_000):
                name = [{"family": f"Demo{number}", "given": [str(count)]}]
                try:
                    answer = client.post("/Patient", json={"resourceType": "Patient", "name": name})
                except httpx.TransportError:
                    return
                if answer.status_code != httpx.codes.CREATED:
                    return
                acknowledged.append(answer.json()["id"])
                if len(acknowledged) >= 60:
                    enough.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    hapi.kill("hapi")
    for writer in writers:
        writer.join()
    hapi.wait_ready("hapi")

    with _client(hapi) as client:
        lost = [id_ for id_ in acknowledged if client.get(f"/Patient/{id_}").status_code != httpx.codes.OK]
    assert lost == []


def _client(stack: Stack) -> httpx.Client:
    headers = {"X-NeuroNova-Secret": stack.secrets["hapi-facade"]}
    return httpx.Client(base_url=stack.hapi_url, headers=headers, timeout=30)
