"""Verification names the first break, whatever was done to the trail."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from facade.audit.chain import Signer, digest_of, seal, seal_of
from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool
from facade.audit.verify import VerifyReport, verify

DOCTOR = Who("Practitioner/d1", "doctor", "viewer", "jti", "127.0.0.1")


def event(name: str) -> dict[str, Any]:
    return audit_event(interaction="read", action="R", who=DOCTOR, patient="Patient/1", request_id=name)


async def ship(installation: Any, count: int) -> None:
    shipper = installation.shipper()
    task = asyncio.create_task(shipper.run())
    async with asyncio.timeout(10):
        while len(installation.store.events) < count:  # noqa: ASYNC110  the store has no event
            await asyncio.sleep(0.01)
    shipper.stop()
    await task


@pytest.fixture
async def trail(installation: Any) -> Any:
    """A trail of 12 events, anchored after 6 and at the end."""
    spool = Spool(installation.spool, "facade")
    for number in range(6):
        spool.write_sync(event(f"r{number}"))
    await ship(installation, 6)
    for number in range(6, 12):
        spool.write_sync(event(f"r{number}"))
    await ship(installation, 12)
    spool.close()
    return installation


async def check(trail: Any) -> VerifyReport:
    async with trail.store.client() as hapi:
        return await verify(hapi, trail.state, trail.key)


def first_break(report: VerifyReport) -> tuple[str, str | None]:
    assert report.first_break is not None
    return report.first_break.kind, report.first_break.event


async def test_an_untouched_trail_is_whole(trail: Any) -> None:
    report = await check(trail)
    assert report.is_whole
    assert (report.events, report.anchors) == (12, 2)


async def test_a_changed_event_is_named(trail: Any) -> None:
    trail.store.events["ae-000000000005"]["outcome"] = "4"
    trail.store.events["ae-000000000009"]["outcome"] = "4"
    assert first_break(await check(trail)) == ("changed", "ae-000000000005")


async def test_a_changed_event_with_a_new_hash_is_named(trail: Any) -> None:
    changed = trail.store.events["ae-000000000005"]
    changed["outcome"] = "4"
    for part in changed["extension"][0]["extension"]:
        if part["url"] == "hash":
            part["valueString"] = digest_of(changed)
    assert first_break(await check(trail)) == ("forged", "ae-000000000005")


async def test_a_deleted_event_is_named(trail: Any) -> None:
    del trail.store.events["ae-000000000005"]
    assert first_break(await check(trail)) == ("missing", "ae-000000000005")


async def test_a_deleted_first_event_is_named(trail: Any) -> None:
    del trail.store.events["ae-000000000001"]
    assert first_break(await check(trail)) == ("missing", "ae-000000000001")


async def test_a_cut_tail_is_named(trail: Any) -> None:
    for number in (11, 12):
        del trail.store.events[f"ae-{number:012d}"]
    assert first_break(await check(trail)) == ("truncated", "ae-000000000011")


async def test_a_cut_tail_is_named_by_the_anchors_alone(trail: Any) -> None:
    (trail.state / "state.json").unlink()
    del trail.store.events["ae-000000000012"]
    assert first_break(await check(trail)) == ("truncated", "ae-000000000012")


async def test_an_emptied_store_is_named(trail: Any) -> None:
    trail.store.events.clear()
    assert first_break(await check(trail)) == ("truncated", "ae-000000000001")


async def test_an_inserted_event_is_named(trail: Any) -> None:
    foreign = event("inserted") | {"id": "5d5a9d1c-0000-4000-8000-000000000000"}
    trail.store.events[foreign["id"]] = foreign
    assert first_break(await check(trail)) == ("foreign", foreign["id"])


async def test_an_event_appended_with_another_key_is_named(trail: Any) -> None:
    last = seal_of(trail.store.events["ae-000000000012"])
    assert last is not None
    thief = Signer(ec.generate_private_key(ec.SECP256R1()))
    forged, _ = seal(event("forged"), 13, last.hash, thief)
    trail.store.events[forged["id"]] = forged
    assert first_break(await check(trail)) == ("forged", "ae-000000000013")


async def test_two_events_that_changed_places_are_named(trail: Any) -> None:
    events = trail.store.events
    one, two = copy.deepcopy(events["ae-000000000003"]), copy.deepcopy(events["ae-000000000004"])
    events["ae-000000000003"], events["ae-000000000004"] = (
        two | {"id": "ae-000000000003"},
        one | {"id": "ae-000000000004"},
    )
    assert first_break(await check(trail)) == ("unchained", "ae-000000000003")


async def test_a_rewritten_chain_meets_its_anchors(trail: Any) -> None:
    """Even with the signing key, the past cannot be rewritten past an anchor."""
    from facade.audit.chain import GENESIS, load_signer

    signer = load_signer(trail.key)
    previous = GENESIS
    for name in sorted(trail.store.events):
        said = trail.store.events[name]
        if name == "ae-000000000002":
            said["outcome"] = "12"
        trail.store.events[name], previous = seal(said, int(name[3:]), previous, signer)
    assert first_break(await check(trail)) == ("anchor", "ae-000000000006")


async def test_a_changed_anchor_is_named(trail: Any) -> None:
    path = trail.state / "anchors.jsonl"
    path.write_text(path.read_text().replace('"sequence":6', '"sequence":7'))
    assert first_break(await check(trail)) == ("anchor", "ae-000000000007")


async def test_an_unreadable_anchor_file_is_named(trail: Any) -> None:
    path = trail.state / "anchors.jsonl"
    path.write_text("{}\n" + path.read_text())
    assert first_break(await check(trail))[0] == "state"


async def test_what_is_shipped_while_verifying_is_no_break(trail: Any) -> None:
    answer = trail.store.answer
    counted = False

    def growing(request: Any) -> Any:
        nonlocal counted
        if "_summary" in str(request.url) and not counted:
            counted = True
            from facade.audit.chain import load_signer

            last = seal_of(trail.store.events["ae-000000000012"])
            assert last is not None
            new, _ = seal(event("new"), 13, last.hash, load_signer(trail.key))
            trail.store.events[new["id"]] = new
        return answer(request)

    trail.store.answer = growing
    report = await check(trail)
    assert report.is_whole
    assert report.events == 13
