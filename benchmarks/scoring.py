"""Images per second of scoring on the CPU against PyTorch, and how long one image takes.

    python -m pip install --group bench
    python benchmarks/scoring.py --json scoring.json

Networks have random weights, images are textures from seeds, of the network's own size. Sides:

- ``ours``: the one compiled function of reconstruction, residual, smoothing and standardisation, on images that are
  prepared already, in as many threads as ``inspect_all`` uses.
- ``inspect``: ``Detector.inspect_all``, which also prepares the image, brings the map onto its grid and cuts regions.
- ``torch``: forward pass and the same residual, and nothing else, in batches of 16 (``torch_networks.py``, eager,
  channels_last, inference mode). ``torch-kept``: with glibc told to keep its memory (``timing.KEPT``).

A ratio above 1 means that the compiled function is faster. The second table holds single calls of ``inspect`` on an
image of 256 x 256 pixels. With ``--sides ours inspect`` PyTorch is not needed.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from textures import texture
from timing import (
    KEPT,
    Round,
    Side,
    Work,
    alternate,
    in_a_process,
    machine,
    ratio_cells,
    ratio_heads,
    record,
    table,
    times,
    write,
)

from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed

GRIDS = {
    "autoencoder": (128, 128, 3),
    "autoencoder-mvtec": (256, 256, 3),
    "autoencoder-weld": (256, 256, 1),
    "vae": (128, 128, 3),
}
LATENCIES = ("linear", "autoencoder", "vae")
SIDES = ("ours", "inspect", "torch", "torch-kept")
_IMAGES = 64  # of a round


def detector_of(recipe: str, side: int, channels: int) -> Any:
    """Fit for a step or two: what the weights are does not change the time."""
    import napari_anomaly as na

    chosen: Any = RECIPES[recipe]
    if recipe != "linear":
        chosen = changed(chosen, {"duration": 2, "unit": "steps", "batch": 4})
    return na.fit([texture(k, side, channels) for k in range(12)], chosen)


def prepare_ours(recipe: str, cores: int) -> Work:
    """Rounds of the compiled function, in threads."""
    from napari_anomaly.core.scoring import TOGETHER, Scorer
    from napari_anomaly.core.threads import in_order, workers

    side, _, channels = GRIDS[recipe]
    detector = detector_of(recipe, side, channels)
    scorer = Scorer.of(detector.recipe, detector.fitted, detector.standardisation)
    images = [texture(k, side, channels) for k in range(_IMAGES)]
    pixels = [detector.recipe.preprocess.apply(image)[0] for image in images]
    groups = [pixels[k : k + TOGETHER] for k in range(0, _IMAGES, TOGETHER)]
    scorer.each(groups[0])
    several = 2 * workers()  # as inspect_all
    return lambda: _drained(in_order(scorer.each, groups, threads=several, ahead=several - 1))


def prepare_inspect(recipe: str, cores: int) -> Work:
    """Rounds of ``inspect_all``."""
    side, _, channels = GRIDS[recipe]
    detector = detector_of(recipe, side, channels)
    images = [texture(k, side, channels) for k in range(_IMAGES)]
    return lambda: _drained(detector.inspect_all(images))


def _drained(results: Any) -> float:
    deque(results, maxlen=0)
    return _IMAGES


def prepare_torch(recipe: str, cores: int) -> Work:
    """Rounds of PyTorch's forward pass and the residual, in batches."""
    import torch
    from torch_networks import network_of, tensor_of

    torch.set_num_threads(cores)
    torch.set_flush_denormal(True)
    grid, std = GRIDS[recipe], 0.2
    network = network_of(RECIPES[recipe].method, grid).eval()
    images = np.random.default_rng(0).standard_normal((_IMAGES, *grid), dtype=np.float32)
    batches = tensor_of(images).split(16)

    @torch.inference_mode()
    def work() -> float:
        for batch in batches:
            ((network(batch) - batch).abs().mean(1) * std).numpy()
        return _IMAGES

    return work


PREPARE: dict[str, Callable[[str, int], Work]] = {
    "ours": prepare_ours,
    "inspect": prepare_inspect,
    "torch": prepare_torch,
    "torch-kept": prepare_torch,
}


def measure(recipe: str, choices: argparse.Namespace) -> dict[str, list[Round]]:
    """Let the sides take turns with one recipe."""
    sides = {}
    for name in choices.sides:
        environment = KEPT if name.endswith("-kept") else None
        sides[name] = Side(PREPARE[name], (recipe, choices.cores), environment, choices.cores)
    return alternate(sides, choices.rounds)


def latencies(recipe: str, calls: int, side: int) -> list[float]:
    """Milliseconds of single calls of ``inspect``, after a first one."""
    detector = detector_of(recipe, side, 3)
    images = [texture(100 + k, side, 3) for k in range(calls + 1)]
    detector.inspect(images[0])
    found = []
    for image in images[1:]:
        began = time.perf_counter()
        detector.inspect(image)
        found.append(1e3 * (time.perf_counter() - began))
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="*", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--latency", nargs="*", default=list(LATENCIES), choices=LATENCIES)
    parser.add_argument("--calls", type=int, default=60, help="single calls of inspect")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure and print both tables."""
    choices = parse()
    result: dict[str, Any] = {"machine": machine(), "recipes": {}, "latency_ms": {}}
    rows = []
    for recipe in choices.recipes:
        print(recipe, file=sys.stderr)
        found = measure(recipe, choices)
        speeds = [f"{1 / times(rounds)['wall']['median']:.0f}" for rounds in found.values()]
        rows.append([recipe, *speeds, *ratio_cells(found)])
        result["recipes"][recipe] = record(found)
    print(result["machine"])
    heads = ["recipe", *(f"{name}, images/s" for name in choices.sides)]
    print(table(heads + ratio_heads(choices.sides), rows) + "\n")
    for recipe in choices.latency:
        result["latency_ms"][recipe] = in_a_process(latencies, recipe, choices.calls, 256)
    slow = [
        [name, *(f"{np.quantile(found, share):.1f}" for share in (0.5, 0.9, 0))]
        for name, found in result["latency_ms"].items()
    ]
    print(table(["inspect, 256 x 256 x 3", "median ms", "90 % within ms", "fastest ms"], slow))
    write(choices.json, result)


if __name__ == "__main__":
    main()
