"""Owns the anatomy that phantoms are made of: tissue maps of the MNI152 template, and shells of a head around
it.

Source: ICBM 2009a nonlinear symmetric template (Fonov et al., NeuroImage 47, 2009, S102), T1 with grey and
white matter maps, as they lie inside the `nilearn` package. The template is skull-stripped, so meninges,
skull and scalp are shells of growing distance from the closed brain mask.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_FILE = "mni_icbm152_{map}_tal_nlin_sym_09a_converted.nii.gz"
BRAIN_CENTRE = (98.0, 117.0, 77.0)
"""Template voxel (1 mm, RAS) in the middle of the brain's bounding box."""


@dataclass(frozen=True)
class Anatomy:
    """Maps on the template grid, shape (C, X, Y, Z), 1 mm, RAS: grey, white, CSF, T1 texture, distance
    outside (mm)."""

    maps: FloatArray


def _data_dir() -> Path:
    """The template lies beside nilearn's code; finding it does not import nilearn (2 s)."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("phantoms need the MNI152 template that ships in the nilearn package")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _load(name: str) -> FloatArray:
    import nibabel  # beside nilearn only: the worker itself never needs it

    image = nibabel.Nifti1Image.from_filename(str(_data_dir() / _FILE.format(map=name)))
    return np.asarray(image.dataobj, dtype=np.float32) / np.float32(255)


@lru_cache(maxsize=1)
def anatomy() -> Anatomy:
    """Load and derive the maps once per process (about 2 s)."""
    from scipy import ndimage  # type: ignore[import-untyped]  # comes with nilearn

    t1, grey, white = (_load(name) for name in ("t1", "gm", "wm"))
    brain = (t1 > 0) | (grey + white > 0.5)
    distance = _distance_outside(brain)
    csf = np.clip((distance <= 0) - grey - white, 0.0, 1.0).astype(np.float32)
    inner = ndimage.binary_erosion(brain, iterations=2)
    classes = np.stack([grey[inner], white[inner], csf[inner]], axis=1)
    weights, *_ = np.linalg.lstsq(classes, t1[inner], rcond=None)
    texture = np.zeros_like(t1)
    texture[inner] = np.clip((t1[inner] - classes @ weights) / weights[1], -0.25, 0.25)
    return Anatomy(np.stack([grey, white, csf, texture, np.minimum(distance, 40.0)]).astype(np.float32))


def _distance_outside(brain: npt.NDArray[np.bool_]) -> FloatArray:
    """Distance (mm) to the brain with its sulci closed, found on every second voxel: an eighth of the
    work."""
    from scipy import ndimage

    half = brain[::2, ::2, ::2]
    # The template ends at the brain stem: its lowest slice goes on downwards, so that no skull closes it
    # there.
    padded = np.pad(half, 8, mode="edge")
    outside = ndimage.distance_transform_edt(~padded)
    closed = ndimage.distance_transform_edt(outside < 4.0) > 4.0
    distance = 2 * ndimage.distance_transform_edt(~closed)[8:-8, 8:-8, 8:-8]
    index = np.meshgrid(*(np.arange(n) / 2 for n in brain.shape), indexing="ij", sparse=False)
    full = ndimage.map_coordinates(distance, index, order=1, mode="nearest")
    return np.asarray(full, dtype=np.float32)
