"""What was kept long enough goes, exported first; what is left proves itself, whoever is killed when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from facade.audit import retention
from facade.audit.chain import load_signer, seal
from facade.audit.retention import RetentionError, retire
from facade.audit.state import Head, StateDir
from facade.audit.verify import VerifyReport, verify
from tests.facade.audit.conftest import Bench

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EVENTS, OLD = 7, 4


def fill(bench: Bench, first: int = 1, count: int = EVENTS) -> None:
    """Events a day apart, the first of them OLD days older than NOW."""
    state, signer = StateDir(bench.state), load_signer(bench.key)
    head = state.head() or Head()
    for number in range(first, first + count):
        recorded = (NOW + timedelta(days=number - OLD - 1)).isoformat()
        sealed, digest = seal({"resourceType": "AuditEvent", "recorded": recorded}, number, head.hash, signer)
        bench.store.events[sealed["id"]] = {**sealed, "meta": {"versionId": "1"}}
        head = Head(number, digest)
        state.save_head(head)
    state.append_anchor(head, signer)


def run(bench: Bench, file: str = "export.ndjson", before: datetime = NOW) -> retention.Removed:
    return asyncio.run(
        retire(bench.store.client(), bench.state, bench.key, before=before, export=bench.folder / file)
    )


def check(bench: Bench) -> VerifyReport:
    return asyncio.run(verify(bench.store.client(), bench.state, bench.key))


def numbers(bench: Bench) -> list[int]:
    return [int(name.removeprefix("ae-")) for name in sorted(bench.store.events)]


def test_old_events_are_exported_and_removed_and_the_rest_verifies(installation: Bench) -> None:
    fill(installation)
    before = list(installation.store.events.values())
    assert run(installation) == retention.Removed(OLD, OLD)
    assert numbers(installation) == [5, 6, 7]
    file = installation.folder / "export.ndjson"
    assert [json.loads(line) for line in file.read_text().splitlines()] == before[:OLD]
    assert file.stat().st_mode & 0o077 == 0
    report = check(installation)
    assert (report.is_whole, report.events) == (True, EVENTS - OLD)
    fill(installation, EVENTS + 1, 2)
    assert check(installation).is_whole
    assert run(installation, "again.ndjson", NOW + timedelta(days=1)) == retention.Removed(1, OLD + 1)
    assert check(installation).is_whole


def test_nothing_old_removes_nothing_and_the_newest_always_stays(installation: Bench) -> None:
    fill(installation)
    assert run(installation, before=NOW - timedelta(days=100)) == retention.Removed(0, 0)
    assert run(installation, "all.ndjson", NOW + timedelta(days=100)) == retention.Removed(
        EVENTS - 1, EVENTS - 1
    )
    assert numbers(installation) == [EVENTS]
    assert check(installation).is_whole


@pytest.mark.parametrize("moment", ["append_checkpoint", "_remove"])
def test_a_run_that_is_killed_is_ended_by_the_next_one(
    installation: Bench, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    fill(installation)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    owner = StateDir if moment == "append_checkpoint" else retention
    with monkeypatch.context() as patched:
        patched.setattr(owner, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            run(installation)
    assert numbers(installation) == [1, 2, 3, 4, 5, 6, 7]
    assert check(installation).is_whole
    del installation.store.events["ae-000000000001"]  # a part of the removal was done
    if moment == "_remove":
        assert check(installation).is_whole
        assert run(installation, "again.ndjson") == retention.Removed(OLD - 1, OLD)
        assert numbers(installation) == [5, 6, 7]


def _cut(bench: Bench) -> None:
    del bench.store.events["ae-000000000005"]


def _no_checkpoint(bench: Bench) -> None:
    (bench.state / "checkpoints.jsonl").unlink()


def _anchor_for_checkpoint(bench: Bench) -> None:
    lines = (bench.state / "anchors.jsonl").read_bytes()
    (bench.state / "checkpoints.jsonl").write_bytes(lines)


def _further(bench: Bench) -> None:
    path = bench.state / "checkpoints.jsonl"
    path.write_text(path.read_text().replace(f'"sequence":{OLD}', f'"sequence":{OLD + 1}'))
    del bench.store.events["ae-000000000005"]


def _inserted(bench: Bench) -> None:
    bench.store.events["ae-000000000002"] = {"resourceType": "AuditEvent", "id": "ae-000000000002"}


@pytest.mark.parametrize("attack", [_cut, _no_checkpoint, _anchor_for_checkpoint, _further, _inserted])
def test_nobody_shortens_the_trail_in_the_name_of_retention(
    installation: Bench, attack: Callable[[Bench], None]
) -> None:
    fill(installation)
    run(installation)
    attack(installation)
    assert not check(installation).is_whole


def test_a_broken_trail_and_a_file_that_exists_remove_nothing(installation: Bench, tmp_path: Path) -> None:
    fill(installation)
    (tmp_path / "export.ndjson").write_text("kept")
    with pytest.raises(FileExistsError):
        run(installation)
    installation.store.events["ae-000000000002"]["recorded"] = "2020-01-01T00:00:00Z"
    with pytest.raises(RetentionError):
        run(installation, "other.ndjson")
    assert numbers(installation) == [1, 2, 3, 4, 5, 6, 7]
