"""Seconds and peak memory of all pixel metrics together.

    python benchmarks/metrics.py --images 100 --size 1024

The maps (100 of 1024 x 1024 float32 are 400 MB) and masks (100 MB) are made before the clock
starts; the peak includes them.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from napari_anomaly.core.metrics import pixel_confusion, pixel_curve, pixel_scores


def make_set(images: int, size: int, share: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Noise with a raised square of `share` of the pixels in three images of four."""
    rng = np.random.default_rng(0)
    side = int(size * share**0.5)
    pairs = []
    for i in range(images):
        anomaly_map = rng.standard_normal((size, size), dtype=np.float32)
        gt_mask = np.zeros((size, size), dtype=bool)
        if i % 4:
            y, x = rng.integers(0, size - side + 1, 2)
            gt_mask[y : y + side, x : x + side] = True
            anomaly_map[gt_mask] += 2
        pairs.append((anomaly_map, gt_mask))
    return pairs


def peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def timed(name: str, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    print(f"{name:28}{seconds:8.2f} s   {result}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--share", type=float, default=0.03, help="defective share of an image")
    options = parser.parse_args()

    pairs = make_set(options.images, options.size, options.share)
    print(
        f"{options.images} maps of {options.size} x {options.size}; peak so far {peak_mb():.0f} MB"
    )
    curves = []
    total = timed(
        "rank all pixels",
        lambda: curves.append(pixel_curve(pixel_scores(*pair) for pair in pairs)),
    )
    curve = curves[0]
    total += timed("pixel AUROC", lambda: curve.auroc)
    total += timed("pixel AP", lambda: curve.average_precision)
    total += timed("AU-PRO .3", lambda: curve.aupro(0.3))
    total += timed("AU-PRO .05", lambda: curve.aupro(0.05))
    counts = [lambda pair=pair: pixel_confusion(*pair, 3.0) for pair in pairs]
    total += timed("F1 at a threshold", lambda: sum_of([count() for count in counts]).f1)
    print(f"{'all':28}{total:8.2f} s   peak {peak_mb():.0f} MB with maps and masks")


def sum_of(parts: list) -> object:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


if __name__ == "__main__":
    main()
