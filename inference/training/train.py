"""Owns the training of the demo network: phantoms rendered on the fly, a small UNet, the weights with their
SHA-256.

Run from the repository root: `nice -n 19 python -m inference.training.train --minutes 20`. Each step renders
a crop of a phantom that was never seen before into a small pool, so the network cannot learn patients by
heart. Seeds from `HELD_OUT` upwards are never trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from inference.training.phantom import ENHANCING, NECROSIS, Phantom
from inference.training.study import FOV_MM
from inference.transforms import head_statistics, normalise

HELD_OUT = 900_000
"""First seed of the phantoms that training never sees."""
BUNDLE = Path(__file__).parents[1] / "bundles" / "brain_tumour_demo"
MINIMUM_CROP = 32
"""With 16, bfloat16 gradients of the deepest layer (2 voxels wide) were NaN in half of the runs (torch
2.15)."""
Sample = tuple[torch.Tensor, torch.Tensor]


def regions(labels: torch.Tensor) -> torch.Tensor:
    """Labels to the overlapping regions TC, WT, ET, shape (3, X, Y, Z)."""
    core = (labels == NECROSIS) | (labels == ENHANCING)
    return torch.stack([core, labels > 0, labels == ENHANCING]).to(torch.float16)


def sample(seed: int, rng: np.random.Generator, crop: int) -> Sample:
    """One crop of a fresh phantom at 1 mm, normalised by the statistics of its whole head, and its
    regions."""
    phantom = Phantom(seed)
    coarse = phantom.render((60, 60, 39), spacing=(4, 4, 4))
    statistics = head_statistics(coarse.images)
    if rng.random() < 0.75:
        tumour = phantom.tumours[rng.integers(len(phantom.tumours))]
        middle = tumour.centre + rng.uniform(-crop * 0.45, crop * 0.45, 3)
    else:
        middle = rng.uniform((-75, -95, -75), (75, 95, 75))
    edge = np.array(FOV_MM) / 2
    middle = np.clip(middle, -edge + crop / 2, edge - crop / 2)
    origin = tuple(float(m) - (crop - 1) / 2 for m in middle)
    part = phantom.render((crop, crop, crop), spacing=(1, 1, 1), origin=(origin[0], origin[1], origin[2]))
    return normalise(part.images, statistics).to(torch.float16), regions(part.labels)


class Samples(IterableDataset[Sample]):  # type: ignore[misc]  # torch is untyped here
    """Endless crops of ever new phantoms, rendered in a process of its own beside the training."""

    def __init__(self, first_seed: int, crop: int) -> None:
        self._first_seed = first_seed
        self._crop = crop

    def __iter__(self) -> Iterator[Sample]:
        torch.set_num_threads(1)
        rng = np.random.default_rng(self._first_seed)
        for seed in count(self._first_seed):
            yield sample(seed, rng, self._crop)


def augment(batch: Sample, rng: np.random.Generator) -> Sample:
    """Left-right flips, and a small gain and offset per channel."""
    image, target = (t.float() for t in batch)
    if rng.random() < 0.5:
        image, target = image.flip(2), target.flip(2)
    gain = torch.from_numpy(rng.uniform(0.92, 1.08, (image.shape[0], 4, 1, 1, 1)).astype(np.float32))
    offset = torch.from_numpy(rng.uniform(-0.08, 0.08, (image.shape[0], 4, 1, 1, 1)).astype(np.float32))
    return image * gain + offset, target


def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus soft Dice over the batch, regions weighted alike."""
    logits = logits.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target)
    probability = logits.sigmoid()
    axes = (0, 2, 3, 4)
    overlap = (probability * target).sum(axes)
    total = probability.sum(axes) + target.sum(axes)
    return entropy + 1 - ((2 * overlap + 20) / (total + 20)).mean()


def network() -> nn.Module:
    """The network that the bundle's own configuration names."""
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    built: nn.Module = parser.get_parsed_content("network_def")
    return built


def bfloat16_pays(net: nn.Module) -> bool:
    """Whether a step in bfloat16 is faster here: without hardware support it is 60 times slower."""
    from inference.predict import choose_dtype

    return choose_dtype(net, "auto") is torch.bfloat16


def save(net: nn.Module, path: Path) -> str:
    """Write the weights as float16 (half the size; results change by less than 1e-3) and return their
    SHA-256."""
    state = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def train(
    minutes: float,
    *,
    crop: int = 64,
    batch: int = 2,
    pool_size: int = 48,
    peak_rate: float = 3e-3,
    steps: int | None = None,
    seed: int = 7,
    weights: Path | None = None,
) -> dict[str, Any]:
    """Train until `minutes` are over or `steps` are done; the learning rate follows whichever is nearer."""
    if crop < MINIMUM_CROP:
        raise ValueError(f"crops under {MINIMUM_CROP} voxels are too small for the network")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = network().train()
    dtype = torch.bfloat16 if bfloat16_pays(net) else torch.float32
    net.train()
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=peak_rate, weight_decay=1e-4)
    samples = iter(
        DataLoader(Samples(seed * 10_000, crop), batch_size=None, num_workers=1, prefetch_factor=4)
    )
    pool: list[Sample] = []
    started, step, report = time.monotonic(), 0, 0.0
    while True:
        done = max((time.monotonic() - started) / (60 * minutes), step / steps if steps else 0.0)
        if done >= 1:
            break
        if step % 2 == 0:  # rendering costs as much as a step, so each crop is used four times
            fresh = next(samples)
            if len(pool) < pool_size:
                pool.append(fresh)
            else:
                pool[int(rng.integers(pool_size))] = fresh
        for group in optimiser.param_groups:
            group["lr"] = peak_rate * min(1.0, (step + 1) / 50) * 0.5 * (1 + np.cos(np.pi * done)) + 1e-5
        chosen = [pool[int(i)] for i in rng.integers(len(pool), size=batch)]
        image, target = augment(
            (torch.stack([c[0] for c in chosen]), torch.stack([c[1] for c in chosen])), rng
        )
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            logits = net(image)
        value = loss(logits, target)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(net)
        step += 1
        now = float(value.detach())
        if not math.isfinite(now):
            raise FloatingPointError(f"the loss is {now} at step {step}")
        report = 0.97 * report + 0.03 * now if step > 1 else now
        if step % 25 == 0:
            print(f"{time.monotonic() - started:7.0f} s  step {step:5d}  loss {report:.3f}", flush=True)
        if weights and step % 200 == 0:
            save(average.module, weights)
    digest = save(average.module, weights) if weights else None
    return {
        "steps": step,
        "seconds": round(time.monotonic() - started),
        "loss": report,
        "sha256": digest,
        "dtype": str(dtype).removeprefix("torch."),
        "phantoms": (step + 1) // 2,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=BUNDLE / "models" / "model.pt")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(train(options.minutes, weights=options.weights)))


if __name__ == "__main__":
    main()
