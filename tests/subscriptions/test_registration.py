"""Registering the Subscriptions in a real HAPI."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facade.hapi import HAPIClient
from subscriptions.registration import register
from subscriptions.topics import TOPICS
from tests.servers.stack import Stack

pytestmark = pytest.mark.server

NOWHERE = "http://127.0.0.1:9"


async def _patients(client: HAPIClient) -> dict[str, Any]:
    return await client.read("Subscription", TOPICS["patient"].subscription_id)


@pytest.fixture
async def as_receiver(hapi: Stack) -> AsyncIterator[HAPIClient]:
    # A running receiver would repair what these tests break.
    is_running = hapi.supervisor.states()["receiver"].is_running
    if is_running:
        hapi.stop("receiver")
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-receiver"]) as client:
        yield client
        url = f"http://127.0.0.1:{hapi.settings.receiver_port}"
        await register(client, url, hapi.secrets["receiver"])
    if is_running:
        hapi.start("receiver")


async def test_registering_again_changes_nothing_and_what_is_broken_is_repaired(
    as_receiver: HAPIClient,
) -> None:
    assert set(await register(as_receiver, NOWHERE, "a" * 32)) == set(TOPICS)
    assert await register(as_receiver, NOWHERE, "a" * 32) == []

    # HAPI turns a new Subscription on by itself a moment later; only then does `off` stay.
    while (stored := await _patients(as_receiver))["status"] != "active":  # noqa: ASYNC110 - HAPI tells nobody
        await asyncio.sleep(0.1)
    await as_receiver.update(stored | {"status": "off"})
    assert await register(as_receiver, NOWHERE, "a" * 32) == ["patient"]

    assert set(await register(as_receiver, NOWHERE, "b" * 32)) == set(TOPICS), "a new secret is told to HAPI"
    bundle = await as_receiver.search("Subscription", [], count=100)
    ours = [e["resource"] for e in bundle["entry"] if e["resource"]["id"].startswith("neuronova-")]
    assert len(ours) == len(TOPICS)
