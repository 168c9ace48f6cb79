import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imaging import child as child_module
from imaging.child import Children
from imaging.errors import ChildDiedError, DICOMError
from tests.imaging.builders import mr_file, parsed
from tests.servers.stack import wait_for


async def _pid(children):
    await children.inspect(mr_file())
    return children._all[0]._process.pid


@pytest.fixture
def paths(tmp_path):
    """A file and an empty one."""
    (tmp_path / "source").write_bytes(mr_file())
    (tmp_path / "target").touch()
    return tmp_path / "source", tmp_path / "target"


async def test_a_child_reads_and_transcodes(paths):
    async with Children(1) as children:
        assert (await children.inspect(mr_file(number=3))).instance_number == 3
        assert (await children.transcode(*paths))["outcome"] == "done"
    assert parsed(paths[1].read_bytes()).SOPInstanceUID


async def test_a_part_of_a_file_is_read(tmp_path):
    data = mr_file(number=4)
    path = tmp_path / "x"
    path.write_bytes(b"before" + data + b"after")
    async with Children(1) as children:
        assert (await children.inspect_part(path, 6, len(data))).instance_number == 4
        with pytest.raises(DICOMError):
            await children.inspect_part(path, 6, len(data) + 100)


async def test_a_child_has_no_secrets(monkeypatch):
    monkeypatch.setenv("IMAGING_ORTHANC_PASSWORD", "do-not-leak")
    monkeypatch.setenv("FACADE_HAPI_SECRET", "do-not-leak")
    async with Children(1) as children:
        environment = _proc(await _pid(children), "environ")
    assert b"do-not-leak" not in environment
    assert {entry.split(b"=")[0].decode() for entry in environment.split(b"\0") if entry} <= {
        *child_module._PASSED_ON,
        *child_module._GIVEN,
    }


async def test_a_killed_child_is_an_outcome_and_the_next_call_works(paths):
    async with Children(1) as children:
        pid = await _pid(children)
        os.kill(pid, signal.SIGSTOP)  # in the middle of its work
        call = asyncio.ensure_future(children.transcode(*paths))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChildDiedError):
            await call
        assert (await children.transcode(*paths))["outcome"] == "done"


async def test_a_child_that_hangs_is_ended():
    async with Children(1, timeout_s=30) as children:
        pid = await _pid(children)
        children._timeout_s = 0.3
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ChildDiedError):
            await children.inspect(mr_file())
        assert not _runs(pid)


async def test_a_cancelled_call_does_not_leave_its_answer_to_the_next():
    async with Children(1) as children:
        await _pid(children)
        call = asyncio.ensure_future(children.inspect(mr_file(number=1)))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await children.inspect(mr_file(number=2))).instance_number == 2


async def test_a_second_child_starts_only_for_work_beside_the_first():
    async with Children(2) as children:
        for _ in range(3):
            await children.inspect(mr_file())
        assert sum(child._process is not None for child in children._all) == 1
        await asyncio.gather(children.inspect(mr_file()), children.inspect(mr_file()))
        assert all(child._process is not None for child in children._all)


async def test_memory_is_limited():
    async with Children(1, memory_bytes=1 << 30) as children:
        limit = _proc(await _pid(children), "limits").decode()
    assert [line.split()[3] for line in limit.splitlines() if line.startswith("Max address space")] == [
        str(1 << 30)
    ]


async def test_bad_files_are_errors_not_deaths():
    async with Children(1) as children:
        pid = await _pid(children)
        for data in (b"", b"junk", mr_file()[:700]):
            with pytest.raises(DICOMError):
                await children.inspect(data)
        assert children._all[0]._process.pid == pid


_PARENT = """
import asyncio
from imaging.child import Children
from tests.imaging.builders import mr_file
async def main():
    children = Children(1)
    await children.inspect(mr_file())
    print(children._all[0]._process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_child_dies_with_its_parent():
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not _runs(pid), "the child to be gone", timeout_s=10)


def _proc(pid, name):
    return Path(f"/proc/{pid}/{name}").read_bytes()


def _runs(pid):
    try:
        return _proc(pid, "stat").split()[2] != b"Z"
    except FileNotFoundError:
        return False


async def test_what_a_child_finds_odd_does_not_reach_the_log(paths, capfd):
    frame_of_reference = str(parsed(mr_file()).FrameOfReferenceUID).encode()
    odd = b"x" * len(frame_of_reference)
    paths[0].write_bytes(mr_file().replace(frame_of_reference, odd))
    async with Children(1) as children:
        await children.inspect_file(paths[0])
        await children.transcode(*paths)
    assert capfd.readouterr() == ("", "")
