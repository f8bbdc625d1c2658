"""Images per second that get a planted defect, by kind and side, on one thread; and what looking at normals takes.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/synthesise.py --json synthesise.json

The images are of crossing waves in colour; sizes and contrasts as by default. Time is that of the process on its core
(CPU time), with all tries that were thrown away. "finding the object" is done once for each image, and only where
there is a background.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from textures import texture
from timing import machine, table, write

from napari_anomaly.core.data.defects.foreground import foreground_of
from napari_anomaly.core.data.defects.kinds import KINDS
from napari_anomaly.core.data.defects.planting import Planting, Stock, plant, stock_of
from napari_anomaly.core.preprocess import to_unit

SECONDS = 0.5  # of each number, at least


def rate(work: Callable[[int], object], least: float) -> float:
    """Return how often a second some work can be done."""
    work(0)
    start, count = time.process_time(), 0
    while time.process_time() - start < least or count < 3:
        count += 1
        work(count)
    return count / (time.process_time() - start)


def rates(side: int, least: float) -> dict[str, float]:
    """Measure every kind, all kinds mixed, and finding the object."""
    images = [to_unit(texture(seed, side, 3)) for seed in range(8)]
    stock = stock_of(images)

    def planter(planting: Planting, stock: Stock) -> Callable[[int], object]:
        return lambda k: plant(images[k % 8], np.random.default_rng(k), stock, planting)

    found = {kind: rate(planter(Planting(kinds=(kind,)), stock), least) for kind in KINDS}
    found["all kinds mixed"] = rate(planter(Planting(), stock), least)
    found["finding the object"] = rate(lambda k: foreground_of(images[k % 8]), least)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256, 512], help="pixels")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each number, at least")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    found = {side: rates(side, options.seconds) for side in options.sides}
    heads = ["images a second", *(f"{side} px" for side in found)]
    names = next(iter(found.values()))
    rows = [[name, *(f"{one[name]:.0f}" for one in found.values())] for name in names]
    print(table(heads, rows))
    write(options.json, {"machine": machine(), "images_per_second": found})


if __name__ == "__main__":
    main()
