"""Which similarity for structure, not brightness: every residual of one and the same fitted detector, as a table.

    python benchmarks/similarity.py FOLDER ... --methods linear autoencoder --json similarity.json

For each folder in the MVTec layout, a method is fitted once. For each kind of residual, map statistics and thresholds
are taken anew from the same held-out normal images, and then:

- *moves*: how far the score of a held-out normal image moves when the image is made brighter or darker, flatter or
  steeper: the median over the images of |score after - score before|, in standard deviations of the scores before;
- *AUROC*: over test images and over their pixels, unchanged. Test images are used for measuring alone.
"""

import argparse
import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

import napari_anomaly as na
from napari_anomaly.core.data.files import read_image
from napari_anomaly.core.data.split import split
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.residuals import ResidualKind

BRIGHTNESS, CONTRAST = 0.05, 0.2
"""A twentieth of the range is added or taken; differences from the image's mean grow or shrink by a fifth."""

COLUMNS = ("brighter", "darker", "steeper", "flatter", "image AUROC", "pixel AUROC")


def changes(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return an 8- or 16-bit image brighter, darker, steeper and flatter, cut where its range ends."""
    highest = np.iinfo(image.dtype).max
    values = image / highest
    mean = values.mean()
    different = {
        "brighter": values + BRIGHTNESS,
        "darker": values - BRIGHTNESS,
        "steeper": mean + (values - mean) * (1 + CONTRAST),
        "flatter": mean + (values - mean) * (1 - CONTRAST),
    }
    return {
        name: np.round(one.clip(0, 1) * highest).astype(image.dtype)
        for name, one in different.items()
    }


def moves(detector: na.Detector, images: list[np.ndarray]) -> dict[str, float]:
    """Return how far scores move, in deviations of the scores of unchanged images."""
    before = np.array([one.score for one in detector.inspect_all(images)])
    spread = before.std()
    changed_images = [changes(image) for image in images]
    return {
        name: float(np.median(np.abs(after - before)) / spread)
        for name in ("brighter", "darker", "steeper", "flatter")
        for after in [
            np.array([one.score for one in detector.inspect_all(k[name] for k in changed_images)])
        ]
    }


def measure(folder: Path, method: str, seed: int, budget: float | None, kinds: list[str]) -> dict:
    """Return the numbers of one folder and method, by kind of residual."""
    data = na.open_folder(folder)
    fitted = na.fit(data, method, seed=seed, budget=budget)
    held_out = split(data.train, seed=seed).calibration
    images = [read_image(sample.path, sample.page) for sample in held_out]
    found = {}
    for kind in kinds:
        print(f"{folder.name}, {method}, {kind}", file=sys.stderr)
        recipe = changed(fitted.recipe, {"residual.kind": kind})
        detector = replace(fitted, recipe=recipe).calibrate(images)
        began = time.monotonic()
        metrics = na.evaluate(detector, data).metrics
        found[kind] = moves(detector, images) | {
            "image AUROC": metrics["image_auroc"],
            "pixel AUROC": metrics["pixel_auroc"],
            "test_seconds": time.monotonic() - began,
        }
    return {"data": folder.name, "method": method, "held_out": len(images), "kinds": found}


def table(rows: list[dict]) -> str:
    """Return the Markdown table."""
    heads = ["set", "method", "residual", *COLUMNS]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        for kind, numbers in row["kinds"].items():
            digits = [3 if name.endswith("AUROC") else 1 for name in COLUMNS]
            cells = [
                "-" if numbers[name] is None else f"{numbers[name]:.{d}f}"
                for name, d in zip(COLUMNS, digits, strict=True)
            ]
            lines.append("| " + " | ".join([row["data"], row["method"], kind, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--methods", nargs="+", default=["linear", "autoencoder"])
    parser.add_argument("--kinds", nargs="+", default=get_args(ResidualKind))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, help="seconds of training, at most")
    parser.add_argument("--json", type=Path)
    choices = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    rows = [
        measure(folder, method, choices.seed, choices.budget, list(choices.kinds))
        for folder in choices.folders
        for method in choices.methods
    ]
    if choices.json:
        choices.json.write_text(json.dumps(rows, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
