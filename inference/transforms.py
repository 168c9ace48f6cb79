"""Owns what a bundle's configuration may name beside MONAI's own parts: the way from a study's grid to the
network's.

Statistics and head box come from one voxel in about 4 x 4 x 4 mm: 64 times less to read on 1 mm voxels, and
the mean and deviation of some 40,000 head voxels hardly move. Only the head's box is then copied, scaled and,
where the study has another spacing, resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

SAMPLE_MM = 4.0
"""Distance of the voxels that enter statistics and head box."""
MINIMUM_SHARE = 0.005
"""A plane belongs to the head box when more than this share of its sampled voxels is head."""

Extent = tuple[int, int, int]


@dataclass(frozen=True)
class HeadStatistics:
    """Per channel: mean and deviation inside the head, and the level that separates head from air."""

    mean: torch.Tensor
    deviation: torch.Tensor
    threshold: torch.Tensor


@dataclass(frozen=True)
class Prepared:
    """The network's input (1, C, X, Y, Z), and what is needed to go back: box and sizes before padding."""

    image: torch.Tensor
    box: tuple[slice, slice, slice]
    native: Extent
    resampled: Extent


def head_statistics(sample: torch.Tensor, *, air_fraction: float = 0.15) -> HeadStatistics:
    """Statistics of a sub-sampled image (C, X, Y, Z); head is what exceeds `air_fraction` of the 99th
    percentile."""
    flat = sample.reshape(sample.shape[0], -1).float()
    threshold = air_fraction * torch.quantile(flat, 0.99, dim=1)
    means, deviations = [], []
    for channel, level in zip(flat, threshold, strict=True):
        head = channel[channel > level]
        if head.numel() < 2:
            head = channel
        means.append(head.mean())
        deviations.append(head.std().clamp(min=1e-6))
    return HeadStatistics(torch.stack(means), torch.stack(deviations), threshold)


def normalise(image: torch.Tensor, statistics: HeadStatistics, *, limit: float = 5.0) -> torch.Tensor:
    """Zero mean and unit deviation inside the head, clipped to +-`limit`; works in place on float32."""
    shape = (-1, 1, 1, 1)
    scaled = image.float().sub_(statistics.mean.view(shape)).div_(statistics.deviation.view(shape))
    return scaled.clamp_(-limit, limit)


class HeadNormalised:
    """Normalise over the head, cut the head's box out, bring it to the network's spacing and divisible
    size."""

    def __init__(
        self,
        spacing_mm: Sequence[float],
        divisor: int,
        limit: float = 5.0,
        margin_mm: float = 4.0,
        air_fraction: float = 0.15,
    ) -> None:
        self.spacing_mm = tuple(float(s) for s in spacing_mm)
        self.divisor = divisor
        self.limit = limit
        self.margin_mm = margin_mm
        self.air_fraction = air_fraction

    def prepare(self, channels: Sequence[npt.NDArray[np.generic]], spacing_mm: Sequence[float]) -> Prepared:
        """Channels (X, Y, Z) in RAS on one grid -> the network's input."""
        steps = tuple(max(1, round(SAMPLE_MM / s)) for s in spacing_mm)
        thin = (slice(None, None, steps[0]), slice(None, None, steps[1]), slice(None, None, steps[2]))
        sample = torch.stack([_tensor(c[thin]) for c in channels])
        statistics = head_statistics(sample, air_fraction=self.air_fraction)
        head = (sample > statistics.threshold.view(-1, 1, 1, 1)).any(0)
        box = self._box(head, steps, channels[0].shape, spacing_mm)
        image = normalise(torch.stack([_tensor(c[box]) for c in channels]), statistics, limit=self.limit)[
            None
        ]
        native = _extent(image)
        wanted = tuple(
            max(1, round(n * s / t)) for n, s, t in zip(native, spacing_mm, self.spacing_mm, strict=True)
        )
        if wanted != native:
            image = functional.interpolate(image, size=wanted, mode="trilinear", align_corners=False)
        resampled = _extent(image)
        missing = [-n % self.divisor for n in wanted]
        if any(missing):
            padding = [p for n in reversed(missing) for p in (0, n)]
            image = functional.pad(image, padding, mode="replicate")
        return Prepared(image, box, native, resampled)

    def undo(self, probability: torch.Tensor, prepared: Prepared) -> torch.Tensor:
        """Probabilities (1, R, X, Y, Z) on the network's grid -> (R, X, Y, Z) inside the box on the study's
        grid."""
        x, y, z = prepared.resampled
        inside = probability[..., :x, :y, :z]
        if prepared.resampled != prepared.native:
            inside = functional.interpolate(
                inside, size=prepared.native, mode="trilinear", align_corners=False
            )
        return inside[0]

    def _image(
        self,
        channels: Sequence[npt.NDArray[np.generic]],
        box: tuple[slice, slice, slice],
        statistics: HeadStatistics,
    ) -> torch.Tensor:
        """The box of all channels (1, C, X, Y, Z), normalised; filled in place, because it is 100 MB."""
        image = torch.empty((1, len(channels), *channels[0][box].shape))
        for number, channel in enumerate(channels):
            image[0, number].numpy()[...] = channel[box]
        return normalise(image[0], statistics, limit=self.limit)[None]

    def _box(
        self, head: torch.Tensor, steps: Sequence[int], shape: Sequence[int], spacing_mm: Sequence[float]
    ) -> tuple[slice, slice, slice]:
        sides = []
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            share = head.float().mean(dim=others)
            planes = torch.nonzero(share > MINIMUM_SHARE).flatten()
            margin = steps[axis] + round(self.margin_mm / spacing_mm[axis])
            low = int(planes[0]) * steps[axis] - margin if planes.numel() else 0
            high = int(planes[-1]) * steps[axis] + margin + 1 if planes.numel() else shape[axis]
            sides.append(slice(max(0, low), min(shape[axis], high)))
        return sides[0], sides[1], sides[2]


def _tensor(array: npt.NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _extent(image: torch.Tensor) -> Extent:
    x, y, z = image.shape[-3:]
    return x, y, z
