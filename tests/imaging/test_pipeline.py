"""Arrival, transcoding and replacement together, against a real Orthanc."""

import asyncio
import os
import signal
import sys

import numpy as np
import pytest

from imaging import pixels
from imaging.arrival import look, set_aside, take_in
from imaging.child import Children
from imaging.errors import OtherPixelsError
from imaging.frames import HTJ2K_LOSSLESS_RPCL
from imaging.identity import Quarantine
from imaging.index import Index
from imaging.metadata import read_tags
from imaging.orthanc import OrthancClient
from imaging.own import store_own
from imaging.pipeline import Pipeline
from imaging.read import inspect
from imaging.replace import Replacer
from tests.imaging.builders import bundled, file_bytes, mr, mr_file, parsed, transcoded

pytestmark = pytest.mark.server
RANDOM = np.random.default_rng(7)


def slices(study, count):
    return [
        mr_file(
            RANDOM.integers(0, 4096, (40, 50)).astype("<u2"),
            bits_stored=12,
            number=number,
            study_uid=study,
            series_uid=f"{study}.1",
        )
        for number in range(1, count + 1)
    ]


async def arrive(index, client, children, data_dir, files):
    ids = []
    for data in files:
        ids.append((await client.store(data)).orthanc_id)
        arrival = await look(index, client, children, ids[-1])
        assert take_in(index, data_dir, arrival, "Patient/a")
    return ids


@pytest.fixture
def index(tmp_path):
    return Index(tmp_path / "data")


async def test_a_study_becomes_htj2k_and_every_pixel_stays(index, client, children, tmp_path):
    files = slices("1.2.6.1", 12)
    ids = await arrive(index, client, children, tmp_path / "data", files)
    assert index.study("1.2.6.1").patient_ref == "Patient/a"
    pipeline = Pipeline(index, client, children, Replacer(client, tmp_path / "replace"))
    counts = await pipeline.transcode_study("1.2.6.1")
    assert (counts.done, counts.kept, counts.not_applicable) == (12, 0, 0)
    for oid, source, row in zip(ids, files, index.instances("1.2.6.1"), strict=True):
        stored = parsed(await client.file(oid))
        assert stored.file_meta.TransferSyntaxUID == row.transfer_syntax == HTJ2K_LOSSLESS_RPCL
        assert pixels.digest(stored) == pixels.digest(parsed(source)) == row.digest
        assert (row.outcome, row.in_change) == ("done", False)
        assert row.bytes_after < row.bytes_before
        assert await look(index, client, children, oid) is None  # our own replacement is no news
    assert (await pipeline.transcode_study("1.2.6.1")).done == 0
    assert read_tags(tmp_path / "data", "1.2.6.1", "1.2.6.1.1", "1.2.6.1.1.3")["00200013"]["Value"] == [3]


@pytest.mark.filterwarnings("ignore")
async def test_what_cannot_be_converted_is_recorded_and_kept(index, client, children, tmp_path):
    names = ["JPEG2000.dcm", "test-SR.dcm", "SC_rgb_rle_32bit.dcm"]
    files = []
    for name in names:
        dataset = parsed(bundled(name))
        dataset.StudyInstanceUID, dataset.PatientID = "1.2.6.2", "0001"
        dataset.SeriesInstanceUID = f"1.2.6.2.{len(files)}"
        files.append(file_bytes(dataset, dataset.file_meta.TransferSyntaxUID))
    ids = await arrive(index, client, children, tmp_path / "data", files)
    pipeline = Pipeline(index, client, children, Replacer(client, tmp_path / "replace"))
    counts = await pipeline.transcode_study("1.2.6.2")
    assert (counts.done, counts.kept, counts.not_applicable) == (0, 2, 1)
    for oid, source in zip(ids, files, strict=True):
        assert await client.file(oid) == source
        row = index.by_orthanc_id(oid)
        assert row.reason
        assert row.transfer_syntax == str(parsed(source).file_meta.TransferSyntaxUID)


async def test_a_child_killed_in_the_middle_keeps_that_original_and_the_worker_lives(index, client, tmp_path):
    files = slices("1.2.6.3", 3)
    given = asyncio.Event()

    class Watched(Children):
        async def call(self, task, header, *parts, size=0):
            if task == "transcode":
                given.set()
            return await super().call(task, header, *parts, size=size)

    async with Watched(1) as children:
        ids = await arrive(index, client, children, tmp_path / "data", files)
        pid = children._all[0]._process.pid
        os.kill(pid, signal.SIGSTOP)
        pipeline = Pipeline(index, client, children, Replacer(client, tmp_path / "replace"))
        running = asyncio.create_task(pipeline.transcode_study("1.2.6.3"))
        await given.wait()
        os.kill(pid, signal.SIGKILL)
        counts = await running
    assert (counts.done, counts.kept) == (2, 1)
    outcomes = {row.orthanc_id: row.outcome for row in index.instances("1.2.6.3")}
    for oid, source in zip(ids, files, strict=True):
        stored = await client.file(oid)
        assert (stored == source) == (outcomes[oid] == "kept")
        assert pixels.digest(parsed(stored)) == pixels.digest(parsed(source))


_WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from imaging.child import Children
from imaging.index import Index
from imaging.orthanc import OrthancClient
from imaging.pipeline import Pipeline
from imaging.replace import Replacer

url, user, password, directory, study = sys.argv[1:]

class Dying(OrthancClient):
    posts = 0
    async def delete(self, instance):
        await super().delete(instance)
        Dying.posts += 1
        if Dying.posts == 5:
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with Dying(url, user, password) as client, Children(1) as children:
        replacer = Replacer(client, Path(directory, "replace"))
        await Pipeline(Index(Path(directory, "data")), client, children, replacer).transcode_study(study)

asyncio.run(main())
"""


async def test_a_worker_killed_half_way_is_taken_over(orthanc, index, client, children, tmp_path):
    study = "1.2.6.4"
    files = slices(study, 20)
    ids = await arrive(index, client, children, tmp_path / "data", files)
    arguments = [orthanc.orthanc_url, *orthanc.orthanc_login, str(tmp_path), study]
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", _WORKER, *arguments)
    assert await worker.wait() == -signal.SIGKILL
    gone = [oid for oid in ids if not await client.exists(oid)]
    assert gone, "it was killed while instances were away"

    pipeline = Pipeline(Index(tmp_path / "data"), client, children, Replacer(client, tmp_path / "replace"))
    await pipeline.transcode_study(study)
    assert index.pending(study) == []
    for oid, source in zip(ids, files, strict=True):
        assert pixels.digest(parsed(await client.file(oid))) == pixels.digest(parsed(source))
        row = index.by_orthanc_id(oid)
        assert (row.outcome, row.transfer_syntax, row.in_change) == ("done", HTJ2K_LOSSLESS_RPCL, False)


async def test_what_the_product_writes_is_known_as_its_own(index, client, children, tmp_path):
    study = "1.2.6.5"
    await arrive(index, client, children, tmp_path / "data", slices(study, 1))
    written = file_bytes(mr(study_uid=study, series_uid=f"{study}.9", Modality="SEG"))
    stored = await store_own(index, client, children, written, "key-1")
    assert (await store_own(index, client, children, written, "key-1")).status == "AlreadyStored"
    arrival = await look(index, client, children, stored.orthanc_id)
    assert (arrival.own, arrival.result_key, arrival.source) == (True, "key-1", "own")
    assert take_in(index, tmp_path / "data", arrival, "Patient/a")
    (series,) = index.series(study, f"{study}.9")
    assert (series.own, series.result_key) == (True, "key-1")
    assert index.by_orthanc_id(stored.orthanc_id).outcome == "not-applicable"


async def test_an_unannounced_segmentation_is_not_the_products(index, client, children):
    written = file_bytes(mr(study_uid="1.2.6.6", series_uid="1.2.6.6.9", Modality="SEG"))
    index.announce_own(inspect(written).sop_uid, "px-of-other-bytes", "key-1")
    arrival = await look(index, client, children, (await client.store(written)).orthanc_id)
    assert (arrival.own, arrival.result_key) == (False, None)


async def test_other_pixels_under_a_known_uid_are_not_taken_in(index, client, children, tmp_path):
    study = "1.2.6.7"
    (oid,) = await arrive(index, client, children, tmp_path / "data", slices(study, 1))
    await client.delete(oid)  # somebody works on Orthanc itself
    other = Index(tmp_path / "elsewhere")
    await client.store(slices(study, 1)[0])
    arrival = await look(other, client, children, oid)
    with pytest.raises(OtherPixelsError):
        take_in(index, tmp_path / "data", arrival, "Patient/a")


async def test_what_is_set_aside_is_looked_at_once(index, client, children):
    (data,) = slices("1.2.6.8", 1)
    oid = (await client.store(data)).orthanc_id
    arrival = await look(index, client, children, oid)
    assert set_aside(index, arrival, Quarantine("unknown-patient", "No patient has this PatientID."))
    assert not set_aside(index, arrival, Quarantine("unknown-patient", "No patient has this PatientID."))
    assert await look(index, client, children, oid) is None
    assert index.study("1.2.6.8") is None


async def test_an_instance_that_another_worker_has_away_is_left_to_it(index, client, children, tmp_path):
    study = "1.2.6.9"
    (data,) = slices(study, 1)
    (oid,) = await arrive(index, client, children, tmp_path / "data", [data])
    gap, go_on = asyncio.Event(), asyncio.Event()

    class Slow(OrthancClient):
        async def delete(self, instance):
            await super().delete(instance)
            gap.set()
            await go_on.wait()

    slow = Slow("unused", "", "")
    slow.__dict__ = client.__dict__
    first = Pipeline(index, slow, children, Replacer(slow, tmp_path / "replace"))
    running = asyncio.create_task(first.transcode_study(study))
    await gap.wait()
    second = Pipeline(index, client, children, Replacer(client, tmp_path / "replace"))
    counts = await second.transcode_study(study)
    assert (counts.busy, counts.kept) == (1, 0)
    assert len(index.pending(study)) == 1
    go_on.set()
    await running
    assert index.by_orthanc_id(oid).outcome == "done"


async def test_an_instance_that_is_gone_for_good_does_not_hold_the_study(index, client, children, tmp_path):
    study = "1.2.6.10"
    (oid,) = await arrive(index, client, children, tmp_path / "data", slices(study, 1))
    await client.delete(oid)
    pipeline = Pipeline(index, client, children, Replacer(client, tmp_path / "replace"))
    assert (await pipeline.transcode_study(study)).kept == 1
    assert "any more" in index.by_orthanc_id(oid).reason


async def test_a_label_is_true_even_if_the_worker_died_before_it_wrote_it(index, client, tmp_path):
    """Stored as HTJ2K, the row still says the old syntax, and the child dies at the second try."""
    study = "1.2.6.11"
    (data,) = slices(study, 1)
    async with Children(1) as children:
        (oid,) = await arrive(index, client, children, tmp_path / "data", [data])
        await client.delete(oid)
        await client.store(transcoded(data).data)
        os.kill(children._all[0]._process.pid, signal.SIGKILL)
        await Pipeline(index, client, children, Replacer(client, tmp_path / "replace")).transcode_study(study)
    row = index.by_orthanc_id(oid)
    assert (row.outcome, row.transfer_syntax) == ("kept", HTJ2K_LOSSLESS_RPCL)
