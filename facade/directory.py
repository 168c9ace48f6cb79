"""What smart_auth's pages look up (patients and visits to choose from): a search or read like any other.

The person of the login is the caller: `policy.decide` and `confirm`, sharing, and the audit record are those
of a request under /fhir.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facade import access, exact, reading, searching
from facade.errors import FacadeError, NotFoundError, RefusedError
from facade.gate import Gate
from facade.hapi import encode
from facade.preconditions import Preconditions
from facade.request import Request, pairs, parse
from facade.state import Services
from smart_auth.directory import DirectoryError, Found, Parameters
from smart_auth.interaction import Principal


class FacadeDirectory:
    """Implements `smart_auth.directory.Directory`."""

    def __init__(self, services: Services) -> None:
        """`services` are those of the process."""
        self._services = services

    async def search(
        self, principal: Principal, address: str | None, type_: str, parameters: Parameters
    ) -> Found:
        """Return one page of what this person may see."""
        bundle = await self._ask(principal, address, f"/fhir/{type_}", parameters)
        if bundle is None:
            return Found()
        matches = [e["resource"] for e in bundle.get("entry", []) if e["search"]["mode"] == "match"]
        return Found(matches, any(link["relation"] == "next" for link in bundle.get("link", [])))

    async def read(
        self, principal: Principal, address: str | None, type_: str, id_: str
    ) -> Mapping[str, Any] | None:
        """Return one resource, or None for what is missing or not visible."""
        return await self._ask(principal, address, f"/fhir/{type_}/{id_}", ())

    async def _ask(
        self, principal: Principal, address: str | None, path: str, parameters: Parameters
    ) -> dict[str, Any] | None:
        settings = self._services.settings
        try:
            asked = parse(
                "GET",
                path.encode(),
                pairs(encode(list(parameters)).encode()),
                base_url=settings.base_url,
                page_max=settings.page_max,
            )
            gate = await Gate.enter(self._services, principal, address)
            async with access.audited(gate, asked.interaction):
                return await _answer(gate, asked)
        except (NotFoundError, RefusedError):
            return None
        except FacadeError as error:
            raise DirectoryError from error


async def _answer(gate: Gate, asked: Request) -> dict[str, Any]:
    decision = gate.decide(asked.interaction)
    if asked.interaction.kind == "search":
        response = await searching.search(gate, decision, asked)
    else:
        response = await reading.read(gate, decision, asked, Preconditions())
    body: dict[str, Any] = exact.loads(bytes(response.body))
    return body
