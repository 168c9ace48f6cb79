"""Owns the way from volumes to labels: orientation, the network's pass, painting of labels, confidence.

The arithmetic is chosen by a timed probe (bfloat16 is twice as fast where the CPU has it and 60 times slower
where it has not, measured on two machines), is the same for every study of a process, and is named in the
result. The network runs under deterministic algorithms: same volumes, same machine, same labels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch

from inference.bundle import Bundle
from inference.errors import GeometryError

if TYPE_CHECKING:
    from imaging.volume import Volume

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
    torch.use_deterministic_algorithms(True)
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
    single = min(_timed(network, window, torch.float32) for _ in range(3))
    half = _timed(network, window, torch.bfloat16)
    if half < 5 * single:  # else emulated: the first pass is slower than it will be, but never by that much
        half = min(half, *(_timed(network, window, torch.bfloat16) for _ in range(2)))
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
    turn = Orientation.of(ordered[0].affine)
    channels = [turn.to_ras(v.array) for v in ordered]
    prepared = bundle.preprocessing.prepare(channels, turn.spacing_mm(ordered[0].affine))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        started = time.perf_counter()
        answer = bundle.inferer(prepared.image, bundle.network)
        network_s = time.perf_counter() - started
    with torch.inference_mode():
        probability = bundle.preprocessing.undo(bundle.postprocessing(answer.float()), prepared)
    labels, voxels, confidence = _paint(bundle, probability.numpy())
    full = np.zeros(channels[0].shape, np.uint8)
    full[prepared.box] = labels
    return Prediction(turn.from_ras(full), voxels, confidence, _name(dtype), network_s)


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


@dataclass(frozen=True)
class Orientation:
    """How the axes of a volume (z, y, x; affine to LPS) go to (X, Y, Z) in RAS: a permutation and flips, no
    sampling."""

    order: tuple[int, int, int]
    flips: tuple[int, ...]

    @staticmethod
    def of(affine: npt.NDArray[np.float64]) -> Orientation:
        """The nearest orientation; columns 0, 1, 2 of `affine` belong to x, y, z, that is to array axes 2, 1,
        0."""
        direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        strongest = np.abs(direction).argmax(axis=1)
        if sorted(strongest.tolist()) != [0, 1, 2]:
            raise GeometryError("the slices are too oblique to be assigned to the axes of the body")
        signs = (
            np.array([-1.0, -1.0, 1.0]) * direction[[0, 1, 2], strongest]
        )  # LPS to RAS turns x and y round
        order = tuple(2 - int(c) for c in strongest)
        return Orientation((order[0], order[1], order[2]), tuple(i for i in range(3) if signs[i] < 0))

    def spacing_mm(self, affine: npt.NDArray[np.float64]) -> tuple[float, ...]:
        """Voxel size along X, Y, Z."""
        size = np.linalg.norm(affine[:3, :3], axis=0)
        return tuple(float(size[2 - axis]) for axis in self.order)

    def to_ras(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """A view with axes X, Y, Z in RAS."""
        return np.flip(array.transpose(self.order), self.flips)

    def from_ras(self, array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Back to (z, y, x), as a contiguous array."""
        back = np.flip(array, self.flips).transpose(np.argsort(self.order))
        return np.ascontiguousarray(back)


def _check_grid(volumes: list[Volume]) -> None:
    first = volumes[0]
    for other in volumes[1:]:
        if other.array.shape != first.array.shape or not np.allclose(other.affine, first.affine, atol=0.5):
            raise GeometryError("the volumes do not lie on one grid")


def _timed(network: torch.nn.Module, window: torch.Tensor, dtype: torch.dtype) -> float:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        started = time.perf_counter()
        network(window)
        return time.perf_counter() - started


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
