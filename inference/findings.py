"""Owns the measurements: how much of each region there is, in mL, and how sure the network was.

Volume = voxels of the region x volume of a voxel. Confidence is `predict.expected_dice`, from 0 to 1; it is
not calibrated, and says nothing about data that are unlike the training data. Nothing else is assessed: no
count of lesions, no diameter, no type of tumour, no other disease.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inference.bundle import Bundle
from inference.predict import Prediction

NOT_ASSESSED = "Number of lesions, diameters, type of tumour and any other disease were not assessed."


@dataclass(frozen=True)
class Finding:
    """One region: its name in the bundle, its code and title in FHIR, volume in mL, confidence from 0 to
    1."""

    region: str
    code: str
    title: str
    volume_ml: float
    confidence: float


def measure(bundle: Bundle, prediction: Prediction, spacing_mm: Sequence[float]) -> list[Finding]:
    """One finding per region of the bundle, in its order; `spacing_mm` of the volumes."""
    voxel_ml = math.prod(spacing_mm) / 1000
    return [
        Finding(
            region.name,
            region.code,
            region.title,
            round(prediction.voxels[region.name] * voxel_ml, 3),
            round(prediction.confidence[region.name], 3),
        )
        for region in bundle.metadata.neuronova.regions
    ]
