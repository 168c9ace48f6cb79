"""Inference on 4 x 240 x 240 x 155 voxels: bare network beside the product's prediction, and peak memory.

    .venv/worker/bin/python -m bench.inference            # prints the rows as JSON

The bare network runs on the same prepared tensor in the same arithmetic, interleaved with the whole
prediction (volumes in memory -> labels, volumes and confidence). Load and probe happen before, as in the
worker. A process of its own, because the peak of memory is read from the operating system.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.rows import Row, at_most, at_most_times, print_rows
from imaging.volume import Volume
from inference.bundle import Bundle, load
from inference.predict import predict, warm

ROUNDS = 5
BUDGET_RATIO = 2.0
BUDGET_MB = 2000
BUNDLE = Path(__file__).parents[1] / "inference" / "bundles" / "brain_tumour_demo"


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    """The rows of this part: time of the prediction against the bare network, and memory."""
    bundle = load(BUNDLE)
    dtype = warm(bundle)
    volumes = {role: head(number) for number, role in enumerate(bundle.roles)}
    window = network_input(bundle, volumes)
    bare, whole = [], []
    predict(bundle, volumes)
    for _ in range(rounds):
        bare.append(seconds(lambda: network(bundle, window, dtype)))
        whole.append(seconds(lambda: predict(bundle, volumes)))
    reference, value = statistics.median(bare), statistics.median(whole)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    name = f"inference 4x240x240x155, CPU, {dtype}, {torch.get_num_threads()} threads"
    yield at_most_times(name, value, "s", reference, BUDGET_RATIO)
    yield at_most(f"{name}: peak memory", peak, "MB", BUDGET_MB)


def head(seed: int) -> Volume:
    """An ellipsoid the size of a head in noise: time and memory do not depend on what is in it."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[-77:78, -119.5:120.5, -119.5:120.5]
    inside = (z / 76) ** 2 + (y / 95) ** 2 + (x / 78) ** 2 <= 1
    array = rng.standard_normal(inside.shape, np.float32)
    array = np.where(inside, 800 + 90 * array, 20 + 5 * array).clip(0, 4095)
    return Volume(
        array.astype(np.float32, copy=False),
        (1.0, 1.0, 1.0),
        np.eye(4),
        "1",
        "2",
        f"3.{seed}",
        (),
        (0, 1, 2),
        (False, False, False),
    )


def network_input(bundle: Bundle, volumes: dict[str, Volume]) -> torch.Tensor:
    """The tensor that the product would give to the network."""
    channels = [volumes[role].array.transpose(2, 1, 0) for role in bundle.roles]
    return bundle.preprocessing.prepare(channels, (1.0, 1.0, 1.0)).image


def network(bundle: Bundle, window: torch.Tensor, dtype: str) -> torch.Tensor:
    """One bare pass."""
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        answer: torch.Tensor = bundle.network(window)
        return answer


def seconds(call: Any) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    print_rows(rows())
