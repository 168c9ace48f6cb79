"""What the CapabilityStatement states is answered; what it does not state is refused."""

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
