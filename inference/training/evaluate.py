"""Owns the figures of the demo bundle: Dice per region on phantoms that training never saw, through the
product's own prediction, on native 240 x 240 x 155 voxels of 1 mm.

Run from the repository root: `python -m inference.training.evaluate --count 20`; it writes docs/DICE.md of
the bundle.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from imaging.volume import Volume
from inference.bundle import Bundle, load
from inference.predict import predict, warm
from inference.training.phantom import NATIVE_SHAPE, Phantom, Rendered, render_slabs
from inference.training.study import FOV_MM
from inference.training.train import BUNDLE, HELD_OUT

FIRST = HELD_OUT + 100_000
"""First seed of the evaluation; demo and tests take other held-out seeds."""


def dice(truth: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> float:
    """Dice overlap; two empty masks agree."""
    total = int(truth.sum()) + int(found.sum())
    return 2 * int((truth & found).sum()) / total if total else 1.0


def as_volume(image: torch.Tensor) -> Volume:
    """An image (X, Y, Z) in RAS as the volume that ingest would make of it, rounded like stored pixels."""
    array = image.flip(0, 1).permute(2, 1, 0).round().clamp(0, 4095).contiguous().numpy()
    spacing = tuple(f / n for f, n in zip(reversed(FOV_MM), array.shape, strict=True))
    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    return Volume(
        array,
        (spacing[0], spacing[1], spacing[2]),
        affine,
        "1.2",
        "1.3",
        "1.4",
        (),
        (0, 1, 2),
        (False, False, False),
    )


def scores(bundle: Bundle, rendered: Rendered) -> tuple[list[float], list[float]]:
    """Dice and confidence per region of one phantom."""
    volumes = {role: as_volume(image) for role, image in zip(bundle.roles, rendered.images, strict=True)}
    prediction = predict(bundle, volumes)
    truth = rendered.labels.flip(0, 1).permute(2, 1, 0).numpy()
    regions = bundle.metadata.neuronova.regions
    overlap = [dice(np.isin(truth, r.labels), np.isin(prediction.labels, r.labels)) for r in regions]
    return overlap, [prediction.confidence[r.name] for r in regions]


def table(bundle: Bundle, seeds: range, dtype: str) -> str:
    """A Markdown table, one row per phantom, then mean and worst."""
    names = [r.name for r in bundle.metadata.neuronova.regions]
    found, sure = [], []
    for seed in seeds:
        one, confidence = scores(bundle, render_slabs(Phantom(seed), NATIVE_SHAPE))
        found.append(one)
        sure.append(confidence)
        print(seed, [round(v, 3) for v in one], [round(v, 3) for v in confidence], flush=True)
    values = np.array(found)
    off = np.abs(values - np.array(sure)).mean(axis=0)
    lines = [f"| phantom | {' | '.join(names)} |", "|--|" + "--|" * len(names)]
    rows = [(str(seed), row) for seed, row in zip(seeds, values, strict=True)]
    rows += [
        ("**mean**", values.mean(axis=0)),
        ("**worst**", values.min(axis=0)),
        ("mean distance of confidence and Dice", off),
    ]
    lines += [f"| {name} | {' | '.join(f'{v:.3f}' for v in row)} |" for name, row in rows]
    head = (
        f"# Dice on held-out phantoms\n\nWeights SHA-256 `{bundle.weights_sha256}`, arithmetic {dtype}, "
        f"{len(seeds)} phantoms of 240 x 240 x 155 voxels with seeds never trained on, whole pipeline.\n"
        "Phantoms are simulated; these figures say nothing about patients. Not for clinical use.\n\n"
    )
    return head + "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    options = parser.parse_args()
    bundle = load(options.bundle)
    text = table(bundle, range(FIRST, FIRST + options.count), warm(bundle))
    (options.bundle / "docs").mkdir(exist_ok=True)
    (options.bundle / "docs" / "DICE.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
