"""The HTJ2K worker on local files, beside the bare codec; decoding beside OpenJPEG's JPEG 2000.

    .venv/worker/bin/python -m bench.htj2k            # prints the rows as JSON

One thread, the same pixels for every side, rounds interleaved, medians. Verification by the second decoder is
part of the worker and of its reference. Two processes: the same work in each, at the same time.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from imaging import htj2k
from imaging.transcode import transcode

ROUNDS = 7
SLICES, SIDE, BITS = 24, 512, 12
WORKER_BUDGET, TWO_BUDGET, DECODE_BUDGET = 0.75, 1.9, 8.0


def rows(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Worker against bare codec, two processes against one, decoding against OpenJPEG."""
    slices = [image(number) for number in range(SLICES)]
    files = [dicom_file(values, number) for number, values in enumerate(slices)]
    streams = [htj2k.encode(values, BITS) for values in slices]
    jpeg2000 = [imagecodecs.jpeg2k_encode(values, level=0, reversible=True) for values in slices]
    megabytes = sum(values.nbytes for values in slices) / 1e6
    timed: dict[str, list[float]] = {name: [] for name in ("bare", "worker", "decode", "openjpeg")}
    for _ in range(rounds):
        timed["bare"].append(seconds(lambda: [bare(values) for values in slices]))
        timed["worker"].append(seconds(lambda: [transcode(data) for data in files]))
        timed["decode"].append(seconds(lambda: [htj2k.decode(stream) for stream in streams]))
        timed["openjpeg"].append(seconds(lambda: [imagecodecs.jpeg2k_decode(stream) for stream in jpeg2000]))
    speed = {name: megabytes / statistics.median(values) for name, values in timed.items()}
    one, two = together(1), together(2)
    what = f"{SLICES} x {SIDE}x{SIDE}x{BITS} bit, local files"
    return [
        row(f"HTJ2K worker, verified, {what}", speed["worker"], speed["bare"], WORKER_BUDGET),
        row("HTJ2K worker, two processes against one", two, one, TWO_BUDGET),
        row("HTJ2K decode against OpenJPEG's JPEG 2000", speed["decode"], speed["openjpeg"], DECODE_BUDGET),
    ]


def row(name: str, value: float, reference: float, budget: float) -> dict[str, Any]:
    """One row of var/bench/latest.json; these budgets are lower bounds of the ratio."""
    ratio = value / reference
    return {
        "row": name,
        "value": round(value, 1),
        "unit": "MB/s",
        "reference": round(reference, 1),
        "ratio": round(ratio, 2),
        "budget": budget,
        "ok": ratio >= budget,
    }


def bare(values: NDArray[Any]) -> None:
    """What no worker can do without: encode once, decode once by the other library."""
    htj2k.decode_second(htj2k.encode(values, BITS))


def together(processes: int) -> float:
    """MB/s of the worker in this many processes at once."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(work, [1] * processes))  # imports
        started = time.perf_counter()
        done = sum(pool.map(work, [3] * processes))
        return done / (time.perf_counter() - started)


def work(repeats: int) -> float:
    """Transcode some slices; the MB that were done."""
    files = [dicom_file(image(number), number) for number in range(8)]
    for _ in range(repeats):
        for data in files:
            transcode(data)
    return repeats * 8 * SIDE * SIDE * 2 / 1e6


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def image(number: int) -> NDArray[np.uint16]:
    """A smooth slice with an edge and scanner-like noise; its compression ratio is near that of a real MR."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    head = np.hypot(x, 1.2 * y) < 0.8
    values = head * (900 + 500 * np.sin(4 * x + number) * np.cos(5 * y)) + random.normal(0, 18, x.shape)
    return np.clip(np.abs(values), 0, (1 << BITS) - 1).astype("<u2")


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
    print(json.dumps(rows(), indent=1))
