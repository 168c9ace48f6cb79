"""From the study's grid to the network's and back, by numbers that can be checked by hand."""

import numpy as np
import pytest
import torch

from inference.transforms import HeadNormalised, head_statistics, normalise


def test_statistics_are_of_the_head_alone() -> None:
    image = torch.zeros(1, 10, 10, 10)
    image[0, 2:8] = 100
    image[0, 4:6] = 200
    statistics = head_statistics(image)
    assert statistics.threshold.item() == pytest.approx(0.15 * 200)
    assert statistics.mean.item() == pytest.approx((4 * 100 + 2 * 200) / 6)


def test_normalised_head_has_zero_mean_and_is_clipped() -> None:
    image = torch.zeros(1, 10, 10, 10)
    image[0, 2:8] = 100
    image[0, 4:6] = 200
    image[0, 0, 0, 0] = 1e6
    statistics = head_statistics(image[:, 1:])
    result = normalise(image.clone(), statistics, limit=5.0)
    assert result[0, 2:8].mean().abs() < 1e-5
    assert result.max() == 5.0


def test_an_empty_channel_is_no_division_by_zero() -> None:
    assert torch.isfinite(normalise(torch.zeros(1, 8, 8, 8), head_statistics(torch.zeros(1, 8, 8, 8)))).all()


def test_the_box_holds_the_head_and_a_margin() -> None:
    image = np.zeros((80, 80, 80), np.float32)
    image[20:60, 24:56, 16:48] = 100
    prepared = HeadNormalised((1.0, 1.0, 1.0), 8).prepare([image], (1.0, 1.0, 1.0))
    for side, (low, high) in zip(prepared.box, ((20, 60), (24, 56), (16, 48)), strict=True):
        assert low - 12 <= side.start <= low - 4
        assert high + 4 <= side.stop <= high + 12


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 3.0), (0.5, 0.7, 5.0)])
def test_the_network_sees_divisible_sizes_at_its_own_spacing(spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(50, 100, (40, 36, 20)).astype(np.float32)
    way = HeadNormalised((1.0, 1.0, 1.0), 8)
    prepared = way.prepare([image], spacing)
    assert all(n % 8 == 0 for n in prepared.image.shape[-3:])
    assert prepared.resampled == tuple(round(n * s) for n, s in zip(image.shape, spacing, strict=True))
    assert way.undo(torch.rand(1, 3, *prepared.image.shape[-3:]), prepared).shape == (3, 40, 36, 20)


def test_what_is_undone_lies_where_it_came_from() -> None:
    image = np.full((24, 24, 12), 100, np.float32)
    image[8:12, 14:18, 4:6] = 900
    way = HeadNormalised((1.0, 1.0, 1.0), 8)
    prepared = way.prepare([image], (2.0, 2.0, 4.0))
    back = way.undo(prepared.image, prepared)[0].numpy()
    assert np.array_equal(back > 2, image[prepared.box] > 500)
