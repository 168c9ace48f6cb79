"""What the CapabilityStatement states is answered; what it does not state is refused."""

import re
from typing import Any

import pytest

from smart_auth import roles
from tests.facade.world import World

pytestmark = pytest.mark.server
VALUES = {"reference": "none", "date": "2020-01-01", "number": "1", "quantity": "1", "uri": "urn:none"}


def reader(type_: str) -> str | None:
    """A person who may search the type."""
    for who in ("admin", "doctor", "rib", "lab", "nurse"):
        if any("s" in roles.rule(who, row).letters for row in roles.rows_of(type_)):  # type: ignore[arg-type]
            return who
    return None


async def stated(world: World) -> list[dict[str, Any]]:
    """The resources of the statement."""
    found: list[dict[str, Any]] = (await world.ask(None, "GET", "metadata")).json()["rest"][0]["resource"]
    return found


async def test_every_stated_parameter_and_include_is_answered_and_no_other(world: World) -> None:
    for resource in await stated(world):
        type_ = resource["type"]
        who = reader(type_)
        assert who is not None, type_
        for parameter in resource["searchParam"]:
            value = VALUES.get(parameter["type"], "none")
            answer = await world.ask(who, "GET", f"{type_}?{parameter['name']}={value}&_count=1")
            assert answer.status_code == 200 or value == "none", (type_, parameter, answer.text)
            assert "ERR_102" not in answer.text, (type_, parameter)
        for name in ("_include", "_revinclude"):
            for include in resource.get("searchInclude" if name == "_include" else "searchRevInclude", []):
                answer = await world.ask(who, "GET", f"{type_}?_id=none&{name}={include}")
                assert answer.status_code == 200, (type_, name, include, answer.text)
            refused = await world.ask(who, "GET", f"{type_}?_id=none&{name}={type_}:no-such")
            assert refused.status_code == 400, (type_, name)
        refused = await world.ask(who, "GET", f"{type_}?no-such=1")
        assert refused.status_code == 400, type_


async def test_every_stated_operation_is_known_and_no_other(world: World) -> None:
    for resource in await stated(world):
        type_ = resource["type"]
        names = {operation["name"] for operation in resource.get("operation", [])}
        for name in ("everything", "meta", "expunge", "export", "reindex"):
            answer = await world.ask("admin", "GET", f"{type_}/none/${name}")
            assert (answer.status_code == 404) == (name in names), (type_, name, answer.text)


# What is asked for each stated interaction: method, what follows the type, and what is sent.
ASKED: dict[str, tuple[str, str, Any]] = {
    "read": ("GET", "/none", None),
    "vread": ("GET", "/none/_history/1", None),
    "history-instance": ("GET", "/none/_history", None),
    "history-type": ("GET", "/_history?_count=1", None),
    "search-type": ("GET", "?_id=none", None),
    "create": ("POST", "", {"no-such": 1}),
    "update": ("PUT", "/none", {"id": "none", "no-such": 1}),
    "patch": ("PATCH", "/none", [{"op": "remove", "path": "/language"}]),
    "delete": ("DELETE", "/none", None),
}
LETTERS = {
    "c": ["create"],
    "r": ["read", "vread", "history-instance"],
    "u": ["update", "patch"],
    "d": ["delete"],
}
LETTERS["s"] = ["search-type", "history-type"]


def told(documentation: str) -> dict[str, set[str]]:
    """Which person is told of which interactions: `Patient - admin: cruds; patient: rs own`, row by row."""
    found: dict[str, set[str]] = {}
    for row in documentation.splitlines():
        for cell in row.partition(" - ")[2].split("; "):
            role, _, right = cell.partition(": ")
            codes = {code for letter in right.split()[0] for code in LETTERS[letter]}
            found.setdefault(role, set()).update(codes - set(re.findall(r"\(not (\S+)\)", right)))
    return found


@pytest.mark.parametrize("who", ["admin", "doctor", "rib", "lab", "nurse", "patient", "external"])
async def test_each_interaction_is_answered_to_whom_it_is_stated_for_and_to_nobody_else(
    world: World, who: str
) -> None:
    async with world.browser() as browser:
        for resource in await stated(world):
            type_, mine = resource["type"], told(resource["documentation"]).get(who, set())
            offered = {interaction["code"] for interaction in resource["interaction"]}
            assert mine <= offered, type_
            for code, (method, rest, body) in ASKED.items():
                kind = "json-patch" if method == "PATCH" else "fhir"
                headers = world.tokens[who] | {
                    "Content-Type": f"application/{kind}+json",
                    "If-Match": 'W/"1"',
                }
                if (type_, code) == ("Provenance", "search-type"):
                    rest = "?target=Patient/none"  # the word "target": what it speaks about has to be named
                sent = {"resourceType": type_, **body} if isinstance(body, dict) else body
                answer = await browser.request(method, f"/fhir/{type_}{rest}", json=sent, headers=headers)
                is_refused = answer.status_code == 403
                assert is_refused == (code not in mine), (type_, code, answer.text)
                assert answer.status_code < 500


async def test_a_statement_offers_to_somebody_what_it_offers(world: World) -> None:
    for resource in await stated(world):
        people = told(resource["documentation"]).values()
        assert {one["code"] for one in resource["interaction"]} == set().union(*people), resource["type"]
        for name in ("searchInclude", "searchRevInclude"):
            assert resource.get(name) != ["*"], resource["type"]
