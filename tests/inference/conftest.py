"""A bundle small enough to compute by hand, and phantoms small enough for every run."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet

from imaging.volume import Volume
from inference.bundle import Bundle, load
from inference.training.phantom import scanned
from inference.training.study import write_study
from inference.training.train import BUNDLE

GAIN = 40.0
"""Steepness of the tiny network: half a unit away from the threshold its probability is 0 or 1 to 1e-8."""
THRESHOLDS = (1.5, 0.5, 2.5)
"""Normalised T1c above which the tiny network says TC, WT, ET."""


def tiny_network() -> UNet:
    """Two layers whose answer is GAIN * (T1c - threshold) in every voxel."""
    net = UNet(
        spatial_dims=3,
        in_channels=4,
        out_channels=3,
        channels=[2, 2],
        strides=[1],
        num_res_units=0,
        norm=None,
        kernel_size=3,
        up_kernel_size=3,
    )
    down, deep, up = (m for m in net.modules() if isinstance(m, torch.nn.Conv3d | torch.nn.ConvTranspose3d))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for module in net.modules():
            if isinstance(module, torch.nn.PReLU):
                module.weight.fill_(1.0)
        down.weight[0, 1, 1, 1, 1] = 1.0  # T1c is passed on, the rest is not
        weight = up.weight if isinstance(up, torch.nn.Conv3d) else up.weight.transpose(0, 1)
        for region, threshold in enumerate(THRESHOLDS):
            weight[region, 0, 1, 1, 1] = GAIN
            assert up.bias is not None
            up.bias[region] = -GAIN * threshold
    del deep
    return net


Change = Callable[[Path, dict[str, Any], dict[str, Any]], None]


def write_tiny(directory: Path, change: Change | None = None) -> Path:
    """The tiny bundle in `directory`/tiny; `change(folder, metadata, inference)` may spoil it before it is
    written."""
    folder = directory / "tiny"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    metadata = json.loads((BUNDLE / "configs" / "metadata.json").read_text())
    inference = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    torch.save(tiny_network().state_dict(), folder / "models" / "model.pt")
    metadata["neuronova"] |= {
        "bundle_id": "tiny",
        "weights_sha256": hashlib.sha256((folder / "models" / "model.pt").read_bytes()).hexdigest(),
    }
    inference["network_def"] |= {
        "channels": [2, 2],
        "strides": [1],
        "num_res_units": 0,
        "norm": None,
        "kernel_size": 3,
        "up_kernel_size": 3,
    }
    if change is not None:
        change(folder, metadata, inference)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle, loaded."""
    return load(write_tiny(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="session")
def demo_bundle() -> Bundle:
    """The bundle that the product ships."""
    return load(BUNDLE)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DICOM study of four series with its truth."""
    directory = tmp_path_factory.mktemp("study")
    write_study(
        directory,
        scanned(1_000_042, (24, 64, 64)),
        patient_id="DEMO-1",
        patient_name="Demo^Patient One",
        birth_date="19700101",
        sex="F",
        accession="ACC-1",
    )
    return directory


def make_volume(
    array: np.ndarray[Any, Any], spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Volume:
    """A volume (z, y, x) with its axes along the patient's."""
    affine = np.diag([spacing_mm[2], spacing_mm[1], spacing_mm[0], 1.0])
    return Volume(
        array.astype(np.float32),
        spacing_mm,
        affine,
        "1.2.3",
        "1.2.4",
        "1.2.5",
        (),
        (0, 1, 2),
        (False, False, False),
    )


def four(
    t1c: np.ndarray[Any, Any], spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Mapping[str, Volume]:
    """Volumes of all roles that differ in T1c only."""
    plain = np.where(t1c > 0, 100, 0)
    return {
        role: make_volume(t1c if role == "T1c" else plain, spacing_mm)
        for role in ("T1", "T1c", "T2", "FLAIR")
    }
