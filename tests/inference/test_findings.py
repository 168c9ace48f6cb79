"""Volumes by hand: voxels times the voxel's volume, in mL."""

import numpy as np
import pytest

from inference.bundle import Bundle
from inference.findings import measure
from inference.predict import Prediction


def prediction() -> Prediction:
    return Prediction(
        np.zeros((1, 1, 1), np.uint8),
        {"TC": 125, "WT": 1000, "ET": 0},
        {"TC": 0.91234, "WT": 0.8, "ET": 1.0},
        "float32",
        0.0,
    )


@pytest.mark.parametrize(
    ("spacing_mm", "volumes"),
    [
        ((1.0, 1.0, 1.0), [0.125, 1.0, 0.0]),
        ((5.0, 0.5, 0.4), [0.125, 1.0, 0.0]),
        ((3.0, 2.0, 2.0), [1.5, 12.0, 0.0]),
    ],
)
def test_volume_is_voxels_times_voxel_volume(
    demo_bundle: Bundle, spacing_mm: tuple[float, ...], volumes: list[float]
) -> None:
    findings = measure(demo_bundle, prediction(), spacing_mm)
    assert [f.volume_ml for f in findings] == volumes


def test_findings_carry_the_codes_of_the_bundle(demo_bundle: Bundle) -> None:
    first = measure(demo_bundle, prediction(), (1.0, 1.0, 1.0))[0]
    assert (first.region, first.code, first.title, first.confidence) == (
        "TC",
        "tumour-core-volume",
        "Tumour core",
        0.912,
    )
