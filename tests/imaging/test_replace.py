"""The replacement is killed with SIGKILL at each of its steps, against a real Orthanc."""

import asyncio
import signal
import sys

import pytest

from imaging.errors import OrthancNotFoundError, ReplaceBusyError, ReplaceError
from imaging.orthanc import OrthancClient, Stored
from imaging.read import inspect
from imaging.replace import Replacer
from tests.imaging.builders import mr_file, transcoded


class Memory(OrthancClient):
    """An Orthanc of one dictionary, which can be told to lie."""

    def __init__(self):
        self.files = {}
        self.on_delete = lambda: None
        self.written = lambda data: data

    async def fetch(self, instance, file):
        if instance not in self.files:
            raise OrthancNotFoundError("")
        file.write(self.files[instance])
        file.flush()

    async def store_file(self, path):
        data = path.read_bytes()
        oid = inspect(data).orthanc_id
        if oid in self.files:
            return Stored(oid, "AlreadyStored")
        self.files[oid] = self.written(data)
        return Stored(oid, "Success")

    async def delete(self, instance):
        self.files.pop(instance, None)
        self.on_delete()


ORIGINAL = mr_file()
NEW = transcoded(ORIGINAL).data
OID = inspect(ORIGINAL).orthanc_id


@pytest.fixture
def files(tmp_path_factory):
    """Original and replacement, where no test counts files."""
    directory = tmp_path_factory.mktemp("files")
    (directory / "original").write_bytes(ORIGINAL)
    (directory / "new").write_bytes(NEW)
    return directory / "original", directory / "new"


@pytest.fixture
def memory():
    made = Memory()
    made.files[OID] = ORIGINAL
    return made


def left(directory):
    return sorted(path.name for path in directory.iterdir() if path.is_file())


async def test_the_new_bytes_are_there_and_no_copy_is_left(memory, files, tmp_path):
    await Replacer(memory, tmp_path).replace(OID, *files)
    assert memory.files == {OID: NEW}
    assert left(tmp_path) == []


async def test_the_copy_is_durable_before_anything_is_deleted(memory, files, tmp_path):
    seen = []
    memory.on_delete = lambda: seen.append((tmp_path / f"{OID}.dcm").read_bytes())
    await Replacer(memory, tmp_path).replace(OID, *files)
    assert seen == [ORIGINAL]


async def test_bytes_that_come_back_changed_put_the_original_back(memory, files, tmp_path):
    memory.written = lambda data: data[:-1] + b"X" if data == NEW else data
    with pytest.raises(ReplaceError):
        await Replacer(memory, tmp_path).replace(OID, *files)
    assert memory.files == {OID: ORIGINAL}
    assert left(tmp_path) == []


async def test_other_bytes_sent_within_the_gap_are_kept_aside(memory, files, tmp_path):
    foreign = mr_file(PatientName="Test^Other")

    def send_again():
        memory.on_delete = lambda: None
        memory.files[OID] = foreign

    memory.on_delete = send_again
    await Replacer(memory, tmp_path).replace(OID, *files)
    assert memory.files == {OID: NEW}
    assert [path.read_bytes() for path in (tmp_path / "again").iterdir()] == [foreign]


async def test_originals_are_kept_for_the_days_that_are_set(memory, files, tmp_path):
    replacer = Replacer(memory, tmp_path, originals_days=1)
    await replacer.replace(OID, *files)
    kept = tmp_path / "originals" / f"{OID}.dcm"
    assert kept.read_bytes() == ORIGINAL
    written = kept.stat().st_mtime
    assert replacer.forget_originals(written + 86_399) == 0
    assert replacer.forget_originals(written + 86_401) == 1
    assert not kept.exists()


async def test_a_living_replacement_is_not_put_back_by_another_worker(memory, files, tmp_path):
    gap, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Memory):
        async def delete(self, instance):
            await super().delete(instance)
            gap.set()
            await go_on.wait()

    slow = Slow()
    slow.files = memory.files
    running = asyncio.create_task(Replacer(slow, tmp_path).replace(OID, *files))
    await gap.wait()
    other = Replacer(memory, tmp_path)
    assert await other.put_back_leftovers() == 0
    with pytest.raises(ReplaceBusyError):
        await other.replace(OID, *files)
    go_on.set()
    await running
    assert memory.files == {OID: NEW}


_WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from imaging.orthanc import OrthancClient
from imaging.replace import Replacer

url, user, password, directory, step, oid = sys.argv[1:]
original, new = Path(directory, "original"), Path(directory, "new")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(OrthancClient):
    async def delete(self, instance):
        if step == "before-delete":
            die()
        await super().delete(instance)
        if step == "after-delete":
            die()
    async def store_file(self, path):
        stored = await super().store_file(path)
        if step == "after-post":
            die()
        return stored
    async def fetch(self, instance, file):
        size = await super().fetch(instance, file)
        if step == "after-read":
            die()
        return size

async def main():
    async with Dying(url, user, password) as client:
        await Replacer(client, Path(directory, "replace")).replace(oid, original, new)

asyncio.run(main())
"""


@pytest.mark.server
@pytest.mark.parametrize("step", ["before-delete", "after-delete", "after-post", "after-read"])
async def test_a_worker_killed_at_any_step_loses_no_pixel(orthanc, client, tmp_path, step):
    study = f"1.2.8.{['before-delete', 'after-delete', 'after-post', 'after-read'].index(step)}"
    original = mr_file(study_uid=study, series_uid=f"{study}.1")
    new = transcoded(original).data
    (tmp_path / "original").write_bytes(original)
    (tmp_path / "new").write_bytes(new)
    oid = (await client.store(original)).orthanc_id
    arguments = [orthanc.orthanc_url, *orthanc.orthanc_login, str(tmp_path), step, oid]
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", _WORKER, *arguments)
    assert await worker.wait() == -signal.SIGKILL
    assert await client.exists(oid) == (step != "after-delete")
    assert left(tmp_path / "replace") == [f"{oid}.dcm"]

    replacer = Replacer(client, tmp_path / "replace")
    assert await replacer.put_back_leftovers() == 1
    assert await client.file(oid) == original
    assert left(tmp_path / "replace") == []

    await replacer.replace(oid, tmp_path / "original", tmp_path / "new")
    assert await client.file(oid) == new


@pytest.mark.server
async def test_a_copy_that_was_never_finished_changes_nothing(client, tmp_path):
    original = mr_file(study_uid="1.2.8.9", series_uid="1.2.8.9.1")
    oid = (await client.store(original)).orthanc_id
    replacer = Replacer(client, tmp_path)
    (tmp_path / f"{oid}.1.part").write_bytes(original[:100])
    assert await replacer.put_back_leftovers() == 0
    assert await client.file(oid) == original
