"""Owns the way from volumes to labels: the network's pass, painting of labels, confidence.

The arithmetic is chosen by a timed probe (bfloat16 is twice as fast where the CPU has it and 60 times slower
where it has not, measured on two machines), is the same for every study of a process, and is named in the
result. The network runs under deterministic algorithms: same volumes, same machine, same labels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from imaging.volume import Volume
from inference.bundle import Bundle
from inference.errors import GridError

PROBE_EXTENT = 48
"""Voxels per axis of the probe window: 0.02 s where it is fast, under 2 s where bfloat16 is emulated."""


@dataclass(frozen=True)
class Prediction:
    """Labels (z, y, x) uint8 on the grid of the volumes; per region its voxels and confidence; arithmetic;
    seconds."""

    labels: npt.NDArray[np.uint8]
    voxels: dict[str, int]
    confidence: dict[str, float]
    dtype: str
    network_s: float


_chosen: dict[tuple[str, str], torch.dtype] = {}


def warm(bundle: Bundle, wish: Literal["auto", "float32", "bfloat16"] = "auto", threads: int = 0) -> str:
    """Set threads, probe the arithmetic, run the network once; called at start, so that no job pays for
    it."""
    if threads:
        torch.set_num_threads(threads)
    # As torch.use_deterministic_algorithms(True), which first loads torch's compiler (1.8 s, not used here).
    torch.set_deterministic_debug_mode("error")
    # It would fill every new tensor (a fifth of the pass); no operation here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    channels = len(bundle.roles)
    _chosen[(bundle.id, bundle.weights_sha256)] = choose_dtype(bundle.network, wish, channels)
    return _name(_chosen[(bundle.id, bundle.weights_sha256)])


def choose_dtype(
    network: torch.nn.Module, wish: Literal["auto", "float32", "bfloat16"], channels: int = 4
) -> torch.dtype:
    """The wished arithmetic, or the faster one of this machine."""
    if wish != "auto":
        return torch.float32 if wish == "float32" else torch.bfloat16
    window = torch.zeros(1, channels, PROBE_EXTENT, PROBE_EXTENT, PROBE_EXTENT)
    was_training = network.training
    network.eval()
    _timed(network, window, torch.float32)
    if _timed(network, window, torch.bfloat16) > 10 * _timed(network, window, torch.float32):
        half, single = 1.0, 0.0  # emulated: even a first pass is never that much slower otherwise
    else:
        pairs = [[_timed(network, window, d) for d in (torch.bfloat16, torch.float32)] for _ in range(4)]
        half, single = (min(times) for times in zip(*pairs, strict=True))
    network.train(was_training)
    return torch.bfloat16 if half < single else torch.float32


def predict(bundle: Bundle, volumes: Mapping[str, Volume]) -> Prediction:
    """Labels and confidence of one study; `volumes` has one volume per role, all on one grid."""
    key = (bundle.id, bundle.weights_sha256)
    if key not in _chosen:
        warm(bundle)
    dtype = _chosen[key]
    ordered = [volumes[role] for role in bundle.roles]
    _check_grid(ordered)
    channels = [_to_ras(v.array) for v in ordered]
    # Volumes have their axes near the patient's; the few degrees in between are what training saw as
    # rotation.
    prepared = bundle.preprocessing.prepare(channels, tuple(reversed(ordered[0].spacing_mm)))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        started = time.perf_counter()
        answer = bundle.inferer(prepared.image, bundle.network)
        network_s = time.perf_counter() - started
    with torch.inference_mode():
        probability = bundle.preprocessing.undo(bundle.postprocessing(answer.float()), prepared)
    labels, voxels, confidence = _paint(bundle, probability.numpy())
    full = np.zeros(channels[0].shape, np.uint8)
    full[prepared.box] = labels
    return Prediction(_from_ras(full), voxels, confidence, _name(dtype), network_s)


def _paint(
    bundle: Bundle, probability: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.uint8], dict[str, int], dict[str, float]]:
    """Labels of the box in the order of the segments, and per region its voxels and confidence."""
    own = bundle.metadata.neuronova
    index = {region.name: i for i, region in enumerate(own.regions)}
    labels = np.zeros(probability.shape[1:], np.uint8)
    for segment in own.segments:
        labels[probability[index[segment.region]] >= 0.5] = segment.label
    voxels, confidence = {}, {}
    for region in own.regions:
        member = np.zeros(256, np.bool_)
        member[list(region.labels)] = True
        mask = member[labels]
        voxels[region.name] = int(np.count_nonzero(mask))
        confidence[region.name] = expected_dice(probability[index[region.name]], mask)
    return labels, voxels, confidence


def expected_dice(probability: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> float:
    """Confidence: the Dice overlap of mask and probabilities, 2 sum(p m) / (sum(p) + sum(m)), from 0 to 1.

    Were the probabilities calibrated, it would estimate the Dice of the mask with the truth. Probabilities
    under 0.01 are left out, because a million of them would weigh as much as a lesion. With nothing found and
    nothing probable it is 1 by this definition: the network is sure that there is nothing.
    """
    likely = probability[probability >= 0.01]
    total = float(likely.sum(dtype=np.float64)) + int(np.count_nonzero(mask))
    return 2 * float(probability[mask].sum(dtype=np.float64)) / total if total else 1.0


def _to_ras(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """A view (X, Y, Z) in RAS of a volume (z, y, x) whose axes run to the left, the back and the head."""
    return array[:, ::-1, ::-1].transpose(2, 1, 0)


def _from_ras(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The way back, as a contiguous array."""
    return np.ascontiguousarray(array.transpose(2, 1, 0)[:, ::-1, ::-1])


def _check_grid(volumes: list[Volume]) -> None:
    if not all(volumes[0].same_grid(other, tolerance_mm=0.5) for other in volumes[1:]):
        raise GridError()


def _timed(network: torch.nn.Module, window: torch.Tensor, dtype: torch.dtype) -> float:
    """Processor time of one pass: unlike the clock's, it does not depend on what else the machine does."""
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        started = time.process_time()
        network(window)
        return time.process_time() - started


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
