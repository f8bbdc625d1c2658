"""Is the weld there? Cross-validated accuracy of a presence check beside its accuracy on fresh drawn welds.

    python benchmarks/presence.py --each 3 5 10 20 --models svm cnn --repeats 3

Draws synthetic welded plates with and without a gap in the seam, fits, and checks 100 + 100 others. The interval is
right if the fresh accuracy lies inside for about 19 of 20 lines. No picture of one line is in another.
"""

import argparse
import time

import numpy as np

import napari_anomaly as na
from napari_anomaly.core.data.synthetic import plate, with_defect
from napari_anomaly.core.progress import finished

SHAPE = (128, 128)
SEAM = (44, 0, 84, 128)
FRESH = 100


def welds(n: int, first: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw plates with a whole seam and plates with a gap, from seeds of their own."""
    gap = [with_defect("plate", "missing_seam", first + n + k, SHAPE).image for k in range(n)]
    return [plate(first + k, SHAPE) for k in range(n)], gap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, nargs="+", default=[3, 5, 10, 20], help="of each class")
    parser.add_argument("--models", nargs="+", default=["svm", "cnn"])
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    fresh = welds(FRESH, 900_000)
    print("model each | cross-validated (95 % interval) | fresh  inside | seconds")
    for model in chosen.models:
        for each in chosen.each:
            for repeat in range(chosen.repeats):
                began = time.monotonic()
                drawn = welds(each, 100_000 + 1000 * each + 100 * repeat)
                check = finished(
                    na.fit_presence_steps(*drawn, region=SEAM, model=model, seed=repeat)
                )
                seconds = time.monotonic() - began
                right = [
                    check.check(image).present == truth
                    for images, truth in zip(fresh, (True, False), strict=True)
                    for image in images
                ]
                found, share = check.accuracy, float(np.mean(right))
                inside = "yes" if found.low <= share <= found.high else "no"
                interval = f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
                print(
                    f"{model:<5} {each:>4} | {interval} | {share:.3f} {inside:<3} | {seconds:.1f}"
                )


if __name__ == "__main__":
    main()
