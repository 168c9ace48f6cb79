"""OpenAPI of what FHIR's own CapabilityStatement does not describe, and a page that shows it.

Built from the routes themselves, so that it cannot say less or more than is served; what a route cannot say
of itself stands in `tables.openapi`. The page is rendered here and loads nothing, neither from elsewhere nor
a script. Sources: OpenAPI Specification 3.1; WCAG 2.2; Content Security Policy Level 3.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from facade.outcome import language
from facade.state import services
from facade.tables.openapi import GROUPS, WORDS, Group, Words
from smart_auth import routes as auth_routes

_CACHE = {"Cache-Control": "public, max-age=60", "Vary": "Accept-Language"}
_PARAMETER = re.compile(r"\{([a-z_]+)(?::[a-z]+)?\}")
_CLOSED = (
    "/dicom-web",
    "/viewer",
    "/fhir",
    "/ws",
    "/auth/admin",
    "/auth/me",
    "/auth/ticket",
    "/auth/userinfo",
)
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Interfaces",
        "intro": "Everything but FHIR R4, which its CapabilityStatement describes.",
        "skip": "To the groups",
        "contents": "Contents",
        "other": "한국어",
        "other_code": "ko",
        "access": "Access",
        "closed": "with an access token or a session",
        "open": "open",
        "query": "Parameters",
        "body": "Body",
        "answer": "Answer",
        "errors": "A name with * is required. Errors are an OperationOutcome with a code of the product;"
        " under /auth an OAuth error (RFC 6749).",
    },
    "ko": {
        "title": "인터페이스",
        "intro": "FHIR R4를 제외한 모든 인터페이스입니다. FHIR R4는 CapabilityStatement에 있습니다.",
        "skip": "목록으로 건너뛰기",
        "contents": "목차",
        "other": "English",
        "other_code": "en",
        "access": "접근",
        "closed": "액세스 토큰 또는 세션 필요",
        "open": "공개",
        "query": "매개변수",
        "body": "본문",
        "answer": "응답",
        "errors": "*가 붙은 이름은 필수입니다. 오류는 제품 코드가 든 OperationOutcome이며,"
        " /auth에서는 OAuth 오류(RFC 6749)입니다.",
    },
}


class Operation(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    english: str
    group: Group
    words: Words | None
    is_closed: bool

    def summary(self, lang: str) -> str:
        """One sentence."""
        return self.words.korean if lang == "ko" and self.words else self.english


def build(served: Sequence[BaseRoute]) -> list[Route]:
    """Return the routes that document `served` and the routes of smart_auth."""

    async def openapi(request: Request) -> Response:
        """This description as OpenAPI."""
        body = document(services(request).settings.base_url, operations)
        return Response(orjson.dumps(body), headers=_CACHE, media_type="application/json")

    async def docs(request: Request) -> Response:
        """This description as a page."""
        asked = request.query_params.get("lang", "")
        lang = asked if asked in _TEXTS else language(request.headers.get("accept-language"))
        nonce = secrets.token_urlsafe(16)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": policy}
        return HTMLResponse(page(operations, lang, nonce), headers=headers)

    own = [Route("/openapi.json", openapi, methods=["GET"]), Route("/docs", docs, methods=["GET"])]
    operations = described([*served, *own])
    return own


def described(served: Sequence[BaseRoute]) -> list[Operation]:
    """Return everything that is served, in the order of the groups."""
    found = [*_served(served), *_auth(), *_fhir()]
    order = [group.tag for group in GROUPS.values()]
    return sorted(found, key=lambda one: order.index(one.group.tag))


def document(base_url: str, operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _stated(one)
    configuration = f"{base_url}/auth/.well-known/openid-configuration"
    groups = {group.tag: group for group in GROUPS.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NeuroNova",
            "version": "1",
            "description": "Everything but FHIR, which /fhir/metadata describes.",
        },
        "servers": [{"url": base_url}],
        "tags": [
            {"name": tag, "description": f"{group.english}. {group.about_english} / {group.about_korean}"}
            for tag, group in groups.items()
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "smart": {"type": "openIdConnect", "openIdConnectUrl": configuration},
                "session": {"type": "apiKey", "in": "cookie", "name": "neuronova_viewer"},
            }
        },
    }


def page(operations: Sequence[Operation], lang: str, nonce: str) -> str:
    """Return the description as HTML."""
    groups = []
    for group in dict.fromkeys(one.group for one in operations):
        rows = [
            {
                "method": one.method,
                "path": one.path,
                "summary": one.summary(lang),
                "closed": one.is_closed,
                **(one.words or Words(""))._asdict(),
            }
            for one in operations
            if one.group == group
        ]
        title, about = (
            (group.korean, group.about_korean) if lang == "ko" else (group.english, group.about_english)
        )
        groups.append({"tag": group.tag, "title": title, "about": about, "operations": rows})
    return _TEMPLATES.get_template("docs.html").render(t=_TEXTS[lang], lang=lang, nonce=nonce, groups=groups)


def _stated(one: Operation) -> dict[str, Any]:
    words = one.words or Words("")
    names = [(name, "path", True) for name in _PARAMETER.findall(one.path)]
    names += [(name.rstrip("*"), "query", name.endswith("*")) for name in words.query]
    content: dict[str, Any] = {words.answer: {}} if words.answer else {}
    stated: dict[str, Any] = {
        "tags": [one.group.tag],
        "summary": one.english,
        "responses": {
            "2XX": {"description": "Success", **({"content": content} if content else {})},
            "default": {"description": "An OperationOutcome; under /auth an OAuth error"},
        },
        "security": [{"smart": []}, {"session": []}] if one.is_closed else [],
    }
    if words.korean:
        stated["description"] = words.korean
    if names:
        stated["parameters"] = [
            {"name": name, "in": place, "required": is_required, "schema": {"type": "string"}}
            for name, place, is_required in names
        ]
    if words.body:
        stated["requestBody"] = {"content": {words.body: {"schema": _schema(words.fields)}}}
    return stated


def _schema(fields: Sequence[str]) -> dict[str, Any]:
    if not fields:
        return {}
    return {
        "type": "object",
        "properties": {name.rstrip("*"): {} for name in fields},
        "required": [name.rstrip("*") for name in fields if name.endswith("*")],
    }


def _served(routes: Sequence[BaseRoute]) -> list[Operation]:
    found: list[Operation] = []
    for route in routes:
        if isinstance(route, WebSocketRoute):
            found.append(_operation("GET", route.path, route.endpoint))
        elif isinstance(route, Route) and not route.path.startswith("/fhir"):
            methods = sorted(set(route.methods or ()) - {"HEAD"})
            found += [_operation(method, route.path, route.endpoint) for method in methods]
    return found


def _auth() -> list[Operation]:
    return [_operation(method, f"/auth{path}", function) for method, path, function in auth_routes.ROUTES]


def _fhir() -> list[Operation]:
    return [_operation(method, path) for method, path in WORDS if path.startswith("/fhir")]


def _operation(method: str, path: str, function: Callable[..., Any] | None = None) -> Operation:
    path = _PARAMETER.sub(r"{\1}", path)
    prefix = max((one for one in GROUPS if path.startswith(one)), key=len)
    words = WORDS.get((method, path))
    english = (words.english if words else None) or (function.__doc__ or "").strip().partition("\n")[0]
    is_closed = any(path.startswith(one) for one in _CLOSED)
    return Operation(method, path, english, GROUPS[prefix], words, is_closed)
