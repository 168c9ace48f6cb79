"""A bundle is loaded only when every clause of its contract holds; each breach is named."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.bundle import Bundle, load, load_allowed, load_by_id
from inference.errors import BundleContractError, BundleNotAllowedError
from inference.training.train import BUNDLE
from tests.inference.conftest import Change, write_tiny


def test_demo_bundle_keeps_its_contract_and_is_small(demo_bundle: Bundle) -> None:
    assert demo_bundle.roles == ["T1", "T1c", "T2", "FLAIR"]
    assert [r.name for r in demo_bundle.metadata.neuronova.regions] == ["TC", "WT", "ET"]
    assert not demo_bundle.network.training
    assert (BUNDLE / "models" / "model.pt").stat().st_size <= 5_000_000


def test_demo_bundle_says_not_for_clinical_use(demo_bundle: Bundle) -> None:
    assert "not for clinical use" in demo_bundle.metadata.intended_use.lower()
    assert demo_bundle.metadata.neuronova.clinical_use is False


def test_every_allowed_bundle_is_loaded_by_its_id(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    assert list(load_allowed(tmp_path, ["tiny"])) == ["tiny"]


@pytest.mark.parametrize("bundle_id", ["tiny", "../tiny", "/etc", "", "Tiny"])
def test_a_bundle_off_the_list_is_refused(tmp_path: Path, bundle_id: str) -> None:
    write_tiny(tmp_path)
    with pytest.raises(BundleNotAllowedError):
        load_by_id(tmp_path, bundle_id, ["brain_tumour_demo"])


@pytest.mark.parametrize("bundle_id", ["../tiny", "/tiny", "a/../tiny"])
def test_an_id_never_leaves_the_folder_even_if_somebody_allows_it(tmp_path: Path, bundle_id: str) -> None:
    write_tiny(tmp_path)
    with pytest.raises(BundleNotAllowedError):
        load_by_id(tmp_path / "other", bundle_id, [bundle_id])


def _set(*path: str | int, to: Any, of: str = "metadata") -> Change:
    def change(folder: Path, metadata: dict[str, Any], inference: dict[str, Any]) -> None:
        node: Any = metadata if of == "metadata" else inference
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = to

    return change


def _weights(content: bytes) -> Change:
    return lambda folder, metadata, inference: _write(folder / "models" / "model.pt", content)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _drop(name: str) -> Change:
    def change(folder: Path, metadata: dict[str, Any], inference: dict[str, Any]) -> None:
        del inference[name]

    return change


IMAGE = ("network_data_format", "inputs", "image")
PRED = ("network_data_format", "outputs", "pred")
BREACHES = {
    "weights were exchanged": (_weights(b"other"), "SHA-256"),
    "wrong type": (_set(*IMAGE, "type", to="audio"), "inputs.image.type"),
    "wrong modality": (_set(*IMAGE, "modality", to="CT"), "modality is CT"),
    "wrong spatial shape": (_set(*IMAGE, "spatial_shape", to=["8*n", 0.5, "x"]), "spatial_shape"),
    "wrong dtype": (_set(*IMAGE, "dtype", to="uint8"), "dtype"),
    "value range turned round": (_set(*IMAGE, "value_range", to=[5, -5]), "value_range"),
    "value range not that of the preprocessing": (
        _set(*IMAGE, "value_range", to=[0, 1]),
        "preprocessing clips",
    ),
    "channels without names": (_set(*IMAGE, "channel_def", to={"0": "T1"}), "channel_def"),
    "more inputs than the weights": (
        lambda f, m, i: (
            _set(*IMAGE, "num_channels", to=5)(f, m, i),
            _set(
                *IMAGE,
                "channel_def",
                to={str(n): r for n, r in enumerate(["T1", "T1c", "T2", "FLAIR", "DWI"])},
            )(f, m, i),
            _set("neuronova", "series", "DWI", to={"words_any": ["dwi"]})(f, m, i),
        )[0],
        "does not take 5",
    ),
    "more outputs than the network": (
        lambda f, m, i: (
            _set(*PRED, "num_channels", to=2)(f, m, i),
            _set(*PRED, "channel_def", to={"0": "TC", "1": "WT"})(f, m, i),
            _set("neuronova", "regions", to=m["neuronova"]["regions"][:2])(f, m, i),
            _set("neuronova", "segments", to=m["neuronova"]["segments"][:2])(f, m, i),
            m["neuronova"]["regions"][0].update(labels=[2]),
            m["neuronova"]["regions"][1].update(labels=[1, 2]),
        )[0],
        "not 2 x",
    ),
    "other layers than the weights": (
        _set("network_def", "channels", to=[4, 4], of="inference"),
        "do not fit",
    ),
    "no licence": (_set("neuronova", "licence", to="proprietary"), "licence"),
    "another bundle's id": (_set("neuronova", "bundle_id", to="other"), "bundle_id"),
    "claims clinical use": (_set("neuronova", "clinical_use", to=True), "clinical_use"),
    "intended use is silent": (_set("intended_use", to="Everything"), "intended_use"),
    "no rule for a channel": (
        _set("neuronova", "series", to={"T1": {"words_any": ["t1"]}}),
        "neuronova.series",
    ),
    "a region without a segment": (_set("neuronova", "regions", 0, "labels", to=[9]), "no segment"),
    "an expression": (_set("network_def", "in_channels", to="$2+2", of="inference"), "expression"),
    "a foreign target": (_set("inferer", "_target_", to="subprocess.run", of="inference"), "subprocess.run"),
    "no inferer": (_drop("inferer"), "no inferer"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_the_contract_is_refused_and_named(tmp_path: Path, name: str) -> None:
    change, named = BREACHES[name]
    folder = write_tiny(tmp_path, change)
    with pytest.raises(BundleContractError) as caught:
        load(folder)
    assert any(named in violation for violation in caught.value.violations), caught.value.violations


def test_all_breaches_are_named_at_once(tmp_path: Path) -> None:
    def both(folder: Path, metadata: dict[str, Any], inference: dict[str, Any]) -> None:
        _weights(b"other")(folder, metadata, inference)
        _set(*IMAGE, "modality", to="CT")(folder, metadata, inference)

    with pytest.raises(BundleContractError) as caught:
        load(write_tiny(tmp_path, both))
    assert len(caught.value.violations) >= 2


@pytest.mark.parametrize("name", ["configs/metadata.json", "configs/inference.json", "models/model.pt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_tiny(tmp_path)
    (folder / name).unlink()
    with pytest.raises(BundleContractError, match=name.rpartition("/")[2]):
        load(folder)


def test_weights_that_carry_code_are_not_executed(tmp_path: Path) -> None:
    def pickled(folder: Path, metadata: dict[str, Any], inference: dict[str, Any]) -> None:
        path = folder / "models" / "model.pt"
        torch.save({"weight": _Trap(tmp_path / "ran")}, path)
        metadata["neuronova"]["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()

    folder = write_tiny(tmp_path, pickled)
    with pytest.raises(BundleContractError, match="cannot be read"):
        load(folder)
    assert not (tmp_path / "ran").exists()


class _Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)
