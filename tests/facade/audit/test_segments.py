"""The reading end hands out every acknowledged record once, over restarts, and removes only what is done."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from facade.audit.errors import SpoolError
from facade.audit.event import Who, audit_event
from facade.audit.segments import Record, SpoolReader
from facade.audit.spool import Spool


def only(directory: Path) -> Path:
    (segment,) = directory.glob("*.spool")
    return segment


def write(spool: Spool, *names: str) -> None:
    for name in names:
        spool.write_sync(
            audit_event(interaction="read", action="R", who=Who(None, "doctor"), request_id=name)
        )


def name_of(record: Record) -> str:
    return str(record.event["entity"][-1]["what"]["identifier"]["value"])


def names(reader: SpoolReader) -> list[str]:
    reader.poll()
    return [name_of(record) for record in reader.pending()]


def done(reader: SpoolReader, *wanted: str) -> None:
    reader.done([record for record in reader.pending() if name_of(record) in wanted])


def test_records_of_all_writers_come_oldest_first(tmp_path: Path) -> None:
    now = 1.0
    first = Spool(tmp_path, "facade", clock=lambda: now)
    second = Spool(tmp_path, "worker", clock=lambda: now)
    for spool, name in ((first, "a"), (second, "b"), (first, "c")):
        write(spool, name)
        now += 1
    assert names(SpoolReader(tmp_path, {})) == ["a", "b", "c"]


def test_what_is_done_out_of_order_stays_done_over_restarts(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    write(spool, "a", "b", "c", "d")
    cursors: dict[str, Any] = {}
    for finished, left in (("c", ["a", "b", "d"]), ("b", ["a", "d"]), ("none", ["a", "d"]), ("a", ["d"])):
        reader = SpoolReader(tmp_path, cursors)
        names(reader)
        done(reader, finished)
        cursors = reader.cursors()
        reader.close()
        again = SpoolReader(tmp_path, cursors)
        assert names(again) == left
        again.close()


def test_a_segment_stays_while_its_writer_lives(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    write(spool, "a")
    reader = SpoolReader(tmp_path, {})
    names(reader)
    done(reader, "a")
    reader.sweep()
    assert list(tmp_path.glob("*.spool")), "a segment must not be removed under its writer"
    write(spool, "b")
    assert names(reader) == ["b"]
    spool.close()
    reader.sweep()
    assert list(tmp_path.glob("*.spool")), "a segment must not be removed before it is done"
    done(reader, "b")
    reader.sweep()
    assert not list(tmp_path.glob("*.spool"))


def test_a_torn_tail_is_waited_for_while_the_writer_lives_and_dropped_after(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    write(spool, "a")
    segment = next(tmp_path.glob("*.spool"))
    whole = segment.read_bytes()
    spool.close()
    with segment.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.seek(0, 2)
        held.write(whole[:40])
        held.flush()
        reader = SpoolReader(tmp_path, {})
        assert names(reader) == ["a"]
        done(reader, "a")
        reader.sweep()
        assert segment.exists()
        held.write(whole[40:])
        held.flush()
        assert names(reader) == ["a"]
        done(reader, "a")
        held.write(whole[:40])
    reader.sweep()
    assert not segment.exists()


def test_a_damaged_record_is_reported_in_the_trail_and_hides_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    write(spool, "a", "b", "c")
    spool.close()
    segment = next(tmp_path.glob("*.spool"))
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[1] = b"0" * 8 + lines[1][8:]
    segment.write_bytes(b"".join(lines))
    reader = SpoolReader(tmp_path, {})
    reader.poll()
    found = [record.event for record in reader.pending()]
    assert len(found) == 3
    alert = next(event for event in found if "outcomeDesc" in event)
    assert alert["outcomeDesc"] == "a record of the audit spool is damaged"
    details = {one["type"]: one["valueString"] for one in alert["entity"][-1]["detail"]}
    assert details["segment"] == segment.name


def test_a_segment_larger_than_one_read_comes_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade", segment_bytes=64 * 1024**2)
    big = {"text": "x" * 400}
    for start in range(0, 3000, 500):
        spool.write_sync(
            *(
                audit_event(
                    interaction="read",
                    action="R",
                    who=Who(None, "doctor"),
                    request_id=f"{number:04d}",
                    detail=big,
                )
                for number in range(start, start + 500)
            )
        )
    assert next(tmp_path.glob("*.spool")).stat().st_size > 2 * 1024**2
    assert sorted(names(SpoolReader(tmp_path, {}))) == [f"{number:04d}" for number in range(3000)]


async def test_what_a_writer_has_reserved_is_no_record_and_no_backlog(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    reader = SpoolReader(tmp_path, {})
    for name in ("a", "b"):
        await spool.write(
            audit_event(interaction="read", action="R", who=Who(None, "doctor"), request_id=name)
        )
        assert names(reader) == [name]
        assert reader.backlog_bytes > 0
        done(reader, name)
        assert reader.backlog_bytes == 0
    segment = only(tmp_path)
    left = tmp_path / "facade.1.1.spool"
    # As a killed writer leaves it: reserved to the end, and nobody who holds the lock.
    left.write_bytes(segment.read_bytes())
    assert sorted(names(reader)) == ["a", "b"]
    done(reader, "a", "b")
    reader.sweep()
    assert not left.exists()
    assert segment.exists()
    spool.close()


def test_zeros_in_the_middle_are_damage_and_hide_no_record(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    write(spool, "a", "b")
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    first, second = segment.read_bytes().splitlines(keepends=True)
    for zeros in (100, 3 * 1024**2):
        segment.write_bytes(first + bytes(zeros) + second + first)
        reader = SpoolReader(tmp_path, {})
        for _ in range(8):
            reader.poll()
        found = [record.event for record in reader.pending()]
        assert [name_of(record) for record in reader.pending()].count("a") == 2
        assert any("outcomeDesc" in event for event in found)
        reader.close()


async def test_a_record_that_was_read_before_its_sync_failed_stops_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, reader = Spool(tmp_path, "facade"), SpoolReader(tmp_path, {})

    def failing(_: int) -> None:
        reader.poll()
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(SpoolError):
            spool.write_sync(
                *(
                    audit_event(interaction="read", action="R", who=Who(None, "doctor"), request_id=name)
                    for name in ("a", "b")
                )
            )
    write(spool, "c")
    assert "c" in names(reader)
    assert reader.backlog_bytes > 0
    spool.close()
