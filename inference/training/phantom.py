"""Owns the simulated patients: one seed is one head with one or two tumours, rendered on any grid in four
contrasts.

Everything random is drawn when a `Phantom` is made, so that a crop, a coarse preview and the full study of
one seed show the same head. Positions are millimetres in RAS from the middle of the field of view. The
intensities imitate spin-echo T1, T1 with gadolinium, T2 and FLAIR at clinical field strengths in their order,
not in absolute units; tumour regions follow the BraTS convention (Menze et al., IEEE TMI 34(10), 2015): TC
core, WT whole, ET enhancing. Nothing here stands for a real patient, and a network trained on it is not for
clinical use.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from inference.training.anatomy import BRAIN_CENTRE, anatomy
from inference.training.study import FOV_MM, ROLES, Scan

OEDEMA, NECROSIS, ENHANCING = 1, 2, 3
NATIVE_SHAPE = (240, 240, 155)
_MARGIN_MM = 6.0

Extent = tuple[int, int, int]
Point = tuple[float, float, float]

# Rows: grey, white, CSF, meninges, bone, marrow, scalp, necrosis, oedema, enhancing. Columns: T1, T1c, T2,
# FLAIR.
_MEANS = np.array([
    [0.72, 0.74, 0.62, 0.72], [1.00, 1.00, 0.45, 0.55], [0.32, 0.32, 1.25, 0.20], [0.60, 0.95, 0.60, 0.60],
    [0.12, 0.12, 0.08, 0.08], [0.70, 0.75, 0.40, 0.40], [1.15, 1.20, 0.75, 0.70],
    [0.42, 0.45, 1.05, 0.55], [0.68, 0.68, 0.92, 1.10], [0.66, 1.45, 0.78, 0.92],
], dtype=np.float32)  # fmt: skip


@dataclass(frozen=True)
class Tumour:
    """One lesion: centre (mm), inverse radii directions, radii of necrosis, rim and oedema (mm), surface
    noise."""

    centre: npt.NDArray[np.float32]
    shape: npt.NDArray[np.float32]
    radii: tuple[float, float, float]
    surface: torch.Tensor
    strength: float
    push: float


@dataclass(frozen=True)
class Rendered:
    """Images (4, X, Y, Z) float32 in the order of ROLES, and labels (X, Y, Z) uint8 (0 for none, else as
    above)."""

    images: torch.Tensor
    labels: torch.Tensor


def _smooth_field(rng: np.random.Generator, channels: int, knots: int) -> torch.Tensor:
    """A random field of unit scale on a cube, smooth enough to be sampled linearly, shape (channels, n, n,
    n)."""
    field = torch.from_numpy(rng.standard_normal((1, channels, knots, knots, knots)).astype(np.float32))
    field = functional.interpolate(field, size=4 * knots, mode="trilinear", align_corners=True)
    return functional.avg_pool3d(field, 5, stride=1, padding=2, count_include_pad=False)[0]


def _sample(volume: torch.Tensor, index: torch.Tensor, padding: str = "border") -> torch.Tensor:
    """Linear sampling of `volume` (C, X, Y, Z) at `index` (X', Y', Z', 3) in voxels."""
    size = torch.tensor(volume.shape[1:], dtype=torch.float32)
    grid = (2 * index / (size - 1) - 1).flip(-1)
    return functional.grid_sample(
        volume[None], grid[None], mode="bilinear", padding_mode=padding, align_corners=True
    )[0]


def _sample_cube(field: torch.Tensor, points: torch.Tensor, half_mm: float) -> torch.Tensor:
    """Sample a cube field that spans -half..half mm around the origin of `points`."""
    n = field.shape[1]
    return _sample(field, (points / half_mm + 1) * (n - 1) / 2)


class Phantom:
    """One simulated patient; `render` shows it on a grid."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.seed = seed
        self._maps = torch.from_numpy(anatomy().maps)
        self._scale = rng.uniform(0.84, 0.94, 3).astype(np.float32)
        self._shift = (rng.uniform((-3, -3, -9), (3, 3, -3))).astype(np.float32)
        self._rotation = _rotation(rng.normal(0, 4, 3))
        self._warp = _smooth_field(rng, 3, 7) * 5.0
        self._bias = _smooth_field(rng, 5, 4) * 0.18
        self._grain = torch.from_numpy(rng.standard_normal((4, 56, 56, 56)).astype(np.float32)) * 0.03
        self._means = torch.from_numpy((_MEANS * rng.uniform(0.93, 1.07, _MEANS.shape)).astype(np.float32))
        self._texture = float(rng.uniform(0.5, 1.2))
        self._shells = (2.0, 3.2, *np.cumsum(rng.uniform((1.5, 1.5, 1.5, 4), (2.5, 3, 2.5, 7))) + 3.2)
        self._noise = float(rng.uniform(0.012, 0.04))
        self.gains = rng.uniform(600, 1400, 4).astype(np.float32)
        self.tumours = tuple(self._tumour(rng) for _ in range(1 + (rng.random() < 0.3)))

    def _tumour(self, rng: np.random.Generator) -> Tumour:
        centre = self._tumour_centre(rng)
        rim = float(rng.uniform(8, 19))
        necrosis = max(rim - float(rng.uniform(3.5, 7.0)), 2.0)
        oedema = rim + float(rng.uniform(5, 14))
        axes = _rotation(rng.uniform(-90, 90, 3)) / rng.uniform(0.8, 1.2, 3).astype(np.float32)[:, None]
        return Tumour(
            centre,
            axes.astype(np.float32),
            (necrosis, rim, oedema),
            _smooth_field(rng, 2, 8),
            float(rng.uniform(0.75, 1.0)),
            float(rng.uniform(0.0, 0.35)),
        )

    def _tumour_centre(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """A point of white matter, some way above the brain stem, found by rejection on the template."""
        white = self._maps[1]
        while True:
            voxel = rng.uniform((40, 45, 45), (156, 190, 130))
            if white[tuple(int(v) for v in voxel)] > 0.6:
                inverse = np.linalg.inv(self._rotation / self._scale[None, :])
                return np.asarray(inverse @ (voxel - np.array(BRAIN_CENTRE)) + self._shift, np.float32)

    def render(
        self,
        shape: tuple[int, int, int] = NATIVE_SHAPE,
        *,
        spacing: tuple[float, float, float] | None = None,
        origin: tuple[float, float, float] | None = None,
    ) -> Rendered:
        """Images and labels on a grid; by default the whole field of view with `shape` voxels."""
        step = spacing or tuple(f / n for f, n in zip(FOV_MM, shape, strict=True))
        first = origin or tuple(-s * (n - 1) / 2 for s, n in zip(step, shape, strict=True))
        axes = [
            torch.arange(n, dtype=torch.float32) * s + o for n, s, o in zip(shape, step, first, strict=True)
        ]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        grain = 1 + _sample_cube(self._grain, points, 130.0)
        levels = [self._level(t, points) for t in self.tumours]
        maps = self._sample_anatomy(points)
        tissue, images = self._tissue(maps, points)
        labels = torch.zeros(shape, dtype=torch.uint8)
        for tumour, level in zip(self.tumours, levels, strict=True):
            images, labels = self._add_tumour(tumour, level, tissue, grain, images, labels)
        return Rendered(self._acquire(images * grain, points), labels)

    def head_sides(self, bottom: float, top: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the head begins and ends along x and y (mm) between two heights, found on a 4 mm grid."""
        x, y = torch.arange(-120.0, 121.0, 4.0), torch.arange(-120.0, 121.0, 4.0)
        z = torch.arange(bottom - 4.0, top + 8.0, 4.0)
        points = torch.stack(torch.meshgrid(x, y, z, indexing="ij"), dim=-1)
        head = self._sample_anatomy(points)[4] < self._shells[-1] + 2
        return _between(head.any(2).any(1), x), _between(head.any(2).any(0), y)

    def air(self, shape: Extent) -> torch.Tensor:
        """What the four series show where there is nothing, shape (4, X, Y, Z)."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn((2, len(ROLES), *shape), generator=generator) * self._noise
        return torch.hypot(noise[0], noise[1]) * torch.from_numpy(self.gains)[:, None, None, None]

    def _level(self, tumour: Tumour, points: torch.Tensor) -> torch.Tensor:
        """Distance-like function of a lesion in mm, wrinkled by its surface noise; (2, X, Y, Z): core,
        oedema."""
        local = points - torch.from_numpy(tumour.centre)
        radius = (local @ torch.from_numpy(tumour.shape).T).norm(dim=-1)
        wrinkle = _sample_cube(tumour.surface, local, 45.0)
        return radius + wrinkle * torch.tensor([0.35, 0.5])[:, None, None, None] * tumour.radii[1]

    def _sample_anatomy(self, points: torch.Tensor) -> torch.Tensor:
        moved = points
        for tumour in self.tumours:
            # Mass effect: what is drawn here comes from nearer to the lesion's centre, so tissue is pushed
            # outwards.
            local = points - torch.from_numpy(tumour.centre)
            reach = (local.norm(dim=-1, keepdim=True) / (1.6 * tumour.radii[1])) ** 2
            moved = moved - tumour.push * torch.exp(-reach) * local
        moved = (
            moved
            + _sample_cube(self._warp, points, 130.0).permute(1, 2, 3, 0)
            - torch.from_numpy(self._shift)
        )
        matrix = torch.from_numpy((self._rotation / self._scale[None, :]).astype(np.float32))
        return _sample(self._maps, moved @ matrix.T + torch.tensor(BRAIN_CENTRE))

    def _tissue(self, maps: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        grey, white, csf, texture, distance = maps
        edges = [torch.sigmoid((distance - edge) * 2) for edge in (0.5, *self._shells)]
        # edges: CSF from 0.5, meninges from 2, outer table, marrow, inner part of scalp bone, scalp, air.
        head = [edges[i] - edges[i + 1] for i in range(6)]
        fractions = torch.stack(
            [grey, white, torch.clamp(csf + head[0], 0, 1), head[1], head[2] + head[4], head[3], head[5]]
        )
        images = torch.einsum("kxyz,kc->cxyz", fractions, self._means[:7])
        images = images * (
            1 + self._texture * texture * torch.tensor([1, 1, -0.5, -0.4])[:, None, None, None]
        )
        return fractions, images

    def _add_tumour(
        self,
        tumour: Tumour,
        level: torch.Tensor,
        tissue: torch.Tensor,
        grain: torch.Tensor,
        images: torch.Tensor,
        labels: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        brain = (tissue[0] + tissue[1] + tissue[2]).clamp(0, 1) * (tissue[3:].sum(0) < 0.3)
        necrosis, rim, oedema = tumour.radii
        core = torch.sigmoid((rim - level[0]) / 0.5) * brain
        dead = torch.sigmoid((necrosis - level[0]) / 0.5) * brain
        # Oedema follows white matter and stops at cerebrospinal fluid.
        spread = level[1] + 7.0 * tissue[0] + 40.0 * tissue[2].clamp(min=0.3) - 12.0
        swollen = torch.sigmoid((oedema - spread) / 0.6) * brain * (1 - tissue[2]).clamp(0, 1)
        value = self._means[7:10, :, None, None, None]
        images = torch.lerp(images, value[1] * grain, (swollen * tumour.strength)[None])
        images = torch.lerp(images, value[2] * grain, core[None])
        images = torch.lerp(images, value[0] * grain, dead[None])
        labels = torch.where((swollen > 0.5) & (labels == 0), OEDEMA, labels)
        labels = torch.where(core > 0.5, ENHANCING, labels)
        labels = torch.where(dead > 0.5, NECROSIS, labels)
        return images, labels.to(torch.uint8)

    def _acquire(self, images: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Bias field (one of the coil, a little per series), Rician noise and the gain of each series."""
        fields = _sample_cube(self._bias, points, 130.0)
        images = images * torch.exp(fields[4] + 0.4 * fields[:4])
        place = zlib.crc32(points[0, 0, 0].numpy().tobytes() + str(images.shape).encode())
        generator = torch.Generator().manual_seed(self.seed * 2**32 + place)
        noise = torch.randn((2, *images.shape), generator=generator) * self._noise
        return torch.hypot(images + noise[0], noise[1]) * torch.from_numpy(self.gains)[:, None, None, None]


def _between(mask: torch.Tensor, axis: torch.Tensor) -> tuple[float, float]:
    """First and last position at which the mask holds, with a margin; all of the axis if it never does."""
    places = axis[mask] if bool(mask.any()) else axis
    return float(places.min()) - _MARGIN_MM, float(places.max()) + _MARGIN_MM


def _rotation(degrees: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Rotation matrix of three angles about x, y, z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(np.asarray(degrees))):
        turn = np.eye(3)
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix.astype(np.float32)


def render_slabs(phantom: Phantom, shape: Extent, thickness: int = 32) -> Rendered:
    """The whole field of view (X, Y, Z) in slabs along z, to bound memory; of each slab only the part with
    the head is rendered, around it is air: noise alone."""
    x_mm, y_mm, z_mm = spacing = _spacing(shape)
    corner = [-s * (n - 1) / 2 for s, n in zip(spacing, shape, strict=True)]
    images = phantom.air(shape)
    labels = torch.zeros(shape, dtype=torch.uint8)
    for first in range(0, shape[2], thickness):
        last = min(first + thickness, shape[2])
        bottom = corner[2] + first * z_mm
        x, y = phantom.head_sides(bottom, bottom + (last - first) * z_mm)
        cut_x, cut_y = _cut(x, corner[0], x_mm, shape[0]), _cut(y, corner[1], y_mm, shape[1])
        part = phantom.render(
            (cut_x.stop - cut_x.start, cut_y.stop - cut_y.start, last - first),
            spacing=spacing,
            origin=(corner[0] + cut_x.start * x_mm, corner[1] + cut_y.start * y_mm, bottom),
        )
        images[:, cut_x, cut_y, first:last] = part.images
        labels[cut_x, cut_y, first:last] = part.labels
    return Rendered(images, labels)


def _spacing(shape: Extent) -> Point:
    x, y, z = (f / n for f, n in zip(FOV_MM, shape, strict=True))
    return x, y, z


def _cut(side: tuple[float, float], corner: float, step: float, size: int) -> slice:
    """The voxels of one axis between two positions (mm)."""
    low, high = (int((value - corner) / step) for value in side)
    return slice(min(max(0, low), size - 1), max(min(size, high + 2), 1))


def scanned(seed: int, shape: Extent) -> Scan:
    """What a scanner stores of it; `shape` is (slices, rows, columns) of the whole field of view."""
    rendered = render_slabs(Phantom(seed), (shape[2], shape[1], shape[0]))
    # RAS to LPS turns x and y round; DICOM's pixels run x fastest.
    images = np.ascontiguousarray(rendered.images.flip(1, 2).permute(0, 3, 2, 1).numpy())
    stored = np.clip(np.rint(images), 0, 4095).astype(np.uint16)
    labels = np.ascontiguousarray(rendered.labels.flip(0, 1).permute(2, 1, 0).numpy())
    return Scan(seed, dict(zip(ROLES, stored, strict=True)), labels)
