"""Headers pass by a list in both directions."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from facade.arrival import Arrival
from facade.outcome import HANDLERS


async def heard(request: Request) -> Response:
    if "csp" in request.query_params:
        return JSONResponse({}, headers={"Content-Security-Policy": "default-src 'self'"})
    if "fail" in request.query_params:
        raise RuntimeError("SELECT * FROM HFJ_RESOURCE")
    return JSONResponse(dict(request.headers))


@pytest.fixture
async def browser() -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/", heard)], exception_handlers=HANDLERS)
    transport = httpx.ASGITransport(app=Arrival(app), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_a_header_that_is_not_listed_is_not_heard(browser: httpx.AsyncClient) -> None:
    sent = {
        "X-HTTP-Method-Override": "DELETE",
        "X-Forwarded-Host": "evil.example",
        "X-NeuroNova-Secret": "x",
        "X-Real-IP": "192.0.2.9",
        "X-Accel-Redirect": "/internal-hapi/Patient/1",
        "If-Match": 'W/"1"',
        "X-Forwarded-For": "192.0.2.1",
    }
    found = (await browser.get("/", headers=sent)).json()
    assert found["if-match"] == 'W/"1"'
    assert found["x-forwarded-for"] == "192.0.2.1"
    assert {name.lower() for name in sent} & set(found) == {"if-match", "x-forwarded-for"}


@pytest.mark.parametrize("path", ["/", "/?fail=1", "/nowhere"])
async def test_every_answer_is_guarded(browser: httpx.AsyncClient, path: str) -> None:
    headers = (await browser.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert len(headers["x-request-id"]) == 32


async def test_a_page_keeps_its_own_policy(browser: httpx.AsyncClient) -> None:
    headers = (await browser.get("/?csp=1")).headers
    assert headers.get_list("content-security-policy") == ["default-src 'self'"]
