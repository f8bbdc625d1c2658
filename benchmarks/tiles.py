"""Seconds and peak memory of scanning one large image from a file, and whether the planted blots were found.

    python benchmarks/tiles.py --size 20000 --methods linear autoencoder

The image is woven cloth in uint8: one drawn piece, mirrored side by side, with noise and round dark blots; detectors
are trained on pieces of the same cloth. Image and map lie in a temporary folder (5 bytes a pixel: 2 GB for 20,000 x
20,000). Each scan is a fresh process, so that its peak memory is its own: interpreter, JAX, detector and all.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FIELD = 256  # pixels of a training image
PIECE = 2048  # pixels of cloth that are drawn
BLOTS = 12
RADIUS = 8  # pixels of a blot


def cloth() -> np.ndarray:
    from napari_anomaly.core.data.weave import fabric

    return fabric(0, (PIECE, PIECE))


def noisy(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(0, 2, pixels.shape).astype(np.float32)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def centres(size: int) -> np.ndarray:
    """Places of the blots ``(k, 2)``, in the middle of cells so that none touch."""
    cells = size // (4 * RADIUS)
    chosen = np.random.default_rng(1).choice(cells**2, BLOTS, replace=False)
    return (np.stack(np.divmod(chosen, cells), 1) * 4 + 2) * RADIUS


def draw(path: Path, size: int) -> None:
    """Write the image in bands."""
    rng, piece = np.random.default_rng(2), cloth()
    both = np.concatenate([piece, piece[:, ::-1]], axis=1)
    row = np.tile(both, (1, -(-size // (2 * PIECE))))[:, :size]
    blots = centres(size)
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    disc = y**2 + x**2 <= RADIUS**2
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        for top in range(0, size, FIELD):
            place = np.arange(top, min(top + FIELD, size)) % (2 * PIECE)
            band = noisy(row[np.minimum(place, 2 * PIECE - 1 - place)], rng)
            for cy, cx in blots[(blots[:, 0] >= top) & (blots[:, 0] < top + FIELD)]:
                low = cy - top - RADIUS  # whole, inside the band: cells divide it
                spot = band[low : low + 2 * RADIUS + 1, cx - RADIUS : cx + RADIUS + 1]
                spot[disc] //= 2
            file.write(band.tobytes())


def fit(method: str, path: Path, budget: float) -> None:
    import napari_anomaly as na
    from napari_anomaly.core.methods.presets import RECIPES
    from napari_anomaly.core.methods.settings import changed

    rng, piece = np.random.default_rng(3), cloth()
    corners = rng.integers(0, PIECE - FIELD, (60, 2))
    images = [noisy(piece[y : y + FIELD, x : x + FIELD], rng) for y, x in corners]
    images = [one[:: rng.choice([1, -1]), :: rng.choice([1, -1])] for one in images]
    # a place in a large image is not the same place in a training image
    recipe = changed(RECIPES[method], {"standardise": "texture"})
    na.fit(images, recipe, budget=budget).save(path)


def scan(detector: Path, image: Path, tile: int) -> dict:
    import napari_anomaly as na

    loaded = na.load(detector)
    start = time.perf_counter()
    result = na.scan(loaded, image, out=image.with_name("map.npy"), tile=tile)
    seconds = time.perf_counter() - start
    size = result.anomaly_map.shape[0]
    found = [
        any(r.bbox[0] <= y < r.bbox[2] and r.bbox[1] <= x < r.bbox[3] for r in result.regions)
        for y, x in centres(size)
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "peak": peak / (1e6 if sys.platform == "darwin" else 1e3),
        "found": sum(found),
        "regions": len(result.regions),
        "failed": int((result.verdicts == "fail").sum()),
        "fields": result.scores.size,
    }


def in_a_process(call: str) -> dict | None:
    """Call a function of this file in a fresh process and return what it returns."""
    code = f"import json, tiles; from pathlib import Path; print(json.dumps(tiles.{call}))"
    here = Path(__file__).parent
    run = subprocess.run([sys.executable, "-c", code], cwd=here, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4000, help="side of the image in pixels")
    parser.add_argument("--methods", nargs="+", default=["linear", "autoencoder"])
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--budget", type=float, default=60, help="seconds of training")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        image = Path(name) / "image.npy"
        in_a_process(f"draw(Path({str(image)!r}), {options.size})")
        print(f"{options.size} x {options.size} pixels, uint8, tiles of {options.tile}\n")
        print("| method | s | Mpixel/s | peak MB | blots found | regions | fields failed |")
        print("|" + " --- |" * 7)
        for method in options.methods:
            detector = Path(name) / f"{method}.anomaly"
            in_a_process(f"fit({method!r}, Path({str(detector)!r}), {options.budget})")
            one = in_a_process(
                f"scan(Path({str(detector)!r}), Path({str(image)!r}), {options.tile})"
            )
            speed = options.size**2 / 1e6 / one["seconds"]
            print(
                f"| {method} | {one['seconds']:.1f} | {speed:.1f} | {one['peak']:.0f} | "
                f"{one['found']} of {BLOTS} | {one['regions']} | {one['failed']} of {one['fields']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
