"""The HTJ2K worker on local files, beside the bare codec; decoding beside OpenJPEG's JPEG 2000.

    .venv/worker/bin/python -m bench.htj2k            # prints the rows as JSON

The same pixels for every side, rounds interleaved, medians. Verification by the second decoder is part of the
worker and of its reference. Two processes: the same work in each, at the same time. Children: the way that
the product takes, from file to file.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from bench.rows import Row, at_least_times, print_rows, stated
from imaging import htj2k
from imaging.child import Children
from imaging.fetched import nameless
from imaging.part10 import opened
from imaging.transcode import transcode

ROUNDS = 5
BITS = 12
WORKER_BUDGET, TWO_BUDGET, DECODE_BUDGET = 0.75, 1.9, 8.0


@dataclass(frozen=True)
class Size:
    """Slices of one size."""

    name: str
    slices: int
    side: int


SIZES = (Size("4 x 40 slices 240x240", 160, 240), Size("24 slices 512x512", 24, 512))
SCALED = SIZES[1]


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    """Worker against bare codec, two processes and children against one, decoding against OpenJPEG."""
    for size in SIZES:
        slices = images(size)
        megabytes = sum(values.nbytes for values in slices) / 1e6
        with written(slices) as files:
            ours, reference = turns(rounds, worker, bare, list(zip(files, slices, strict=True)))
            name = f"HTJ2K worker, verified, {size.name} of {BITS} bits"
            yield at_least_times(name, megabytes / ours, "MB/s", megabytes / reference, WORKER_BUDGET)
            for children in (1, 2):
                seconds = median(asyncio.run(through_children(files, children, rounds)))
                title = f"the same through {children} {'child' if children == 1 else 'children'}"
                yield stated(title, megabytes / seconds, "MB/s", megabytes / reference)
    one, two = processes(rounds)
    yield at_least_times("HTJ2K worker, two processes against one", two, "MB/s", one, TWO_BUDGET)
    slices = images(SCALED)
    streams = [htj2k.encode(values, BITS) for values in slices]
    jpeg2000 = [imagecodecs.jpeg2k_encode(values, level=0, reversible=True) for values in slices]
    pairs = list(zip(streams, jpeg2000, strict=True))
    ours, openjpeg = turns(rounds, htj2k.decode, imagecodecs.jpeg2k_decode, pairs)
    megabytes = sum(values.nbytes for values in slices) / 1e6
    name = f"HTJ2K decode against OpenJPEG's JPEG 2000, {SCALED.name}"
    yield at_least_times(name, megabytes / ours, "MB/s", megabytes / openjpeg, DECODE_BUDGET)


def worker(path: Path) -> None:
    """The product's way with one file, in this process."""
    with opened(path) as file, tempfile.TemporaryFile(dir=path.parent) as target:
        transcode(file, target)


def bare(values: NDArray[Any]) -> None:
    """What no worker can do without: encode once, decode once by the other library."""
    htj2k.decode_second(htj2k.encode(values, BITS))


def turns(
    rounds: int,
    one: Callable[[Any], object],
    other: Callable[[Any], object],
    values: Sequence[tuple[Any, Any]],
) -> tuple[float, float]:
    """Median seconds of two ways; they take turns at every value, so that a busy machine meets both.

    The first round only warms up.
    """
    times = []
    for _ in range(rounds + 1):
        first = second = 0.0
        for mine, theirs in values:
            first += seconds(partial(one, mine))
            second += seconds(partial(other, theirs))
        times.append((first, second))
    return median(first for first, _ in times[1:]), median(second for _, second in times[1:])


@contextmanager
def written(slices: Sequence[NDArray[Any]]) -> Iterator[list[Path]]:
    """The slices as files."""
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place, str(number)) for number in range(len(slices))]
        for number, path in enumerate(paths):
            path.write_bytes(dicom_file(slices[number], number))
        yield paths


async def _one(children: Children, path: Path) -> None:
    with nameless(path.parent) as target:
        await children.transcode(path, target)


async def through_children(paths: Sequence[Path], count: int, rounds: int) -> list[float]:
    """Seconds of each round for all files in this many children."""
    times = []
    async with Children(count) as children:
        for _ in range(rounds + 1):
            started = time.perf_counter()
            await asyncio.gather(*(_one(children, path) for path in paths))
            times.append(time.perf_counter() - started)
    return times[1:]


def processes(rounds: int) -> tuple[float, float]:
    """MB/s of the worker in one process and in two at once, in turns."""
    found: dict[int, list[float]] = {1: [], 2: []}
    with written(images(SCALED)) as files, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(work, [files, files]))  # starts both
        for _ in range(rounds):
            for count, speeds in found.items():
                started = time.perf_counter()
                done = sum(pool.map(work, [files * 2] * count))
                speeds.append(done / (time.perf_counter() - started))
    return median(found[1]), median(found[2])


def work(files: Sequence[Path]) -> float:
    """Transcode; the MB that were done."""
    for path in files:
        worker(path)
    return len(files) * SCALED.side**2 * 2 / 1e6


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def images(size: Size) -> list[NDArray[np.uint16]]:
    """The slices of one size."""
    return [image(number, size.side) for number in range(size.slices)]


def image(number: int, side: int) -> NDArray[np.uint16]:
    """A smooth slice with an edge and scanner-like noise; its compression ratio is near that of a real MR."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    head = np.hypot(x, 1.2 * y) < 0.8
    values = head * (900 + 500 * np.sin(4 * x + number) * np.cos(5 * y)) + random.normal(0, 18, x.shape)
    return np.asarray(np.clip(np.abs(values), 0, (1 << BITS) - 1), dtype="<u2")


def dicom_file(values: NDArray[Any], number: int) -> bytes:
    """The slice as an Explicit VR Little Endian file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, f"1.2.3.{number}"
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"1.2.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2", "1.2.3"
    dataset.PatientID, dataset.PatientName = "bench", "Demo^Bench"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = values.tobytes()
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


if __name__ == "__main__":
    print_rows(rows())
