"""Owns loading a MONAI bundle: one fixed layout, every clause of its contract checked before the network
exists.

Layout (MONAI bundle specification): configs/metadata.json, configs/inference.json, models/model.pt. The
configuration is read by MONAI's ConfigParser, but it is data here, not a program: `$` expressions are
refused, and `_target_` may name only what `TARGETS` allows. Weights are read with `weights_only=True` (no
pickled code) after their SHA-256 has been compared.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from pydantic import ValidationError

from inference.errors import BundleContractError, BundleNotAllowedError
from inference.metadata import Metadata, violations
from inference.transforms import HeadNormalised

TARGETS = re.compile(
    r"monai\.networks\.nets\.[A-Za-z]+|monai\.inferers\.[A-Za-z]+|monai\.transforms\.[A-Za-z]+"
    r"|inference\.transforms\.[A-Za-z]+"
)
PARTS = ("network_def", "preprocessing", "inferer", "postprocessing")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose contract holds: the network with its weights in evaluation mode, and what surrounds
    it."""

    id: str
    metadata: Metadata
    network: torch.nn.Module
    preprocessing: HeadNormalised
    inferer: Any
    postprocessing: Any
    weights_sha256: str
    configuration_sha256: str

    @property
    def version(self) -> str:
        """Version of the bundle as its metadata states it."""
        return self.metadata.version

    @property
    def roles(self) -> list[str]:
        """Roles of the series in the order of the input channels."""
        return self.metadata.network_data_format.inputs.image.channels()


def load_allowed(bundles_dir: Path, allowed: Sequence[str]) -> dict[str, Bundle]:
    """Every allowed bundle by its id; one that breaks its contract stops the start."""
    return {bundle_id: load_by_id(bundles_dir, bundle_id, allowed) for bundle_id in allowed}


def load_by_id(bundles_dir: Path, bundle_id: str, allowed: Sequence[str]) -> Bundle:
    """The bundle of that id, if it is on the allow-list; the id never reaches outside `bundles_dir`."""
    if bundle_id not in allowed or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", bundle_id):
        raise BundleNotAllowedError(bundle_id)
    return load(bundles_dir / bundle_id)


def load(directory: Path) -> Bundle:
    """Check and load one bundle; BundleContractError names every violation that could be seen."""
    bundle_id = directory.name
    metadata = _metadata(directory)
    found = violations(metadata)
    if metadata.neuronova.bundle_id != bundle_id:
        found.append(f"neuronova.bundle_id is {metadata.neuronova.bundle_id}, the folder {bundle_id}")
    raw = _read(directory, "configs/inference.json", found)
    weights, digest = _weights(directory, metadata, found)
    found += _configuration_violations(raw)
    if found:
        raise BundleContractError(bundle_id, found)
    parser = ConfigParser(config=json.loads(raw))
    try:
        network, preprocessing, inferer, postprocessing = (parser.get_parsed_content(part) for part in PARTS)
    except (RuntimeError, TypeError, ValueError, ModuleNotFoundError) as error:
        raise BundleContractError(bundle_id, [f"inference.json cannot be built: {error}"]) from error
    found += _network_violations(network, weights, metadata)
    if not isinstance(preprocessing, HeadNormalised):
        found.append("preprocessing is not inference.transforms.HeadNormalised, whose geometry can be undone")
    elif metadata.network_data_format.inputs.image.value_range != (-preprocessing.limit, preprocessing.limit):
        found.append("inputs.image.value_range is not what the preprocessing clips to")
    if found:
        raise BundleContractError(bundle_id, found)
    configuration = hashlib.sha256(
        (directory / "configs/metadata.json").read_bytes() + b"\0" + raw
    ).hexdigest()
    return Bundle(
        bundle_id, metadata, network.eval(), preprocessing, inferer, postprocessing, digest, configuration
    )


def _metadata(directory: Path) -> Metadata:
    try:
        return Metadata.model_validate_json((directory / "configs" / "metadata.json").read_bytes())
    except FileNotFoundError as error:
        raise BundleContractError(directory.name, ["configs/metadata.json is missing"]) from error
    except ValidationError as error:
        named = [f"metadata.json {'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise BundleContractError(directory.name, named) from error


def _read(directory: Path, name: str, found: list[str]) -> bytes:
    try:
        return (directory / name).read_bytes()
    except FileNotFoundError:
        found.append(f"{name} is missing")
        return b"{}"


def _weights(directory: Path, metadata: Metadata, found: list[str]) -> tuple[dict[str, torch.Tensor], str]:
    path = directory / metadata.neuronova.weights
    data = _read(directory, metadata.neuronova.weights, found)
    digest = hashlib.sha256(data).hexdigest()
    if digest != metadata.neuronova.weights_sha256:
        found.append(f"{metadata.neuronova.weights} has SHA-256 {digest}, not the declared one")
        return {}, digest
    try:
        loaded: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        found.append(f"{metadata.neuronova.weights} cannot be read as weights alone: {type(error).__name__}")
        return {}, digest
    return {k: v.float() if v.is_floating_point() else v for k, v in loaded.items()}, digest


def _configuration_violations(raw: bytes) -> list[str]:
    try:
        content = json.loads(raw)
    except ValueError as error:
        return [f"inference.json is no JSON: {error}"]
    found = [f"inference.json has no {part}" for part in PARTS if part not in content]
    for key, value in _strings(content):
        if value.startswith("$") or "%" in value:
            found.append(f"inference.json has an expression or a macro under {key}")
        if key == "_target_" and not TARGETS.fullmatch(value):
            found.append(f"inference.json names the target {value}, which is not allowed")
    return found


def _strings(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _strings(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, key)
    elif isinstance(node, str):
        yield key, node


def _network_violations(
    network: torch.nn.Module, weights: dict[str, torch.Tensor], metadata: Metadata
) -> list[str]:
    """Weights fit the network, and one small window has the shapes and the range that the metadata
    promises."""
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        return [f"the weights do not fit the network: {error}"]
    inputs, outputs = metadata.network_data_format.inputs.image, metadata.network_data_format.outputs.pred
    shape = [
        d if isinstance(e, int) else d * max(1, 32 // d)
        for e, d in zip(inputs.spatial_shape, inputs.divisors(), strict=True)
    ]
    try:
        with torch.inference_mode():
            answer = network.eval()(torch.zeros(1, inputs.num_channels, *shape))
    except RuntimeError as error:
        return [f"the network does not take {inputs.num_channels} x {shape}: {error}"]
    if list(answer.shape) != [1, outputs.num_channels, *shape]:
        return [f"the network answers {list(answer.shape)[1:]}, not {outputs.num_channels} x {shape}"]
    return [] if bool(torch.isfinite(answer).all()) else ["the network's answer is not finite"]
