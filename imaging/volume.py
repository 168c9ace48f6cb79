"""One series of slices -> one array in patient space, or a reasoned refusal (GeometryError).

Axes. `Volume.array` is (z, y, x) float32 with the Modality LUT's rescale applied. The axes are turned
(permuted and flipped, never resampled) to the common order x -> patient's left, y -> posterior, z -> head, as
near as the slices allow, whatever plane they were acquired in. `affine` maps (x, y, z, 1) indices, from 0, to
millimetres in DICOM's patient coordinates (LPS). `in_source_order` undoes the turning, for what goes back
into DICOM.

Sources: PS3.3 C.7.6.2 (Image Plane), C.11.1 (Modality LUT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from imaging import pixels
from imaging.errors import DICOMError, GeometryError

# Scanners write positions and cosines with five or six significant digits.
_COSINE_TOLERANCE = 1e-3
_SPACING_TOLERANCE = 0.01  # of the slice distance
_POSITION_TOLERANCE_MM = 0.05

Array = NDArray[Any]


@dataclass(frozen=True)
class Volume:
    """A series as numbers.

    `sop_uids` and `in_source_order` are in the order of the slices along their normal.
    """

    array: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    frame_of_reference_uid: str
    study_uid: str
    series_uid: str
    sop_uids: tuple[str, ...]
    source_axes: tuple[int, int, int]
    source_flips: tuple[bool, bool, bool]

    def in_source_order(self, values: Array) -> Array:
        """An array on this grid as (slice, row, column) of the source, slice i being `sop_uids[i]`."""
        flipped = np.flip(values, _set(self.source_flips))
        return np.ascontiguousarray(np.transpose(flipped, np.argsort(self.source_axes)))

    def same_grid(self, other: Volume, tolerance_mm: float = 0.1) -> bool:
        """Do both lie on the same voxels:

        frame of reference, shape, and every corner near enough?
        """
        if (
            self.frame_of_reference_uid != other.frame_of_reference_uid
            or self.array.shape != other.array.shape
        ):
            return False
        corners = np.array([[x, y, z, 1] for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=float)
        corners[:, :3] *= np.array(self.array.shape[::-1]) - 1
        distance = np.linalg.norm((corners @ self.affine.T - corners @ other.affine.T)[:, :3], axis=1)
        return bool(distance.max() <= tolerance_mm)


@dataclass(frozen=True)
class _Slice:
    dataset: Dataset
    position: NDArray[np.float64]
    distance: float


def volume(instances: Sequence[bytes]) -> Volume:
    """The volume of one series' instances (PS3.10 files, any order).

    Raises GeometryError with the reason: mixed series, orientation or size, missing slices, unequal spacing,
    gantry tilt, colour, several frames; and DICOMError or CodecError for what cannot be read.
    """
    datasets = [_read(data) for data in instances]
    if len(datasets) < 2:
        raise GeometryError("A volume needs at least two slices.")
    first = datasets[0]
    for dataset in datasets:
        _check_alike(first, dataset)
    row, column = _cosines(first)
    normal = np.cross(row, column)
    slices = sorted((_slice(dataset, normal) for dataset in datasets), key=lambda item: item.distance)
    distance_mm = _check_stack(slices, normal)
    row_mm, column_mm = (float(value) for value in first.PixelSpacing)
    # Columns of the source's affine: index along a row (x), along a column (y), along the stack (z).
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * column_mm, column * row_mm, normal * distance_mm
    affine[:3, 3] = slices[0].position
    stacked = np.stack([_values(item.dataset) for item in slices])
    return _turned(stacked, affine, first, tuple(str(item.dataset.SOPInstanceUID) for item in slices))


def _read(data: bytes) -> Dataset:
    try:
        return dcmread(BytesIO(data))
    except InvalidDicomError as error:
        raise DICOMError("This is not a DICOM file.") from error


def _check_alike(first: Dataset, other: Dataset) -> None:
    for keyword, reason in (
        ("StudyInstanceUID", "The slices are of several studies."),
        ("SeriesInstanceUID", "The slices are of several series."),
        ("FrameOfReferenceUID", "The slices have several frames of reference."),
        ("Rows", "The slices have several sizes."),
        ("Columns", "The slices have several sizes."),
    ):
        if first.get(keyword) != other.get(keyword):
            raise GeometryError(reason)
    if not other.get("FrameOfReferenceUID"):
        raise GeometryError("The slices have no frame of reference.")
    if pixels.frame_count(other) != 1:
        raise GeometryError("An instance has several frames.")
    if other.get("SamplesPerPixel") != 1 or "ModalityLUTSequence" in other:
        raise GeometryError("The values are colours or need a lookup table.")
    spacing = _numbers(other, "PixelSpacing", 2)
    if spacing.min() <= 0 or not np.allclose(_numbers(first, "PixelSpacing", 2), spacing, rtol=1e-4):
        raise GeometryError("The slices have several pixel spacings.")
    _numbers(other, "ImagePositionPatient", 3)
    if not np.allclose(_cosines(first), _cosines(other), atol=_COSINE_TOLERANCE):
        raise GeometryError("The slices have several orientations.")


def _cosines(dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = _numbers(dataset, "ImageOrientationPatient", 6)
    row, column = values[:3], values[3:]
    is_orthonormal = np.allclose(
        [row @ row, column @ column, row @ column], [1, 1, 0], atol=_COSINE_TOLERANCE * 2
    )
    if not is_orthonormal:
        raise GeometryError("The orientation is not two perpendicular directions.")
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _numbers(dataset: Dataset, keyword: str, count: int) -> NDArray[np.float64]:
    try:
        values = np.array([float(value) for value in dataset[keyword].value])
    except (KeyError, TypeError, ValueError) as error:
        raise GeometryError(f"{keyword} is missing or no number.") from error
    if values.shape != (count,) or not np.isfinite(values).all():
        raise GeometryError(f"{keyword} does not have {count} numbers.")
    return values


def _slice(dataset: Dataset, normal: NDArray[np.float64]) -> _Slice:
    position = _numbers(dataset, "ImagePositionPatient", 3)
    return _Slice(dataset, position, float(position @ normal))


def _check_stack(slices: Sequence[_Slice], normal: NDArray[np.float64]) -> float:
    """The distance of the slices in mm, if they are equally spaced along their normal."""
    gaps = [second.distance - first.distance for first, second in pairwise(slices)]
    usual = float(np.median(gaps))
    if min(gaps) < 1e-3:
        raise GeometryError("Two slices are at the same place.")
    for gap in gaps:
        if abs(gap - usual) > max(_SPACING_TOLERANCE * usual, _POSITION_TOLERANCE_MM):
            steps = gap / usual
            if steps > 1.5 and abs(steps - round(steps)) < 0.1:
                raise GeometryError("Slices are missing.")
            raise GeometryError("The slices are unequally spaced.")
    for item in slices[1:]:
        moved = item.position - slices[0].position
        aside = moved - (moved @ normal) * normal
        if np.linalg.norm(aside) > max(_POSITION_TOLERANCE_MM, 0.01 * abs(float(moved @ normal))):
            raise GeometryError("The slices are not stacked along their normal (gantry tilt).")
    return (slices[-1].distance - slices[0].distance) / (len(slices) - 1)


def _values(dataset: Dataset) -> NDArray[np.float32]:
    frame, _ = next(pixels.frames(dataset))
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return (
        frame * np.float32(1 if slope is None else slope) + np.float32(0 if intercept is None else intercept)
    ).astype(np.float32, copy=False)


def _turned(stacked: Array, affine: Array, header: Dataset, sop_uids: tuple[str, ...]) -> Volume:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # For each patient axis (left, posterior, head) the source axis (x, y, z) that runs along it.
    alignment = np.abs(directions)
    fits = {axes: float(alignment[(0, 1, 2), axes].sum()) for axes in permutations(range(3))}
    order = max(fits, key=lambda axes: fits[axes])
    flips = [directions[patient, axis] < 0 for patient, axis in enumerate(order)]
    size = stacked.shape[::-1]
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for patient, axis in enumerate(order):
        turn[axis, patient] = -1 if flips[patient] else 1
        turn[axis, 3] = size[axis] - 1 if flips[patient] else 0
    # Array axes count the other way round: (z, y, x).
    source_axes = (2 - order[2], 2 - order[1], 2 - order[0])
    source_flips = (bool(flips[2]), bool(flips[1]), bool(flips[0]))
    array = np.flip(np.transpose(stacked, source_axes), _set(source_flips))
    turned = affine @ turn
    spacing = np.linalg.norm(turned[:3, :3], axis=0)
    return Volume(
        array=np.ascontiguousarray(array),
        spacing_mm=(float(spacing[2]), float(spacing[1]), float(spacing[0])),
        affine=turned,
        frame_of_reference_uid=str(header.FrameOfReferenceUID),
        study_uid=str(header.StudyInstanceUID),
        series_uid=str(header.SeriesInstanceUID),
        sop_uids=sop_uids,
        source_axes=source_axes,
        source_flips=source_flips,
    )


def _set(flips: tuple[bool, bool, bool]) -> tuple[int, ...]:
    return tuple(axis for axis in range(3) if flips[axis])
