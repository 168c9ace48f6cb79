"""Rates of principals and addresses, and the headers that pass, in front of the real HAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.facade.world import World, code_of

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
async def strict(facade_with: Any, people: dict[str, str]) -> AsyncIterator[World]:
    """The facade with rates so low that they are never refilled while a test runs."""
    async with facade_with(rate_fhir=20, rate_dicomweb=20, rate_anonymous=2) as world:
        clock = 0.0
        world.services.rates._clock = lambda: clock
        await world.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        await world.sign_in("nurse", "nurse", fhir_user=people["nurse"])
        yield world


async def test_one_caller_is_throttled_and_the_next_one_at_the_same_address_is_not(
    strict: World, people: dict[str, str]
) -> None:
    answers = [await strict.ask("doctor", "GET", people["own"]) for _ in range(43)]
    assert [answer.status_code for answer in answers] == [200] * 40 + [429] * 3
    assert answers[0].headers["ratelimit-policy"] == '"fhir";q=40;w=2'
    assert answers[0].headers["ratelimit"].startswith('"fhir";r=39;')
    assert code_of(answers[-1]) == "ERR_407"
    assert answers[-1].headers["retry-after"]
    assert answers[-1].headers["ratelimit"].startswith('"fhir";r=0;')
    assert (await strict.ask("nurse", "GET", people["own"])).status_code == 200
    refusals = [
        record["event"] for record in strict.trail() if record["event"].get("outcomeDesc") == "ERR_407"
    ]
    assert len(refusals) == 1, "a flood is on record once"
    assert refusals[0]["agent"][0]["who"] == {"reference": people["doctor"]}


async def test_whoever_has_no_valid_token_is_counted_by_address(
    strict: World, people: dict[str, str]
) -> None:
    forged = {"Authorization": "Bearer nonsense", "X-Forwarded-For": "198.51.100.9"}
    answers = [await strict.ask(None, "GET", people["own"], headers=forged) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 4 + [429] * 4
    other = {**forged, "X-Forwarded-For": "198.51.100.10"}
    assert (await strict.ask(None, "GET", people["own"], headers=other)).status_code == 401


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x-http-method-override"]
)
async def test_a_method_override_does_nothing(world: World, people: dict[str, str], header: str) -> None:
    answer = await world.ask("admin", "GET", people["own"], headers={header: "DELETE"})
    assert answer.status_code == 200
    assert (await world.ask("admin", "GET", people["own"])).status_code == 200


async def test_an_address_that_is_rewritten_by_a_header_is_not_heard(
    world: World, people: dict[str, str]
) -> None:
    own, foreign = people["own"], people["foreign"]
    sent = {
        "X-Original-URL": f"/fhir/{foreign}",
        "X-Rewrite-URL": f"/fhir/{foreign}",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example",
    }
    answer = await world.ask("doctor", "GET", f"Patient?_id={own.partition('/')[2]}", headers=sent)
    assert answer.status_code == 200
    assert "evil" not in answer.text
    assert foreign.partition("/")[2] not in answer.text
