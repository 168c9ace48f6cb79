"""Labels, voxels and confidence of a network whose answer is known, on grids in any order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import torch

from imaging.volume import Volume, volume
from inference.bundle import Bundle
from inference.errors import GridError
from inference.predict import choose_dtype, expected_dice, predict, warm
from inference.training.evaluate import dice
from inference.training.phantom import Phantom
from tests.inference.conftest import four, make_volume


def head() -> npt.NDArray[np.float32]:
    """A head of 40 x 48 x 48 voxels at 100, in it blocks that are 1, 2 and 3 deviations (and more)
    brighter."""
    image = np.zeros((56, 64, 64), np.float32)
    image[8:48, 8:56, 8:56] = np.where(np.indices((40, 48, 48)).sum(0) % 2, 110, 90)
    return image


def test_labels_and_voxels_are_those_computed_by_hand(tiny: Bundle) -> None:
    warm(tiny, "float32")
    image = head()
    image[12:22, 20:30, 30:40] = 220  # outermost: oedema
    image[14:20, 22:28, 32:38] = 300  # core
    image[16:18, 24:26, 34:36] = 400  # enhancing
    sample = image[:, ::-1, ::-1].transpose(2, 1, 0)[::4, ::4, ::4]
    inside = sample[sample > 0]
    thresholds = {
        name: inside.mean() + t * inside.std(ddof=1) for name, t in {"TC": 1.5, "WT": 0.5, "ET": 2.5}.items()
    }
    found = predict(tiny, four(image))
    expected = np.zeros(image.shape, np.uint8)
    expected[image > thresholds["WT"]] = 1
    expected[image > thresholds["TC"]] = 2
    expected[image > thresholds["ET"]] = 3
    assert np.array_equal(found.labels, expected)
    assert found.voxels["WT"] == np.count_nonzero(expected)
    assert found.voxels["TC"] == np.count_nonzero(expected >= 2)
    assert found.voxels["ET"] == np.count_nonzero(expected == 3)
    assert found.dtype == "float32"


def test_where_nothing_is_found_nothing_is_labelled_and_the_network_is_sure(tiny: Bundle) -> None:
    warm(tiny, "float32")
    found = predict(tiny, four(np.where(head() > 0, 100, 0)))
    assert not found.labels.any()
    assert found.voxels == {"TC": 0, "WT": 0, "ET": 0}
    assert found.confidence["ET"] == 1.0


def around_a_tumour() -> dict[str, Volume]:
    """64 mm of a phantom at 1 mm: small, because bfloat16 is slow where the CPU has none."""
    phantom = Phantom(1_000_043)
    corner = tuple(float(c) - 32 for c in phantom.tumours[0].centre)
    images = phantom.render((64, 64, 64), spacing=(1, 1, 1), origin=(corner[0], corner[1], corner[2])).images
    arrays = [image.flip(0, 1).permute(2, 1, 0).numpy() for image in images]
    return {
        role: make_volume(array) for role, array in zip(("T1", "T1c", "T2", "FLAIR"), arrays, strict=True)
    }


def test_the_same_volumes_give_the_same_labels(demo_bundle: Bundle) -> None:
    warm(demo_bundle, "float32")
    assert torch.are_deterministic_algorithms_enabled()
    volumes = around_a_tumour()
    first, second = predict(demo_bundle, volumes), predict(demo_bundle, volumes)
    assert first.labels.any()
    assert np.array_equal(first.labels, second.labels)
    assert first.confidence == second.confidence


def test_bfloat16_and_float32_agree(demo_bundle: Bundle) -> None:
    volumes = around_a_tumour()
    warm(demo_bundle, "float32")
    single = predict(demo_bundle, volumes)
    warm(demo_bundle, "bfloat16")
    half = predict(demo_bundle, volumes)
    assert half.dtype == "bfloat16"
    for region in demo_bundle.metadata.neuronova.regions:
        masks = [np.isin(found.labels, region.labels) for found in (single, half)]
        assert dice(*masks) > 0.99


def test_the_demo_bundle_finds_the_tumour_of_a_coarse_study(demo_bundle: Bundle, study: Path) -> None:
    warm(demo_bundle, "float32")
    truth = np.load(study / "truth.npz")["labels"]
    labels = predict(demo_bundle, _volumes(study)).labels
    assert dice(truth > 0, labels > 0) > 0.7
    assert dice(truth == 3, labels == 3) > 0.5


def _volumes(study: Path) -> dict[str, Volume]:
    files: dict[str, list[bytes]] = {}
    for path in sorted(study.glob("*.dcm")):
        files.setdefault(path.name.split("_")[1], []).append(path.read_bytes())
    names = {"t1": "T1", "t1c": "T1c", "t2": "T2", "flair": "FLAIR"}
    return {names[role]: volume(data) for role, data in files.items()}


def test_the_truth_lies_on_the_volume_that_ingest_makes(study: Path) -> None:
    truth = np.load(study / "truth.npz")
    assert np.allclose(_volumes(study)["T1"].affine, truth["affine"], atol=1e-4)
    assert pydicom.dcmread(next(study.glob("*.dcm"))).StudyInstanceUID == truth["study_uid"].item()


def test_volumes_on_different_grids_are_refused(tiny: Bundle) -> None:
    volumes = dict(four(head()))
    volumes["T2"] = make_volume(head(), (1.0, 1.0, 1.2))
    with pytest.raises(GridError):
        predict(tiny, volumes)


def test_left_is_not_taken_for_right(demo_bundle: Bundle) -> None:
    seen: list[torch.Tensor] = []

    def remember(image: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
        seen.append(image)
        return torch.full((1, 3, *image.shape[-3:]), -9.0)

    image = head()
    image[24:32, 10:14, 10:14] = 400  # low x and y: the patient's right, front
    warm(demo_bundle, "float32")
    watched = replace(demo_bundle, inferer=remember)
    predict(watched, {role: make_volume(image) for role in demo_bundle.roles})
    bright = torch.nonzero(seen[0][0, 0] == seen[0][0, 0].max()).float().mean(0)
    middle = torch.tensor(seen[0].shape[-3:]) / 2
    assert bright[0] > middle[0]  # RAS: x grows to the right
    assert bright[1] > middle[1]  # y grows to the front


@pytest.mark.parametrize(("wish", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_wished_arithmetic_is_taken(tiny: Bundle, wish: str, dtype: torch.dtype) -> None:
    assert choose_dtype(tiny.network, wish) is dtype  # type: ignore[arg-type]


def test_slow_bfloat16_is_not_chosen() -> None:
    class Emulated(torch.nn.Conv3d):
        """Takes its time in bfloat16, as CPUs without it do."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            for _ in range(60 if torch.is_autocast_enabled("cpu") else 1):
                answer = super().forward(image)
            return answer

    assert choose_dtype(Emulated(4, 3, 3, padding=1), "auto") is torch.float32


def test_confidence_is_the_dice_of_mask_and_probabilities() -> None:
    probability = np.array([0.9, 0.6, 0.4, 0.005], np.float32)
    mask = np.array([True, True, False, False])
    assert expected_dice(probability, mask) == pytest.approx(2 * 1.5 / (1.9 + 2))
