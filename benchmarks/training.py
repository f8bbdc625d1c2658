"""Images per second of training on the CPU: this package against the same networks in PyTorch.

    python -m pip install --group bench
    python benchmarks/training.py --json training.json

Ours runs through the methods' own ``fit_steps``, as a user's fit does; theirs is ``torch_networks.py``, which the tests
hold equal to ours. Compilation and the first steps are not counted. Images are random (seed 0). Sides:

- ``ours``: as it comes. ``ours-kept``: with glibc told to keep its memory (``timing.KEPT``).
- ``torch``: eager, with the settings named in ``torch_networks.py``. ``torch-kept``: the same with glibc told to keep
  its memory. ``torch-compiled``: with ``torch.compile``.

A ratio above 1 means that ours is faster: of each round by the clock (median, quartiles), of the fastest rounds, by CPU
time. Batches are the recipe's own.
With ``--sides ours`` PyTorch is not needed.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from timing import (
    KEPT,
    Round,
    Side,
    Work,
    alternate,
    machine,
    ratio_cells,
    ratio_heads,
    record,
    table,
    times,
    write,
)

from napari_anomaly.core.methods.presets import RECIPES

GRIDS = {
    "autoencoder": (128, 128, 3),
    "autoencoder-mvtec": (256, 256, 3),
    "autoencoder-weld": (256, 256, 1),
    "vae": (128, 128, 3),
}
STEPS = {"autoencoder": 16, "autoencoder-mvtec": 1, "autoencoder-weld": 4, "vae": 16}
"""Of one round: whole calls of the training loop, which takes several small steps in one."""
SIDES = ("ours", "ours-kept", "torch", "torch-kept", "torch-compiled")
_FOR_EVER = 1_000_000  # steps


def knobs_of(recipe: str, batch: int | None) -> Any:
    """Return the method's knobs, with training that does not end."""
    method = RECIPES[recipe].method
    batch = batch or method.training.batch
    training = replace(method.training, batch=batch, duration=_FOR_EVER, unit="steps")
    return replace(method, training=training)


def images_of(recipe: str, batch: int, side: int | None) -> np.ndarray:
    """Return four batches of normalised images."""
    grid = GRIDS[recipe] if side is None else (side, side, GRIDS[recipe][2])
    return np.random.default_rng(0).standard_normal((4 * batch, *grid), dtype=np.float32)


def prepare_ours(recipe: str, batch: int | None, side: int | None, steps: int, cores: int) -> Work:
    """Rounds of steps through ``fit_steps``; what was begun is waited for, so that it counts."""
    import jax

    from napari_anomaly.core.nn.devices import set_up
    from napari_anomaly.core.stack import Stack

    set_up()  # as a fit does
    knobs = knobs_of(recipe, batch)
    images = images_of(recipe, knobs.training.batch, side)
    running = knobs.implementation().fit_steps(
        knobs, Stack.of(images), seed=0, budget=None, keeper=None
    )
    done = 0

    def work() -> float:
        nonlocal done
        before = done
        while done < before + steps:
            done = next(running).step
        jax.block_until_ready(jax.live_arrays())
        return (done - before) * knobs.training.batch

    return work


def prepare_torch(
    recipe: str, batch: int | None, side: int | None, steps: int, cores: int, compiled: bool
) -> Work:
    """Rounds of the same steps in PyTorch."""
    import torch
    from torch_networks import Steps, network_of, tensor_of

    torch.set_num_threads(cores)
    torch.set_flush_denormal(True)  # as XLA does
    torch.manual_seed(0)
    knobs = knobs_of(recipe, batch)
    images = images_of(recipe, knobs.training.batch, side)
    network = network_of(knobs, images.shape[1:])
    training = Steps(network, knobs.training, _FOR_EVER, mode="default" if compiled else None)
    tensor, rng = tensor_of(images), np.random.default_rng(0)

    def work() -> float:
        order = np.concatenate([rng.permutation(len(images)) for _ in range(-(-steps // 4))])
        order = order[: steps * knobs.training.batch].reshape(steps, -1)
        training.run(tensor, order)
        return order.size

    return work


def side_of(name: str, arguments: Sequence[Any], cores: int) -> Side:
    """Start the process of a side."""
    environment = KEPT if name.endswith("-kept") else None
    if name.startswith("ours"):
        return Side(prepare_ours, arguments, environment, cores)
    return Side(prepare_torch, [*arguments, name == "torch-compiled"], environment, cores)


def measure(recipe: str, choices: argparse.Namespace) -> dict[str, list[Round]]:
    """Let the sides take turns with one recipe."""
    steps = STEPS[recipe] if choices.side is None else 64
    arguments = (recipe, choices.batch, choices.side, steps, choices.cores)
    sides = {name: side_of(name, arguments, choices.cores) for name in choices.sides}
    return alternate(sides, choices.rounds)


def row(recipe: str, found: dict[str, list[Round]]) -> list[str]:
    """Images per second of each side by the clock, then ratios of ours to the others."""
    speeds = [f"{1 / times(rounds)['wall']['median']:.1f}" for rounds in found.values()]
    return [recipe, *speeds, *ratio_cells(found)]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument(
        "--sides", nargs="+", default=["ours", "torch", "torch-kept"], choices=SIDES
    )
    parser.add_argument("--batch", type=int, help="images per step instead of the recipe's")
    parser.add_argument("--side", type=int, help="pixels instead of the recipe's, for a try")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure every recipe and print the table."""
    choices = parse()
    result: dict[str, Any] = {"machine": machine(), "recipes": {}}
    heads = ["recipe", *(f"{name}, images/s" for name in choices.sides)]
    heads += ratio_heads(choices.sides)
    rows = []
    for recipe in choices.recipes:
        found = measure(recipe, choices)
        rows.append(row(recipe, found))
        print(*rows[-1], file=sys.stderr)
        result["recipes"][recipe] = record(found)
    print(result["machine"])
    print(table(heads, rows))
    write(choices.json, result)


if __name__ == "__main__":
    main()
