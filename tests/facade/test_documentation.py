"""The description says what is served, in both languages, and loads nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from facade.routes import dicomweb, documentation, fhir, metadata, notifications, results
from facade.tables.openapi import WORDS
from smart_auth import routes as auth_routes
from smart_auth.policy import OPERATIONS

SERVED: list[BaseRoute] = [
    *metadata.routes,
    *fhir.routes,
    *dicomweb.routes,
    *results.routes,
    *notifications.routes,
]
OPERATIONS_ = documentation.described([*SERVED, *documentation.build(SERVED)])


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Starlette(routes=documentation.build(SERVED)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def test_every_route_is_described_once() -> None:
    stated = [(one.method, one.path) for one in OPERATIONS_]
    assert len(stated) == len(set(stated))
    for method, path, _ in auth_routes.ROUTES:
        assert (method, f"/auth{path}") in stated
    for path in ("/docs", "/openapi.json", "/health/live", "/health/ready", "/ws/notifications"):
        assert ("GET", path) in stated
    assert ("POST", "/dicom-web/studies") in stated
    for path in ("/fhir/Task/{id}/$review", "/fhir/DiagnosticReport/{id}/$sign"):
        assert ("POST", path) in stated
        assert path.rpartition("/")[2] in OPERATIONS
    assert all(one.english for one in OPERATIONS_)


def test_what_the_table_says_is_served_and_korean() -> None:
    stated = {(one.method, one.path) for one in OPERATIONS_}
    assert set(WORDS) <= stated
    assert all(re.search("[가-힣]", words.korean) for words in WORDS.values())


def test_the_document_is_openapi() -> None:
    document: dict[str, Any] = documentation.document("http://localhost:8080", OPERATIONS_)
    assert document["openapi"] == "3.1.0"
    tags = {tag["name"] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        names = set(re.findall(r"\{([a-z]+)\}", path))
        for method, stated in methods.items():
            assert method in ("get", "post", "put", "patch", "delete")
            assert set(stated["tags"]) <= tags
            assert stated["summary"]
            assert {p["name"] for p in stated.get("parameters", []) if p["in"] == "path"} == names
            assert "default" in stated["responses"]
    frames = document["paths"]["/dicom-web/studies/{study}/series"]["get"]
    assert frames["security"]
    assert document["paths"]["/health/live"]["get"]["security"] == []
    token = document["paths"]["/auth/token"]["post"]["requestBody"]["content"]
    assert "grant_type" in token["application/x-www-form-urlencoded"]["schema"]["required"]


class Outside(HTMLParser):
    """Everything that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "object", "embed", "link", "video", "audio", "source"):
            self.loaded.append(tag)
        assert not any(name.startswith("on") for name in given)
        if tag == "a":
            assert str(given["href"]).startswith(("/", "#", "?"))
        if tag in ("h1", "h2"):
            self.headings.append(tag)


@pytest.mark.parametrize(
    ("asked", "header", "lang"),
    [("", "ko-KR", "ko"), ("", "en", "en"), ("?lang=ko", "en", "ko"), ("?lang=x", "", "en")],
)
async def test_the_page_is_in_the_readers_language_and_loads_nothing(
    browser: httpx.AsyncClient, asked: str, header: str, lang: str
) -> None:
    answer = await browser.get(f"/docs{asked}", headers={"Accept-Language": header})
    assert answer.status_code == 200
    assert f'<html lang="{lang}">' in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "'unsafe" not in policy
    outside = Outside()
    outside.feed(answer.text)
    assert not outside.loaded
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert not re.search(r"https?://", answer.text)
    assert outside.headings.count("h1") == 1
    assert ("알림 (WebSocket)" if lang == "ko" else "Notifications (WebSocket)") in answer.text
    for one in OPERATIONS_:
        assert f"<code>{one.path}</code>" in answer.text


def test_the_template_is_shipped_beside_the_code() -> None:
    assert (Path(documentation.__file__).parent.parent / "templates" / "docs.html").is_file()
