"""Converted instances are put back, also by a command that is killed, against a real Orthanc."""

import asyncio
import fcntl
import signal
import sys

import numpy as np
import pytest

from imaging.frames import EXPLICIT_LE, HTJ2K_LOSSLESS_RPCL
from imaging.index import Index
from imaging.pipeline import Pipeline
from imaging.read import inspect
from imaging.replace import Replacer
from imaging.restore import Restorer
from tests.imaging.builders import parsed
from tests.imaging.test_pipeline import arrive, slices

pytestmark = pytest.mark.server
STEPS = ["before-delete", "after-delete", "after-post", "after-replace"]


@pytest.fixture
def index(tmp_path):
    return Index(tmp_path / "data")


@pytest.fixture
def work(index, client, children, tmp_path):
    """Converts a study of three slices; gives its ids, files, pipeline and restorer."""

    async def converted(study, *, originals_days=0):
        files = slices(study, 3)
        ids = await arrive(index, client, children, tmp_path / "data", files)
        replacer = Replacer(client, tmp_path / "replace", originals_days=originals_days)
        pipeline = Pipeline(index, client, children, replacer)
        assert (await pipeline.transcode_study(study)).done == 3
        return ids, files, pipeline, Restorer(index, client, children, replacer)

    return converted


def check_rows(index, study, syntax, outcome):
    for row in index.instances(study):
        assert (row.transfer_syntax, row.outcome, row.in_change) == (syntax, outcome, False)


async def test_kept_originals_come_back_byte_for_byte(work, index, client):
    study = "1.2.9.1"
    ids, files, pipeline, restorer = await work(study, originals_days=1)
    done = await restorer.restore_study(study)
    assert (done.originals, done.explicit, done.failed) == (3, 0, ())
    assert [await client.file(oid) for oid in ids] == files
    check_rows(index, study, EXPLICIT_LE, "kept")
    assert (await pipeline.transcode_study(study)).done == 0  # nothing converts it by itself
    assert (await restorer.restore_study(study)).originals == 0


async def test_without_originals_it_is_explicit_with_the_recorded_pixels(work, index, client):
    study = "1.2.9.2"
    ids, files, pipeline, restorer = await work(study)
    assert (await restorer.restore_study(study)).explicit == 3
    for oid, source in zip(ids, files, strict=True):
        stored = await client.file(oid)
        assert inspect(stored).digest == inspect(source).digest
        assert np.array_equal(parsed(stored).pixel_array, parsed(source).pixel_array)
    check_rows(index, study, EXPLICIT_LE, "kept")
    assert index.reopen(study, HTJ2K_LOSSLESS_RPCL) == 3
    assert (await pipeline.transcode_study(study)).done == 3
    check_rows(index, study, HTJ2K_LOSSLESS_RPCL, "done")
    assert index.reopen(study, HTJ2K_LOSSLESS_RPCL) == 0


async def test_an_original_with_other_pixels_is_not_believed(work, client, tmp_path):
    study = "1.2.9.3"
    ids, files, _, restorer = await work(study, originals_days=1)
    other = slices(study, 1)[0]
    (tmp_path / "replace" / "originals" / f"{ids[0]}.dcm").write_bytes(other)
    done = await restorer.restore_study(study)
    assert (done.originals, done.explicit) == (2, 1)
    assert inspect(await client.file(ids[0])).digest == inspect(files[0]).digest


async def test_pixels_that_are_not_the_recorded_ones_stay(work, index, client, children, tmp_path):
    study = "1.2.9.4"
    ids, _files, _, restorer = await work(study)
    with index.transaction() as database:
        database.execute("UPDATE instances SET digest = 'px-other' WHERE orthanc_id = ?", (ids[0],))
    before = await client.file(ids[0])
    done = await restorer.restore_study(study)
    assert (done.explicit, len(done.failed)) == (2, 1)
    assert await client.file(ids[0]) == before
    row = index.by_orthanc_id(ids[0])
    assert (row.transfer_syntax, row.outcome, row.in_change) == (HTJ2K_LOSSLESS_RPCL, "done", False)


_COMMAND = """
import asyncio, os, signal, sys
from pathlib import Path
from imaging.child import Children
from imaging.index import Index
from imaging.orthanc import OrthancClient
from imaging.replace import Replacer
from imaging.restore import Restorer

url, user, password, directory, study, step = sys.argv[1:]

def at(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)

class Dying(OrthancClient):
    async def delete(self, instance):
        at("before-delete")
        await super().delete(instance)
        at("after-delete")
    async def store_file(self, path):
        stored = await super().store_file(path)
        at("after-post")
        return stored

class DyingReplacer(Replacer):
    async def replace(self, *arguments, **options):
        await super().replace(*arguments, **options)
        at("after-replace")

async def main():
    async with Dying(url, user, password) as client, Children(1) as children:
        replacer = DyingReplacer(client, Path(directory, "replace"))
        await Restorer(Index(Path(directory, "data")), client, children, replacer).restore_study(study)

asyncio.run(main())
"""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("by", ["the command", "a worker"])
async def test_a_command_killed_at_any_step_loses_nothing(
    orthanc, work, index, client, children, tmp_path, step, by
):
    study = f"1.2.9.5{STEPS.index(step)}{len(by)}"
    ids, files, _, _ = await work(study)
    arguments = [orthanc.orthanc_url, *orthanc.orthanc_login, str(tmp_path), study, step]
    command = await asyncio.create_subprocess_exec(sys.executable, "-c", _COMMAND, *arguments)
    assert await command.wait() == -signal.SIGKILL
    assert [row.in_change for row in index.instances(study)] == [True, False, False]
    assert study in index.pending_studies()  # reconcile sends a worker

    restorer = Restorer(index, client, children, Replacer(client, tmp_path / "replace"))
    if by == "the command":
        await restorer.restore_study(study)
        check_rows(index, study, EXPLICIT_LE, "kept")
    else:
        assert await restorer.settle(study) == 1
        assert study not in index.pending_studies()
    for oid, source in zip(ids, files, strict=True):
        stored = await client.file(oid)
        row = index.by_orthanc_id(oid)
        assert parsed(stored).file_meta.TransferSyntaxUID == row.transfer_syntax
        assert inspect(stored).digest == inspect(source).digest == row.digest
        assert not row.in_change


async def test_what_somebody_is_restoring_is_not_settled(work, index, tmp_path):
    study = "1.2.9.6"
    ids, _, _, restorer = await work(study)
    index.begin_restore(index.by_orthanc_id(ids[0]).sop_uid)
    with open(tmp_path / "replace" / "restore.lock", "wb") as lock:  # noqa: ASYNC230 - a test
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert await restorer.settle(study) == 0
        assert index.by_orthanc_id(ids[0]).in_change
    assert await restorer.settle(study) == 1
    assert not index.by_orthanc_id(ids[0]).in_change
