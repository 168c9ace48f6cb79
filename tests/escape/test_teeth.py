"""The suite finds leaks: with one protection of the facade taken out, it reports what then gets out."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from facade import chains, gate, including, references, searching, sharing
from facade.errors import FacadeError, HAPIGoneError, NotFoundError
from facade.hapi import HAPIClient
from smart_auth import policy, released
from smart_auth.interaction import Decision
from tests.escape import (
    inside,
    test_answers,
    test_chains,
    test_includes,
    test_paging,
    test_reads,
    test_writes,
)
from tests.escape.probe import Probe
from tests.escape.suite import Suite
from tests.servers.stack import Stack

pytestmark = pytest.mark.server

Patch = Callable[[pytest.MonkeyPatch], None]


def confirmation(patch: pytest.MonkeyPatch) -> None:
    """Whatever is found is shown."""
    patch.setattr(policy, "confirm", lambda *_, **__: True)


def hops(patch: pytest.MonkeyPatch) -> None:
    """HAPI follows every chain by itself."""
    patch.setattr(chains, "_is_open_to_the_end", lambda *_: True)


def totals(patch: pytest.MonkeyPatch) -> None:
    """HAPI counts, with what is not to be seen."""

    async def counted(here: Any, decision: Decision, type_: str, params: Any) -> int:
        asked = [pair for pair in params if pair not in decision.narrow]
        page = await here.hapi.search(type_, [*asked, ("_total", "accurate"), ("_summary", "count")])
        return int(page["total"])

    patch.setattr(searching, "_total", counted)


def pages(patch: pytest.MonkeyPatch) -> None:
    """A page is cut before it is confirmed: holes and `next` links tell."""
    patch.setattr(chains, "is_open", lambda _: True)


def includes(patch: pytest.MonkeyPatch) -> None:
    """What is included needs no right of its own."""

    async def shown(*_: Any, **__: Any) -> bool:
        return True

    real = including.included

    async def unconfirmed(here: Any, *given: Any) -> Any:
        patch.setattr(here, "confirm", shown)
        return await real(here, *given)

    patch.setattr(including, "included", unconfirmed)


def equal_answers(patch: pytest.MonkeyPatch) -> None:
    """What was deleted answers otherwise than what never was."""

    async def stored(here: gate.Gate, decision: Decision, type_: str, id_: str) -> Any:
        try:
            return await here.hapi.read(type_, id_)
        except HAPIGoneError:
            raise FacadeError("gone") from None
        except FacadeError:
            return None

    patch.setattr(gate.Gate, "_stored", stored)


def equal_work(patch: pytest.MonkeyPatch) -> None:
    """A resource that is there is read once more."""
    real = gate.Gate.confirm

    async def twice(here: gate.Gate, decision: Decision, resource: Any, **given: Any) -> bool:
        await here.hapi.read(resource["resourceType"], resource["id"])
        return await real(here, decision, resource, **given)

    patch.setattr(gate.Gate, "confirm", twice)


def release(patch: pytest.MonkeyPatch) -> None:
    """A draft is shown like a signed result."""
    patch.setattr(released, "is_released", lambda _: True)


def groups(patch: pytest.MonkeyPatch) -> None:
    """Every Group of the hospital shares, whatever its state and its members' periods."""

    def members(group: dict[str, Any], *_: Any) -> set[str]:
        return {one["entity"]["reference"].partition("/")[2] for one in group.get("member", [])}

    patch.setattr(sharing, "members", members)


def written_references(patch: pytest.MonkeyPatch) -> None:
    """References of a write are not resolved: HAPI says which exist."""

    async def unresolved(*_: Any, **__: Any) -> None:
        return None

    patch.setattr(references, "resolve", unresolved)


def current_version(patch: pytest.MonkeyPatch) -> None:
    """An old version is judged by itself, not by whose the resource is now."""

    async def unconfirmed(here: gate.Gate, decision: Decision, type_: str, id_: str) -> Any:
        if (stored := await here._stored(decision, type_, id_)) is None:
            raise NotFoundError()
        return stored

    patch.setattr(gate.Gate, "read", unconfirmed)


def strictness(patch: pytest.MonkeyPatch) -> None:
    """An order through a reference is passed on to HAPI."""
    patch.setattr(searching, "_order", lambda _, keys: ",".join(key.text() for key in keys) or "_id")


@pytest.fixture(scope="module")
async def weakened(
    hapi: Any, redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Suite]:
    """A suite with records of its own: what gets in here must not count elsewhere."""
    directory = tmp_path_factory.mktemp("weakened")
    redis = Redis.from_url(redis_server.redis_url, db=14)
    await redis.flushdb()
    async with inside.suite(hapi, redis, directory, directory / "keys") as running:
        yield running
    await redis.flushdb()
    await redis.aclose()


CASES: list[tuple[Patch, list[Probe], str]] = [
    (confirmation, test_reads.PROBES[::4], "says foreign."),
    (confirmation, test_includes.PROBES[::4], "says foreign."),
    (hops, test_chains.PROBES[::4], "body"),
    (totals, test_answers.PROBES, "total"),
    (pages, test_paging.PROBES, "body"),
    (includes, test_includes.PROBES[::4], "says foreign."),
    (equal_answers, test_reads.PROBES, "status 500 or 404"),
    (equal_work, test_reads.PROBES[::4], "upstream"),
    (release, test_reads.PROBES, "says draft."),
    (groups, test_reads.PROBES[::4], "says foreign."),
    (written_references, test_writes.PROBES, "status 201 or 422"),
    (current_version, test_reads.PROBES, "status 200 or 404"),
    (strictness, test_answers.PROBES, "body"),
]


@pytest.mark.parametrize(("take_out", "probes", "said"), CASES, ids=lambda one: getattr(one, "__name__", ""))
async def test_a_missing_protection_is_noticed(
    weakened: Suite, monkeypatch: pytest.MonkeyPatch, take_out: Patch, probes: list[Probe], said: str
) -> None:
    with monkeypatch.context() as patch:
        take_out(patch)
        outcome = await weakened.run(probes)
    found = [line for leak in outcome.leaks for line in leak.found]
    assert any(said in line for line in found), found[:20]


async def test_a_change_of_another_s_record_is_noticed(
    weakened: Suite, hapi: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-facade"]) as store:
        before = await inside.foreign_records(store, weakened)
        with monkeypatch.context() as patch:
            confirmation(patch)
            await weakened.run(test_writes.PROBES[::4])
        assert await inside.foreign_records(store, weakened) != before
