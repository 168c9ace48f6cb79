"""Owns the study of one phantom: its scan as a scanner would store it, and the DICOM files of that.

No PyTorch here: who has a scan can write it in a moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference.training.dicom import Identity, study_uid, write_series

ROLES = ("t1", "t1c", "t2", "flair")
FOV_MM = (240.0, 240.0, 155.0)
"""The field of view of every study, along x, y and z."""


@dataclass(frozen=True)
class Scan:
    """One phantom in the pixels' grid (z, y, x), z from the lowest slice upwards, y and x as DICOM has them.

    `images`: uint16 for each of ROLES; `labels`: uint8, the truth.
    """

    seed: int
    images: Mapping[str, npt.NDArray[np.uint16]]
    labels: npt.NDArray[np.uint8]


def write_study(
    directory: Path,
    scan: Scan,
    *,
    patient_id: str,
    patient_name: str,
    birth_date: str,
    sex: str,
    accession: str = "",
    issuer: str = "",
    study_date: str = "20260105",
    roles: Sequence[str] = ROLES,
) -> Path:
    """Write one series of .dcm files per role into `directory` and the truth beside them; return the truth's
    path.

    `roles` may leave one out or name one twice, to make studies that must be refused. The truth (truth.npz)
    has the scan's `labels`, `affine` (x, y, z voxel to LPS mm) and `study_uid`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    identity = Identity(patient_id, patient_name, birth_date, sex, accession, issuer, study_date)
    shape = scan.labels.shape
    spacing = tuple(f / n for f, n in zip(reversed(FOV_MM), shape, strict=True))
    for number, role in enumerate(roles, start=1):
        write_series(directory, role, number, scan.images[role], spacing, identity, scan.seed)
    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip(reversed(spacing), reversed(shape), strict=True)]
    truth = directory / "truth.npz"
    uid = str(study_uid(scan.seed, identity))
    np.savez_compressed(truth, labels=scan.labels, affine=affine, study_uid=uid)
    return truth
