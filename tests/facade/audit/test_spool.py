"""The spool keeps what it acknowledged, whatever happens to the writer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from facade.audit.errors import SpoolError
from facade.audit.event import Viewing, Who, audit_event
from facade.audit.spool import QUICK_S, RESERVED_BYTES, Spool, decode, encode

DOCTOR = Who("Practitioner/d1", "doctor", "viewer", "jti-1", "127.0.0.1")


def event(number: int, **more: Any) -> dict[str, Any]:
    return audit_event(
        interaction="read", action="R", who=DOCTOR, patient="Patient/p1", request_id=f"{number:032x}", **more
    )


def records(directory: Path) -> list[dict[str, Any]]:
    found = []
    for segment in sorted(directory.glob("*.spool")):
        for line in segment.read_bytes().splitlines():
            record = decode(line)
            if record is not None:
                found.append(record)
    return found


def segments(directory: Path) -> int:
    return len(list(directory.glob("*.spool")))


def only(directory: Path) -> Path:
    (segment,) = directory.glob("*.spool")
    return segment


def ids(directory: Path) -> list[str]:
    return [record["event"]["entity"][-1]["what"]["identifier"]["value"] for record in records(directory)]


async def test_a_record_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    await spool.write(event(1), event(2))
    assert ids(tmp_path) == [f"{1:032x}", f"{2:032x}"]
    spool.close()


async def test_concurrent_writers_share_syncs_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = 0
    real = os.fdatasync

    def counted(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        real(fd)

    monkeypatch.setattr(os, "fdatasync", counted)
    spool = Spool(tmp_path, "facade")
    await asyncio.gather(*(spool.write(event(number)) for number in range(200)))
    assert sorted(ids(tmp_path)) == [f"{number:032x}" for number in range(200)]
    assert syncs < 100, "200 writers that wait together must not cost 200 syncs"
    spool.close()


async def test_write_waits_for_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real = os.fdatasync

    def noted(fd: int) -> None:
        real(fd)
        order.append("synced")

    monkeypatch.setattr(os, "fdatasync", noted)
    spool = Spool(tmp_path, "facade")
    await spool.write(event(1))
    order.append("answered")
    assert order == ["synced", "answered"]
    spool.close()


async def test_a_spool_that_cannot_be_written_refuses_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "facade")
    await spool.write(event(1))
    real = os.fdatasync

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(SpoolError):
        await spool.write(event(2))
    with pytest.raises(SpoolError):
        spool.write_sync(event(3))
    monkeypatch.setattr(os, "fdatasync", real)
    await spool.write(event(4))
    assert {f"{1:032x}", f"{4:032x}"} <= set(ids(tmp_path))
    assert segments(tmp_path) >= 2, "a segment whose sync failed is never appended to again"
    spool.close()


async def test_the_frames_of_one_viewing_are_one_record_a_minute(tmp_path: Path) -> None:
    now = 600.0
    spool = Spool(tmp_path, "facade", clock=lambda: now)
    viewing = Viewing("1.2", "1.2.3")
    await asyncio.gather(*(spool.write(event(n, viewing=viewing)) for n in range(20)))
    assert len(ids(tmp_path)) == 1
    await spool.write(event(30, viewing=Viewing("1.2", "1.2.4")))
    assert len(ids(tmp_path)) == 2
    now = 661.0
    await spool.write(event(31, viewing=viewing))
    assert len(ids(tmp_path)) == 3
    spool.close()


async def test_frames_wait_for_the_record_that_stands_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "facade", clock=lambda: 600.0)
    real = os.fdatasync

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    viewing = Viewing("1.2", "1.2.3")
    answers = await asyncio.gather(
        *(spool.write(event(n, viewing=viewing)) for n in range(3)), return_exceptions=True
    )
    assert all(isinstance(answer, SpoolError) for answer in answers)
    monkeypatch.setattr(os, "fdatasync", real)
    await spool.write(event(9, viewing=viewing))
    assert f"{9:032x}" in ids(tmp_path), "a record that failed stands for nothing"
    spool.close()


def test_segments_rotate(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "worker", segment_bytes=4096)
    for number in range(20):
        spool.write_sync(event(number))
    assert len(list(tmp_path.glob("*.spool"))) > 2
    assert ids(tmp_path) == [f"{number:032x}" for number in range(20)]
    spool.close()


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "worker")
    spool.write_sync(event(1))
    child = os.fork()
    if child == 0:
        spool.write_sync(event(2))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    spool.write_sync(event(3))
    assert sorted(ids(tmp_path)) == [f"{n:032x}" for n in (1, 2, 3)]
    assert len(list(tmp_path.glob("*.spool"))) == 2
    spool.close()


def test_a_damaged_line_is_told_from_a_whole_one() -> None:
    line = encode(event(1), 1.0).rstrip(b"\n")
    assert decode(line) is not None
    assert decode(line[:-5]) is None
    assert decode(line.replace(b"doctor", b"nobody")) is None
    assert decode(b"") is None


WRITER = """
import sys
import threading
import time
from pathlib import Path
from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool
spool = Spool(Path(sys.argv[1]), "facade")
number = 0
while True:
    who = Who(None, "doctor")
    spool.write_sync(audit_event(interaction="read", action="R", who=who, request_id=f"{number:032x}"))
    sys.stdout.write(f"{number:032x}\\n")
    sys.stdout.flush()
    number += 1
    sys.stdin.readline()  # not ahead of the test: what is killed is the newest record
"""


def test_kill_9_of_a_writer_loses_no_acknowledged_record(tmp_path: Path) -> None:
    acknowledged = []
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for line in process.stdout:
            acknowledged.append(line.strip())
            if len(acknowledged) == 101:
                process.send_signal(signal.SIGKILL)
                break
            process.stdin.write("\n")
    assert set(acknowledged) <= set(ids(tmp_path))


async def test_records_are_written_into_what_was_reserved(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    await spool.write(event(0))
    segment = only(tmp_path)
    size = segment.stat().st_size
    for number in range(1, 20):
        await spool.write(event(number))
    assert segment.stat().st_size == size, "a longer file is one more thing to write for the file system"
    assert segment.read_bytes().endswith(bytes(RESERVED_BYTES // 2))
    spool.close()
    assert segment.read_bytes().endswith(b"}\n")
    assert len(ids(tmp_path)) == 20
    with pytest.raises(SpoolError):
        await spool.write(event(20))


async def test_more_than_was_reserved_is_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "facade")
    large = {"text": "x" * 200}
    for number in range(400):
        await spool.write(event(number, detail=large))
    assert ids(tmp_path) == [f"{number:032x}" for number in range(400)]
    spool.close()


async def test_a_slow_disk_holds_up_the_event_loop_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop_threads: list[bool] = []
    main = threading.get_ident()
    now = 0.0

    def slow(fd: int) -> None:
        nonlocal now
        loop_threads.append(threading.get_ident() == main)
        now += 2 * QUICK_S

    def quick(fd: int) -> None:
        loop_threads.append(threading.get_ident() == main)

    spool = Spool(tmp_path, "facade", stopwatch=lambda: now)
    for sync in (quick, quick, slow, slow, slow, quick, quick):
        monkeypatch.setattr(os, "fdatasync", sync)
        await spool.write(event(len(loop_threads)))
    # The first one makes the segment; what follows a slow one is left to a thread until that was quick again.
    assert loop_threads == [False, True, True, False, False, False, True]
    spool.close()
