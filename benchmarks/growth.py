"""How time and memory grow: fitting with the number of images, inspecting with the number of pixels.

    python benchmarks/growth.py --json growth.json --picture docs/images/growth.png

Every point is of a fresh process. Images are textures of 256 x 256 grey pixels in uncompressed TIFF files, made before
the clock starts. ``linear`` is timed from the folder to the detector, as it comes (images stay in memory up to a bound)
and with no image held. Of ``autoencoder`` the time of an epoch is measured, from the first call of training that is
done to the last. The peak of memory is of the whole process. The slope printed is that of the logarithms over the three
largest points: 1 is linear.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from textures import part_of, texture, write_folder
from timing import in_a_process, machine, peak_mb, table, write

from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed

STYLES = {  # colour and marker; readable on white: the picture has its own ground
    "linear": ("#3b7dd8", "o"),
    "linear, none held": ("#5b9a4b", "^"),
    "autoencoder": ("#d1682b", "s"),
}
_EPOCHS = 3


def fit_linear(folder: str, held: bool) -> dict[str, float]:
    """Seconds from a folder to a detector."""
    from napari_anomaly.core import fitting

    if not held:
        fitting.cache_bound = lambda: 0
    began = time.perf_counter()
    for _ in fitting.fit_steps(folder, "linear"):
        pass
    return {"seconds": time.perf_counter() - began, "peak_mb": peak_mb()}


def fit_autoencoder(folder: str) -> dict[str, float]:
    """Seconds of an epoch."""
    from napari_anomaly.core.fitting import fit_steps

    recipe = changed(RECIPES["autoencoder"], {"duration": _EPOCHS, "unit": "epochs"})
    told = [
        (time.perf_counter(), progress.step, progress.total)
        for progress in fit_steps(folder, recipe)
        if progress.stage == "training"
    ]
    (first, before, _), (last, steps, total) = told[0], told[-1]
    return {
        "seconds": (last - first) / (steps - before) * total / _EPOCHS,
        "peak_mb": peak_mb(),
    }


def inspect(recipe: str, side: int) -> dict[str, float]:
    """Seconds of inspecting an image on a grid of its own size."""
    import napari_anomaly as na

    chosen: Any = RECIPES[recipe]
    if recipe != "linear":
        steps = {"duration": 2, "unit": "steps", "batch": 2, "size": (side, side)}
        chosen = changed(chosen, steps)
    detector = na.fit([texture(k, side) for k in range(6)], chosen)
    image = texture(100, side)
    detector.inspect(image)
    found = []
    for _ in range(9):
        began = time.perf_counter()
        detector.inspect(image)
        found.append(time.perf_counter() - began)
    return {"seconds": median(found), "peak_mb": peak_mb()}


def slope(points: dict[int, dict[str, float]], key: str = "seconds") -> float:
    """Slope of the logarithms over the three largest points."""
    sizes = sorted(points)[-3:]
    if len(sizes) < 2:
        return float("nan")
    values = [points[size][key] for size in sizes]
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def growing(choices: argparse.Namespace) -> dict[str, dict[str, dict[int, dict[str, float]]]]:
    """All points: of fits by number of images, of inspections by number of pixels."""
    fits: dict[str, dict[int, dict[str, float]]] = {name: {} for name in STYLES}
    inspections: dict[str, dict[int, dict[str, float]]] = {"linear": {}, "autoencoder": {}}
    with tempfile.TemporaryDirectory() as place:
        most = max(choices.linear + choices.autoencoder)
        folder = write_folder(Path(place) / "set", most, 256)
        parts = {n: part_of(folder, n) for n in {*choices.linear, *choices.autoencoder}}
        for n in choices.linear:
            print(f"linear, {n} images", file=sys.stderr)
            fits["linear"][n] = in_a_process(fit_linear, str(parts[n]), True)
            fits["linear, none held"][n] = in_a_process(fit_linear, str(parts[n]), False)
        for n in choices.autoencoder:
            print(f"autoencoder, {n} images", file=sys.stderr)
            fits["autoencoder"][n] = in_a_process(fit_autoencoder, str(parts[n]))
    for recipe, found in inspections.items():
        for side in choices.sides:
            print(f"{recipe}, {side} pixels", file=sys.stderr)
            found[side**2] = in_a_process(inspect, recipe, side)
    return {"fit": fits, "inspect": inspections}


PANELS = (  # what, of what, unit's name, number, and what it is drawn over
    ("fit", "seconds", "time of a fit (linear), of an epoch (autoencoder), s", "images"),
    ("fit", "peak_mb", "peak of memory of the whole process, MB", "images"),
    ("inspect", "seconds", "time to inspect one image, s", "pixels of the image"),
)


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw the three panels, double logarithmic, each with the slope of linear growth."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained", facecolor="white")
    for axis, (what, key, label, over) in zip(axes, PANELS, strict=True):
        for name, points in found[what].items():
            sizes = sorted(points)
            values = [points[size][key] for size in sizes]
            colour, marker = STYLES[name]
            axis.loglog(sizes, values, marker, ls="-", color=colour, label=name)
            if key == "seconds":
                straight = [values[-1] * size / sizes[-1] for size in sizes]
                axis.loglog(sizes, straight, ls=":", color=colour)
        axis.set(xlabel=over, ylabel=label)
        axis.grid(alpha=0.3, which="both", linewidth=0.5)
    axes[1].set_ylim(100, 10_000)
    axes[0].plot([], [], ":", color="grey", label="linear growth")
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def rows_of(found: dict[str, Any]) -> list[list[str]]:
    """One row for each curve: its ends, and its slope."""
    rows = []
    for what, key, _, over in PANELS:
        for name, points in found[what].items():
            first, last = min(points), max(points)
            ends = [f"{points[size][key]:.3g}" for size in (first, last)]
            rows.append(
                [
                    f"{what}, {name}",
                    key,
                    f"{first} to {last} {over}",
                    *ends,
                    f"{slope(points, key):.2f}",
                ]
            )
    return rows


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linear", nargs="+", type=int, default=[50, 100, 200, 400, 800, 1600])
    parser.add_argument("--autoencoder", nargs="+", type=int, default=[50, 100, 200, 400, 800])
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 128, 256, 512, 1024])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, draw."""
    choices = parse()
    about = machine()
    found = growing(choices)
    print(about)
    print(table(["curve", "value", "over", "first", "last", "slope at the end"], rows_of(found)))
    write(choices.json, {"machine": about, **found})
    if choices.picture is not None:
        draw(found, choices.picture)


if __name__ == "__main__":
    main()
