"""OpenAPI of what FHIR's own CapabilityStatement does not describe, and a page that shows it.

Built from the routes themselves, so that it cannot say less or more than is served. The page loads nothing.
Source: OpenAPI Specification 3.1.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from facade.state import services
from smart_auth import routes as auth_routes

_CACHE = {"Cache-Control": "public, max-age=60"}
_PARAMETER = re.compile(r"\{([a-z_]+)(?::[a-z]+)?\}")
_CLOSED_AUTH = frozenset({"/admin", "/me", "/ticket"})
Operation = tuple[str, str, Callable[..., Any], bool]
"""Method, path, the function that answers, and whether a token or session is needed."""


def build(served: Sequence[BaseRoute]) -> list[Route]:
    """Return the routes that document `served` and the routes of smart_auth."""
    operations = [*_served(served), *_auth()]

    async def openapi(request: Request) -> Response:
        """This description."""
        body = document(services(request).settings.base_url, operations)
        return Response(orjson.dumps(body), headers=_CACHE, media_type="application/json")

    async def docs(_: Request) -> Response:
        """The same description as a page."""
        return Response(page(operations), headers=_CACHE, media_type="text/html")

    return [Route("/openapi.json", openapi, methods=["GET"]), Route("/docs", docs, methods=["GET"])]


def document(base_url: str, operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, function, is_closed in operations:
        names = _PARAMETER.findall(path)
        stated: dict[str, Any] = {
            "summary": _summary(function),
            "responses": {"default": {"description": "The answer, or an OperationOutcome or OAuth error"}},
            "security": [{"smart": []}] if is_closed else [],
        }
        if names:
            stated["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ]
        paths.setdefault(_plain(path), {})[method.lower()] = stated
    configuration = f"{base_url}/auth/.well-known/openid-configuration"
    scheme = {"type": "openIdConnect", "openIdConnectUrl": configuration}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NeuroNova",
            "version": "1",
            "description": "Everything but FHIR, which /fhir/metadata describes.",
        },
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {"securitySchemes": {"smart": scheme}},
    }


def page(operations: Iterable[Operation]) -> str:
    """Return the description as HTML without script or outside resource."""
    rows = "".join(
        f"<tr><td>{method}</td><td><code>{html.escape(_plain(path))}</code></td>"
        f"<td>{html.escape(_summary(function))}</td></tr>"
        for method, path, function, _ in operations
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>NeuroNova</title>'
        "<style>body{font-family:sans-serif;margin:2rem}td{padding:.2rem .8rem;vertical-align:top}</style>"
        '<h1>NeuroNova</h1><p>FHIR: <a href="/fhir/metadata">/fhir/metadata</a>, '
        '<a href="/fhir/.well-known/smart-configuration">/fhir/.well-known/smart-configuration</a>. '
        f'Everything else, also as <a href="/openapi.json">/openapi.json</a>:</p><table>{rows}</table>'
    )


def _served(routes: Sequence[BaseRoute]) -> list[Operation]:
    found: list[Operation] = []
    for route in routes:
        if isinstance(route, Route) and not route.path.startswith("/fhir"):
            is_closed = route.path.startswith("/dicom-web")
            methods = sorted(set(route.methods or ()) - {"HEAD"})
            found += [(method, route.path, route.endpoint, is_closed) for method in methods]
    return found


def _auth() -> list[Operation]:
    return [
        (method, f"/auth{path}", function, any(path.startswith(part) for part in _CLOSED_AUTH))
        for method, path, function in auth_routes.ROUTES
    ]


def _plain(path: str) -> str:
    """`/a/{b:path}` as OpenAPI writes it."""
    return _PARAMETER.sub(r"{\1}", path)


def _summary(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]
