"""HAPI hangs (SIGSTOP): login, health and the viewer go on, the rest is refused in time and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facade.hapi import HAPIClient
from tests.facade import stored
from tests.facade.stored import Images
from tests.facade.world import World, code_of
from tests.servers.stack import Stack
from tests.servers.standing import standing_still
from tests.smart_auth.flow import Flow, log_in

pytestmark = pytest.mark.server
# Far above what anything here takes, and far below what HAPI is given: who waits for HAPI fails.
LIMIT_S = 30
PATIENT_S = 300.0


def hung(stack: Stack) -> standing_still:
    """HAPI takes connections and answers nothing."""
    return standing_still(stack.pid("hapi"))


@pytest.fixture(scope="module")
async def facade(facade_with: Any, people: dict[str, str]) -> AsyncIterator[World]:
    """A facade that would wait for HAPI for minutes, and takes four requests at a time."""
    async with facade_with(hapi_timeout_s=PATIENT_S, in_flight_max=4) as world:
        await world.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        yield world


@pytest.fixture
async def images(
    facade: World, workers: HAPIClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Images]:
    async with stored.opened(facade, workers, monkeypatch) as made:
        yield made


async def test_a_hung_store_blocks_neither_login_nor_health_nor_an_open_study(
    facade: World, hapi: Stack, images: Images, people: dict[str, str]
) -> None:
    study = await images.study(people["own"])
    found = (await images.get("doctor", f"studies/{study}/series/{study}.1/instances")).json()
    (sop_uid, *_) = (one["00080018"]["Value"][0] for one in found)
    frame = f"studies/{study}/series/{study}.1/instances/{sop_uid}/frames/1"
    assert (await images.get("doctor", frame)).status_code == 200

    with hung(hapi):
        asked = [asyncio.create_task(facade.ask("doctor", "GET", people["own"])) for _ in range(5)]
        async with asyncio.timeout(LIMIT_S):
            done, held = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            (refused,) = [await one for one in done]
            assert (refused.status_code, code_of(refused)) == (503, "ERR_504")
            assert refused.headers["retry-after"]
            assert (await images.get("doctor", frame)).status_code == 200
            assert (await images.get("doctor", f"studies/{study}/series")).status_code == 200
            assert (await images.get("doctor", f"studies/{study}/instances")).status_code == 200
            assert (await images.get(None, frame)).status_code == 401
            async with facade.browser() as browser:
                assert (await browser.get("/health/live")).status_code == 200
                ready = await browser.get("/health/ready")
                assert ready.json()["dependencies"]["hapi"] == "down"
                assert ready.json()["dependencies"]["redis"] == "ok"
                assert (await browser.get("/fhir/metadata")).status_code == 200
                assert (await log_in(browser, "doctor")).status_code in (200, 303)
            async with facade.browser() as browser:
                flow = Flow(browser, parameters={"scope": "openid user/*.rs"})
                assert (await flow.tokens("doctor"))["access_token"]
    async with asyncio.timeout(LIMIT_S):
        assert [(await one).status_code for one in held] == [200] * 4
        assert (await facade.ask("doctor", "GET", people["own"])).status_code == 200


async def test_what_was_never_seen_is_not_shown_while_nobody_can_say_whose_it_is(
    facade: World, hapi: Stack, images: Images, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = await images.study(people["own"])
    monkeypatch.setattr(facade.services.hapi, "_timeout_s", 1.0)
    with hung(hapi):
        async with asyncio.timeout(LIMIT_S):
            answer = await images.get("doctor", f"studies/{study}/series")
    assert (answer.status_code, code_of(answer)) == (503, "ERR_502")


async def test_what_only_reads_ends_in_time_and_what_writes_is_carried_out(
    facade_with: Any, hapi: Stack, people: dict[str, str]
) -> None:
    async with facade_with(hapi_timeout_s=PATIENT_S, read_timeout_s=1.0) as world:
        await world.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        search = f"Observation?subject={people['own']}&_include=Observation:subject"
        entries = [{"request": {"method": "GET", "url": search}}] * 3
        batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        new = {"resourceType": "Condition", "subject": {"reference": people["own"]}, "code": {"text": "cold"}}
        before = len(world.trail())
        with hung(hapi):
            writing = asyncio.create_task(world.ask("doctor", "POST", "Condition", json=new))
            async with asyncio.timeout(LIMIT_S):
                for asked in (search, f"{people['own']}/$everything", "Observation/_history", people["own"]):
                    answer = await world.ask("doctor", "GET", asked)
                    assert (answer.status_code, code_of(answer)) == (403, "ERR_109")
                answer = await world.ask("doctor", "POST", "", json=batch)
                said = [entry["response"]["status"] for entry in answer.json()["entry"]]
                assert said == ["403"] * 3, "the entries share the time of their request"
            assert not writing.done()
        async with asyncio.timeout(LIMIT_S):
            assert (await writing).status_code == 201
        refused = [record["event"] for record in world.trail()[before:]]
        assert [event.get("outcomeDesc") for event in refused].count("ERR_109") == 7
        assert (await world.ask("doctor", "GET", search)).status_code == 200


async def test_the_circuit_opens_and_closes_again(
    facade_with: Any, hapi: Stack, people: dict[str, str]
) -> None:
    async with facade_with(hapi_timeout_s=1.0, breaker_failures=2, breaker_open_s=1.0, accel=True) as world:
        await world.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        looked_at = {"If-None-Match": 'W/"0"'}
        passed = await world.ask("doctor", "GET", people["own"])
        assert passed.headers["x-accel-redirect"]
        with hung(hapi):
            for _ in range(3):
                answer = await world.ask("doctor", "GET", people["own"], headers=looked_at)
                assert (answer.status_code, code_of(answer)) == (503, "ERR_502")
                assert answer.headers["retry-after"]
            # With the circuit open nginx is not sent to HAPI either.
            world.services.hapi._timeout_s = PATIENT_S
            answer = await world.ask("doctor", "GET", people["own"])
            assert answer.status_code == 503
            assert "x-accel-redirect" not in answer.headers
        async with asyncio.timeout(LIMIT_S):
            while (await world.ask("doctor", "GET", people["own"], headers=looked_at)).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (await world.ask("doctor", "GET", people["own"])).headers["x-accel-redirect"]
