"""The held-out phantom of the demo as a DICOM study, and its truth.

Seeds from 900,000 on are never used in training (`inference.training`).
"""

from __future__ import annotations

import email
import email.policy
import io
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from demo.run import Run, require
from deploy.setup.steps import BUILD, ROOT, digest
from inference.training.study import ROLES, Scan, write_study

FIRST, SECOND = 900_001, 900_002
"""Seeds of the two patients' heads."""

SHAPES = {"native": (155, 240, 240), "small": (40, 96, 96)}
"""(slices, rows, columns); both cover the same field of view of 155 x 240 x 240 mm."""

LABELS = {"Oedema": 1, "Necrotic": 2, "Enhancing": 3}
"""First word of a segment's label -> the truth's label."""

REGIONS = {"tumour core": (2, 3), "whole tumour": (1, 2, 3), "enhancing tumour": (3,)}
"""The regions that overlap, as unions of labels (BraTS: TC, WT, ET)."""


_renderer = ThreadPoolExecutor(1, thread_name_prefix="render")
_rendering: dict[tuple[int, str], Future[Scan]] = {}


def render_ahead(seed: int, size: str) -> Future[Scan]:
    """Begin to render a phantom in the background; asked again, the same rendering."""
    key = (seed, size)
    if key not in _rendering:
        _rendering[key] = _renderer.submit(_rendered, seed, size)
    return _rendering[key]


def _rendered(seed: int, size: str) -> Scan:
    """The scan of this seed: kept from an earlier demo, or rendered and kept; always of the present code."""
    training = ROOT / "inference" / "training"
    sources = [training / f"{name}.py" for name in ("anatomy", "phantom", "study")]
    made_by = digest([*sources, ROOT / "requirements-worker.lock"])[:16]
    kept = BUILD / "phantoms" / f"{seed}-{size}-{made_by}.npz"
    if not kept.exists():
        # Here: PyTorch takes 2 s to import, in which the servers could have been started.
        from inference.training.phantom import scanned

        scan = scanned(seed, SHAPES[size])
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob(f"{seed}-{size}-*"):
            old.unlink()
        part = kept.with_suffix(".part.npz")
        arrays: dict[str, Any] = {"labels": scan.labels, **scan.images}
        np.savez(part, **arrays)
        part.replace(kept)
    with np.load(kept) as stored:
        return Scan(seed, {role: stored[role] for role in ROLES}, stored["labels"])


@dataclass(frozen=True)
class Study:
    """The files of one study by series, in slice order, and where the truth lies."""

    study_uid: str
    series: dict[str, list[Path]]
    truth: Path

    @property
    def files(self) -> list[Path]:
        """Every instance."""
        return [file for files in self.series.values() for file in files]


def make_study(run: Run, patient: dict[str, Any], accession: str, *, seed: int, size: str) -> Study:
    """Write the phantom for this patient and order under VAR/demo."""
    folder = run.var / "demo" / f"run-{run.facts['serial']:03d}" / accession
    name = patient["name"][0]
    truth = write_study(
        folder,
        render_ahead(seed, size).result(),
        patient_id=patient["identifier"][0]["value"],
        patient_name=f"{name['family']}^{name['given'][0]}",
        birth_date=patient["birthDate"].replace("-", ""),
        sex={"female": "F", "male": "M"}[patient["gender"]],
        accession=accession,
    )
    series: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.dcm")):
        series.setdefault(file.name.rsplit("_", 1)[0], []).append(file)
    with np.load(truth) as stored:
        study_uid = str(stored["study_uid"])
    return Study(study_uid, series, truth)


def _parts(content_type: str, body: bytes) -> list[bytes]:
    """The parts of a multipart answer (PS3.18 8.6.1)."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return [bytes(part.get_payload(decode=True) or b"") for part in message.iter_parts()]


def dice_of_segmentation(run: Run, study_uid: str, series_uid: str) -> dict[str, float]:
    """Retrieve the SEG as the doctor and compare each segment with the truth, voxel by voxel."""
    import highdicom  # here: it takes 0.4 s to import

    answer = run.as_("doctor").request(
        "GET",
        f"/dicom-web/studies/{study_uid}/series/{series_uid}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    require(answer.status_code == 200, f"the SEG series answered {answer.status_code}")
    parts = _parts(answer.headers["content-type"], answer.content)
    require(len(parts) == 1, f"{len(parts)} SEG instances")
    segmentation = highdicom.seg.Segmentation.from_dataset(pydicom.dcmread(io.BytesIO(parts[0])))
    with np.load(run.live["study"].truth) as truth:
        labels, affine = truth["labels"], truth["affine"]
    found = np.zeros(labels.shape, np.uint8)
    for number in segmentation.segment_numbers:
        label = segmentation.get_segment_description(number).segment_label
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=False)
        voxels = np.argwhere(volume.array[..., 0] > 0)
        # Never by index: the SEG leaves out empty slices and runs the other way (its own affine tells).
        points = np.c_[voxels, np.ones(len(voxels))] @ (np.linalg.inv(affine) @ volume.affine).T
        x, y, z = np.rint(points[:, :3]).astype(int).T
        found[z, y, x] = LABELS[label.split()[0]]
    return {name: dice(np.isin(found, values), np.isin(labels, values)) for name, values in REGIONS.items()}


def dice(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """Dice's coefficient of two masks; 1.0 when both are empty."""
    total = int(found.sum() + expected.sum())
    return float(2 * (found & expected).sum() / total) if total else 1.0
