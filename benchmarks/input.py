"""The share of the training time in which the step waits for its images.

    python benchmarks/input.py FOLDER --json input.json

The folder holds images or the MVTec layout; without one, textures from seeds are written to a temporary folder. Once
with the images in memory, as they are while they fit, and once with none, so that every batch is read from the disk
again. Waiting is the time that asking for the next batch takes, from the first step that is done (compilation is over
then) to the last. Choosing which images come next is clocked apart: it is computed on the device too, and so waits for
the steps that the device is at work on.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textures import write_folder
from timing import in_a_process, machine, table, write

from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed


@dataclass(frozen=True)
class Wait:
    """When a batch was asked for, seconds until it was there, and seconds of choosing what comes after it."""

    asked: float
    images: float
    choosing: float


def _clocked(batches: Iterable[Any], seconds: list[float]) -> Generator[Any, None, None]:
    """Pass on what is chosen, and add up how long choosing takes."""
    source = iter(batches)
    while True:
        began = time.perf_counter()
        chosen = next(source, None)
        seconds[0] += time.perf_counter() - began
        if chosen is None:
            return
        yield chosen


def measured(folder: str, recipe: str, steps: int, cached: bool) -> dict[str, Any]:
    """Fit for some steps, and listen where the training loop asks for images."""
    from napari_anomaly.core import fitting
    from napari_anomaly.core.stack import Stack

    if not cached:
        fitting.cache_bound = lambda: 0
    waits: list[Wait] = []
    read_ahead = Stack.batches

    def listened(self: Stack, batches: Iterable[Any]) -> Generator[Any, None, None]:
        choosing = [0.0]
        with closing(read_ahead(self, _clocked(batches, choosing))) as source:
            while True:
                asked, choosing[0] = time.perf_counter(), 0.0
                batch = next(source, None)
                waits.append(Wait(asked, time.perf_counter() - asked - choosing[0], choosing[0]))
                if batch is None:
                    return
                yield batch

    Stack.batches = listened  # type: ignore[method-assign]
    chosen = changed(RECIPES[recipe], {"duration": steps, "unit": "steps"})
    began = time.perf_counter()
    told = [
        (time.perf_counter(), progress) for progress in fitting.fit_steps(folder, chosen, seed=0)
    ]
    return summary(told, waits, began)


def summary(told: list[Any], waits: list[Wait], began: float) -> dict[str, Any]:
    """Seconds of reading and training, and of waiting within the latter."""
    reading = [when for when, progress in told if progress.stage == "reading"]
    training = [(when, progress.step) for when, progress in told if progress.stage == "training"]
    (first, done), (last, steps) = training[0], training[-1]
    within = [wait for wait in waits if first <= wait.asked < last]
    waited = sum(wait.images for wait in within)
    return {
        "images": len(reading),
        "reading_seconds": reading[-1] - began,
        "training_seconds": last - first,
        "steps": steps - done,
        "asked": len(within),
        "waiting_seconds": waited,
        "choosing_seconds": sum(wait.choosing for wait in within),
        "share": waited / (last - first),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["autoencoder", "autoencoder-weld"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--images", type=int, default=400, help="how many textures to write")
    parser.add_argument("--side", type=int, default=512, help="their side in pixels")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def row(recipe: str, kept: str, one: dict[str, Any]) -> list[str]:
    speed = one["images"] / one["reading_seconds"]
    return [
        recipe,
        kept,
        str(one["images"]),
        f"{speed:.0f}",
        str(one["steps"]),
        f"{one['training_seconds']:.1f}",
        f"{one['choosing_seconds']:.3f}",
        f"{one['waiting_seconds']:.3f}",
        f"{one['share']:.1%}",
    ]


def main() -> None:
    """Measure each recipe with the images in memory and on the disk."""
    choices = parse()
    result: dict[str, Any] = {"machine": machine(), "recipes": {}}
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = choices.folder or write_folder(Path(place) / "set", choices.images, choices.side)
        for recipe in choices.recipes:
            print(recipe, file=sys.stderr)
            for kept in ("memory", "disk"):
                one = in_a_process(measured, str(folder), recipe, choices.steps, kept == "memory")
                result["recipes"].setdefault(recipe, {})[kept] = one
                rows.append(row(recipe, kept, one))
    print(result["machine"])
    heads = ["recipe", "images in", "images", "read/s", "steps"]
    heads += ["training, s", "choosing, s", "waiting, s", "share waiting"]
    print(table(heads, rows))
    write(choices.json, result)


if __name__ == "__main__":
    main()
