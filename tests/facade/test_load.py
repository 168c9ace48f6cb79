"""What is over a bound is told to come back; each principal has a bucket of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from facade.load import Load, Rates
from tests.facade.world import code_of


class Slow:
    """Requests that wait until they are let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting = 0

    async def answer(self, request: Request) -> Response:
        if request.url.path.endswith("slow"):
            self.waiting += 1
            await self.gate.wait()
        return PlainTextResponse("answered")

    def browser(self, most: int) -> httpx.AsyncClient:
        app = Starlette(routes=[Route("/{rest:path}", self.answer)])
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=Load(app, most)), base_url="http://localhost"
        )


async def test_requests_over_the_bound_are_refused_at_once_and_others_are_not_affected() -> None:
    slow = Slow()
    async with slow.browser(2) as browser, asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(browser.get("/fhir/slow")) for _ in range(2)]
        while slow.waiting < 2:  # noqa: ASYNC110  what is waited for is a count
            await asyncio.sleep(0)
        refused = await browser.get("/fhir/Patient/1", headers={"Accept-Language": "ko"})
        assert (refused.status_code, code_of(refused)) == (503, "ERR_504")
        assert refused.headers["retry-after"]
        assert "혼잡" in refused.text
        for path in (
            "/fhir/metadata",
            "/fhir/.well-known/smart-configuration",
            "/dicom-web/studies",
            "/auth/login",
            "/health/live",
            "/fhirish",
        ):
            assert (await browser.get(path)).status_code == 200, path
        slow.gate.set()
        assert [(await one).status_code for one in held] == [200, 200]
        assert (await browser.get("/fhir/Patient/1")).status_code == 200


async def test_a_request_that_fails_gives_its_place_back() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    load = Load(fail, 1)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await load({"type": "http", "path": "/fhir/x", "headers": []}, None, None)  # type: ignore[arg-type]


async def test_zero_is_no_bound() -> None:
    slow = Slow()
    async with slow.browser(0) as browser, asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(browser.get("/fhir/slow")) for _ in range(20)]
        while slow.waiting < 20:  # noqa: ASYNC110
            await asyncio.sleep(0)
        slow.gate.set()
        assert all([(await one).status_code == 200 for one in held])


def test_a_principal_may_send_a_burst_and_then_its_rate() -> None:
    now = 100.0
    rates = Rates(lambda: now)
    assert not any(rates.take("fhir", "a", 5).is_over for _ in range(10))
    over = rates.take("fhir", "a", 5)
    assert (over.is_over, over.is_first, over.left) == (True, True, 0)
    assert rates.take("fhir", "a", 5).is_first is False
    assert not rates.take("fhir", "b", 5).is_over, "another principal has its own"
    assert not rates.take("dicomweb", "a", 5).is_over, "and so has another service"
    now += 1.0
    assert [rates.take("fhir", "a", 5).is_over for _ in range(6)] == [False] * 5 + [True]


def test_the_headers_say_what_is_left_and_when_it_is_back() -> None:
    rates = Rates(lambda: 0.0)
    assert rates.take("fhir", "a", 5).headers() == {
        "RateLimit-Policy": '"fhir";q=10;w=2',
        "RateLimit": '"fhir";r=9;t=1',
    }
