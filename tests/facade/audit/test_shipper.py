"""The shipper brings each record into the trail exactly once, wherever it is killed, and waits for HAPI."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facade.audit import state as state_module
from facade.audit.errors import ChainStateError
from facade.audit.event import Who, audit_event
from facade.audit.shipper import Shipper
from facade.audit.spool import Spool
from facade.audit.state import Batch
from facade.audit.trail import Trail
from facade.audit.verify import verify

DOCTOR = Who("Practitioner/d1", "doctor", "viewer", "jti", "127.0.0.1")


def spool(installation: Any, *names: str, **more: Any) -> None:
    writer = Spool(installation.spool, "facade")
    for name in names:
        writer.write_sync(audit_event(interaction="read", action="R", who=DOCTOR, request_id=name, **more))
    writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for is a file or the store
            await asyncio.sleep(0.01)


async def ship(installation: Any, count: int, **settings: Any) -> None:
    shipper: Shipper = installation.shipper(**settings)
    task = asyncio.create_task(shipper.run())
    await until(lambda: len(installation.store.events) >= count or task.done())
    shipper.stop()
    await task


def status(installation: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((installation.state / "status.json").read_text())
    return found


async def test_every_record_is_shipped_in_order_and_the_spool_is_emptied(installation: Any) -> None:
    wanted = [f"r{number:02d}" for number in range(17)]
    spool(installation, *wanted)
    await ship(installation, 17)
    assert installation.request_ids() == wanted
    assert not list(installation.spool.glob("*.spool"))
    observer = installation.store.events["ae-000000000001"]["source"]["observer"]
    assert observer["identifier"]["value"] == "facade"
    assert status(installation)["sequence"] == 17
    assert status(installation)["backlog_records"] == 0
    async with installation.store.client() as hapi:
        report = await verify(hapi, installation.state, installation.key)
    assert report.is_whole
    assert (report.events, report.anchors) == (17, 1)


async def test_a_record_that_comes_meanwhile_waits_for_the_next_look_unless_the_batch_was_full(
    installation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[tuple[int, float]] = []
    send = Trail.send

    async def pause(self: Shipper, seconds: float) -> None:
        pauses.append((len(installation.store.events), seconds))
        await asyncio.sleep(0)

    async def sent(self: Trail, batch: Batch) -> Batch:
        answer = await send(self, batch)
        if len(installation.store.events) == 7:
            spool(installation, "meanwhile")
        return answer

    monkeypatch.setattr(Shipper, "_pause", pause)
    monkeypatch.setattr(Trail, "send", sent)
    spool(installation, *(f"r{number}" for number in range(7)))
    await ship(installation, 8, batch=5, poll_s=100)
    (shipped, seconds), *_ = pauses
    assert shipped == 7, "a batch of 5 and one of 2, then the pause"
    assert 90 < seconds < 100


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs, only what is on the disk or in the store remains."""


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("step", range(12))
async def test_a_kill_at_any_step_leaves_each_record_exactly_once(
    installation: Any, monkeypatch: pytest.MonkeyPatch, step: int, after_effect: bool
) -> None:
    wanted = [f"r{number:02d}" for number in range(17)]
    spool(installation, *wanted)
    steps = 0

    def fatal(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step + 1 and not after_effect:
                raise Killed
            result = real(*args, **kwargs)
            if steps == step + 1:
                raise Killed
            return result

        return wrapped

    with monkeypatch.context() as patch:
        # Every durable effect, in the order in which they happen.
        patch.setattr(state_module.StateDir, "save_batch", fatal(state_module.StateDir.save_batch))
        patch.setattr(state_module.StateDir, "save_head", fatal(state_module.StateDir.save_head))
        patch.setattr(state_module.StateDir, "append_anchor", lambda *_: None)
        patch.setattr(installation.store, "_transaction", fatal(installation.store._transaction))
        with pytest.raises(Killed):
            await ship(installation, 18)
    await ship(installation, 17)
    assert installation.request_ids() == wanted
    async with installation.store.client() as hapi:
        assert (await verify(hapi, installation.state, installation.key)).is_whole


async def test_hapi_down_loses_nothing_and_is_said(installation: Any) -> None:
    installation.store.is_down = True
    spool(installation, "a", "b")
    shipper = installation.shipper()
    task = asyncio.create_task(shipper.run())
    await until(
        lambda: (installation.state / "status.json").exists() and bool(status(installation)["waiting_for"])
    )
    assert not installation.store.events
    installation.store.is_down = False
    await until(lambda: len(installation.store.events) == 2)
    shipper.stop()
    await task
    assert status(installation)["waiting_for"] is None


async def test_only_references_that_exist_are_literal(installation: Any) -> None:
    installation.store.existing = {"Patient/1", "Practitioner/d1"}
    spool(installation, "a", patient="Patient/1", what=["ImagingStudy/404", "Patient/1/_history/3"])
    await ship(installation, 1)
    event = installation.store.events["ae-000000000001"]
    whats = [entity["what"] for entity in event["entity"]]
    assert event["agent"][0]["who"] == {"reference": "Practitioner/d1"}
    assert whats[0] == {"reference": "Patient/1"}
    assert whats[1]["identifier"]["value"] == "ImagingStudy/404"
    assert "reference" not in whats[1]
    assert whats[2] == {"reference": "Patient/1/_history/3"}


async def test_a_reference_that_hapi_refuses_does_not_stop_the_trail(installation: Any) -> None:
    installation.store.existing = {"Patient/1", "Patient/gone"}
    installation.store.refuse_literal_to = "Patient/gone"
    spool(installation, "a", "b", patient="Patient/1")
    spool(installation, "c", patient="Patient/gone")
    spool(installation, "d", "e", patient="Patient/1")
    await ship(installation, 5)
    assert sorted(installation.request_ids()) == ["a", "b", "c", "d", "e"]
    async with installation.store.client() as hapi:
        assert (await verify(hapi, installation.state, installation.key)).is_whole


async def test_what_hapi_cannot_store_leaves_its_hash_and_is_kept(installation: Any) -> None:
    installation.store.refuse_always = "poison"
    spool(installation, "a", "b")
    spool(installation, "c", detail={"x": "poison"})
    spool(installation, "d")
    await ship(installation, 4)
    assert installation.request_ids() == ["a", "b", "c", "d"]
    kept = (installation.state / "refused.jsonl").read_text()
    assert kept.count("poison") == 1
    async with installation.store.client() as hapi:
        assert (await verify(hapi, installation.state, installation.key)).is_whole


async def test_nginxs_word_is_joined_to_a_passed_answer(installation: Any) -> None:
    spool(installation, "passed1", "passed2", passed=True)
    spool(installation, "own")
    shipper = installation.shipper()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nginx:
        for name, code in (("passed1", 200), ("passed2", 499)):
            line = f'<190>Nov 21 07:09:15 nginx: {{"request_id":"{name}","status":{code},"bytes":7}}'
            nginx.sendto(line.encode(), str(installation.socket))
    task = asyncio.create_task(shipper.run())
    await until(lambda: len(installation.store.events) == 3)
    shipper.stop()
    await task
    by_name = dict(zip(installation.request_ids(), sorted(installation.store.events), strict=True))
    one, two = (installation.store.events[by_name[name]] for name in ("passed1", "passed2"))
    assert {"type": "http-status", "valueString": "200"} in one["entity"][-1]["detail"]
    assert {"type": "body-bytes", "valueString": "7"} in one["entity"][-1]["detail"]
    assert (one["outcome"], two["outcome"]) == ("0", "4")
    assert "detail" not in installation.store.events[by_name["own"]]["entity"][-1]


async def test_a_passed_answer_waits_for_nginx_and_delays_no_other(installation: Any) -> None:
    spool(installation, "passed", passed=True)
    spool(installation, "a", "b", "c")
    await ship(installation, 3)
    assert installation.request_ids() == ["a", "b", "c"]
    await ship(installation, 4, join_s=0)
    assert installation.request_ids() == ["a", "b", "c", "passed"]
    event = installation.store.events["ae-000000000004"]
    assert {"type": "delivery", "valueString": "unconfirmed"} in event["entity"][-1]["detail"]
    assert status(installation)["unconfirmed"] == 1


async def test_an_empty_state_folder_beside_a_trail_is_refused(installation: Any, tmp_path: Path) -> None:
    spool(installation, "a")
    await ship(installation, 1)
    (installation.state / "state.json").unlink()
    (installation.state / "next.json").unlink()
    spool(installation, "b")
    with pytest.raises(ChainStateError):
        await installation.shipper().run()
    assert installation.request_ids() == ["a"]


async def test_another_event_under_the_next_number_stops_the_shipper(installation: Any) -> None:
    spool(installation, "a")
    await ship(installation, 1)
    installation.store.events["ae-000000000002"] = {"resourceType": "AuditEvent", "id": "ae-000000000002"}
    spool(installation, "b")
    with pytest.raises(ChainStateError):
        await installation.shipper().run()


async def test_a_wrong_secret_is_waited_out_and_changes_no_record(
    installation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    spool(installation, "a", patient="Patient/1")
    installation.store.existing = {"Patient/1"}
    with monkeypatch.context() as patch:
        patch.setattr(installation.store, "_transaction", lambda _: httpx.Response(403))
        shipper = installation.shipper()
        task = asyncio.create_task(shipper.run())
        await until(
            lambda: (
                (installation.state / "status.json").exists() and bool(status(installation)["waiting_for"])
            )
        )
        shipper.stop()
        await task
    await ship(installation, 1)
    assert installation.store.events["ae-000000000001"]["entity"][0]["what"] == {"reference": "Patient/1"}


def test_the_trail_has_a_single_writer(installation: Any) -> None:
    first = state_module.StateDir(installation.state)
    assert first.lock() is not None
    assert state_module.StateDir(installation.state).lock() is None


def test_a_torn_anchor_is_cut_before_the_next(installation: Any) -> None:
    from facade.audit.chain import load_signer

    files = state_module.StateDir(installation.state)
    signer = load_signer(installation.key)
    files.append_anchor(state_module.Head(1, "a" * 64), signer)
    with files.anchors_path.open("ab") as torn:
        torn.write(b'{"at":"20')
    assert len(files.anchors()) == 1
    files.append_anchor(state_module.Head(2, "b" * 64), signer)
    assert [anchor.sequence for anchor in files.anchors()] == [1, 2]
