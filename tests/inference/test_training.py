"""Phantoms are what they claim, and training runs; how well it learns is measured elsewhere."""

import itertools
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from inference.training import train
from inference.training.evaluate import as_volume, dice
from inference.training.phantom import ENHANCING, NECROSIS, OEDEMA, Phantom, render_slabs


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(11)


def test_one_seed_is_one_head(phantom: Phantom) -> None:
    first, second = (p.render((30, 30, 20)) for p in (phantom, Phantom(11)))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.labels, Phantom(12).render((30, 30, 20)).labels)


def test_a_crop_shows_the_same_labels_as_the_whole(phantom: Phantom) -> None:
    whole = phantom.render((60, 60, 40), spacing=(4, 4, 4), origin=(-118, -118, -78)).labels
    crop = phantom.render((20, 24, 16), spacing=(4, 4, 4), origin=(-118 + 40, -118 + 48, -78 + 32)).labels
    assert torch.equal(whole[10:30, 12:36, 8:24], crop)


def test_slabs_are_the_same_head_with_noise_of_their_own(phantom: Phantom) -> None:
    slabs = render_slabs(phantom, (48, 48, 32), thickness=8)
    assert torch.equal(slabs.labels, phantom.render((48, 48, 32)).labels)
    air = slabs.images[0, 0, 0]
    assert len(set(air.tolist())) == len(air)


def test_contrasts_are_in_the_order_of_mr(phantom: Phantom) -> None:
    rendered = phantom.render((80, 80, 52))
    images = rendered.images / torch.from_numpy(phantom.gains)[:, None, None, None]
    t1, t1c, t2, flair = images
    oedema, rim, core = (rendered.labels == v for v in (OEDEMA, ENHANCING, NECROSIS))
    healthy = (rendered.labels == 0) & (t1 > 0.8)
    assert t1c[rim].mean() > 1.5 * t1[rim].mean()
    assert flair[oedema].mean() > flair[healthy].mean()
    assert t2[oedema].mean() > t2[healthy].mean()
    assert t1c[core].mean() < 0.6 * t1c[rim].mean()


def test_a_written_study_is_twelve_bit_uncompressed_mr_with_all_identifiers(study: Path) -> None:
    files = sorted(study.glob("*.dcm"))
    assert len(files) == 4 * 24
    first = pydicom.dcmread(files[0])
    assert first.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (first.BitsStored, first.PatientID, first.AccessionNumber) == (12, "DEMO-1", "ACC-1")
    instances = [pydicom.dcmread(f) for f in files]
    assert len({i.SOPInstanceUID for i in instances}) == len(files)
    assert len({i.SeriesInstanceUID for i in instances}) == 4
    assert len({i.StudyInstanceUID for i in instances}) == 1
    assert max(int(i.pixel_array.max()) for i in instances) <= 4095


def test_the_written_pixels_are_the_rendered_head(study: Path) -> None:
    rendered = render_slabs(Phantom(1_000_042), (64, 64, 24))
    expected = as_volume(rendered.images[3]).array
    written = np.stack([pydicom.dcmread(f).pixel_array for f in sorted(study.glob("04_*.dcm"))])
    assert np.array_equal(written, expected.astype(np.uint16))


def test_a_few_steps_of_training_change_the_weights_and_write_them(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.manual_seed(7)
    before = train.network().state_dict()
    result = train.train(10, crop=32, steps=2, weights=path)
    assert result["steps"] == 2
    state = torch.load(path, weights_only=True)
    assert all(torch.isfinite(v.float()).all() for v in state.values())
    assert any(not torch.equal(before[k].half(), v) for k, v in state.items() if k.endswith("weight"))
    assert path.stat().st_size <= 5_000_000


def test_training_never_uses_held_out_phantoms() -> None:
    seeds = []
    samples = train.Samples(70_000, 16)
    original = train.sample
    train.sample = lambda seed, rng, crop: seeds.append(seed)  # type: ignore[assignment, return-value, func-returns-value]
    try:
        list(itertools.islice(iter(samples), 5))
    finally:
        train.sample = original
    assert seeds == [70_000, 70_001, 70_002, 70_003, 70_004]
    assert max(seeds) < train.HELD_OUT


def test_regions_overlap_as_in_brats() -> None:
    labels = torch.tensor([[[0, OEDEMA, NECROSIS, ENHANCING]]])
    assert train.regions(labels).reshape(3, 4).tolist() == [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]]


def test_dice_of_known_masks() -> None:
    assert dice(np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)) == pytest.approx(0.5)
