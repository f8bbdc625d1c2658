"""Seconds from the start of a process to the first map of a saved detector, and what importing the package costs.

    python benchmarks/coldstart.py --json coldstart.json

Every number is of a fresh process; medians. ``cold``: nothing was ever compiled on this machine (empty cache folder);
``warm``: a process before it has left its compiled functions in the cache. The clock starts before the process does.
What napari pays for the plugin when it starts, reading its manifest, is measured where npe2 is installed.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from scoring import detector_of
from timing import in_a_process, machine, table, write

_IMPORT = """
import sys, time
began = time.perf_counter()
import napari_anomaly
print(time.perf_counter() - began, "jax" in sys.modules)
"""
_FIRST_MAP = """
import sys, time
import numpy as np
import napari_anomaly as na
began = time.time()
detector = na.load(sys.argv[1])
loaded = time.time()
result = detector.inspect(np.load(sys.argv[2]))
print(began, loaded, time.time())
"""
_DISCOVERY = """
import sys, time
from npe2 import PluginManager, PluginManifest
began = time.perf_counter()
PluginManager().discover()
everything = time.perf_counter() - began
began = time.perf_counter()
PluginManifest.from_distribution("napari-anomaly")
print(everything, time.perf_counter() - began, "jax" in sys.modules)
"""


def run(code: str, *arguments: str, cache: Path | None = None) -> list[str]:
    """Run code in a fresh process; return the words of its last line."""
    environment = dict(os.environ)
    if cache is not None:
        environment["XDG_CACHE_HOME"] = str(cache)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1].split()


def save(recipe: str, file: str, image: str) -> None:
    """Write a detector, and an image for it."""
    import numpy as np
    from textures import texture

    detector_of(recipe, 256, 3).save(file)
    np.save(image, texture(100, 256, 3))


def first_map(file: str, image: str, cache: Path) -> dict[str, float]:
    """Seconds from the start of a process until the package is there, the detector, and its first map."""
    began = time.time()
    imported, loaded, shown = (
        float(word) - began for word in run(_FIRST_MAP, file, image, cache=cache)
    )
    return {"imported": imported, "loaded": loaded, "map": shown}


def of_recipe(recipe: str, repeats: int) -> dict[str, Any]:
    """Starts with an empty cache, and with one that a start before has filled."""
    found: dict[str, Any] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        file, image = str(Path(folder) / "one.anomaly"), str(Path(folder) / "image.npy")
        in_a_process(save, recipe, file, image)
        for k in range(repeats):
            cache = Path(folder) / f"cache-{k}"
            found["cold"].append(first_map(file, image, cache))
            found["warm"].append(first_map(file, image, cache))
    return found


def middles(starts: list[dict[str, float]]) -> list[str]:
    return [f"{median(start[key] for start in starts):.2f}" for key in ("loaded", "map")]


def discovery() -> dict[str, float] | None:
    """Seconds for reading every plugin's manifest, and for ours alone."""
    if importlib.util.find_spec("npe2") is None:
        return None
    run(_DISCOVERY)
    found = [run(_DISCOVERY) for _ in range(5)]
    every, ours = (median(float(one[place]) for one in found) for place in (0, 1))
    return {"all_plugins": every, "ours": ours, "loads_jax": found[0][2] == "True"}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--recipes", nargs="*", default=["linear", "autoencoder", "autoencoder-weld", "vae"]
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    choices = parse()
    imports = [run(_IMPORT) for _ in range(2 * choices.repeats + 1)]
    result: dict[str, Any] = {
        "machine": machine(),
        "import_seconds": median(float(words[0]) for words in imports),
        "import_loads_jax": imports[0][1] == "True",
        "discovery": discovery(),
        "starts": {recipe: of_recipe(recipe, choices.repeats) for recipe in choices.recipes},
    }
    print(json.dumps(result["machine"]))
    print(f"import napari_anomaly: {1e3 * result['import_seconds']:.1f} ms")
    if (found := result["discovery"]) is not None:
        print(
            f"manifests: all plugins {1e3 * found['all_plugins']:.1f} ms, ours {1e3 * found['ours']:.1f} ms"
        )
    heads = [
        "recipe",
        "cold: loaded, s",
        "cold: first map, s",
        "warm: loaded, s",
        "warm: first map, s",
    ]
    rows = [
        [recipe, *middles(starts["cold"]), *middles(starts["warm"])]
        for recipe, starts in result["starts"].items()
    ]
    print(table(heads, rows))
    write(choices.json, result)


if __name__ == "__main__":
    main()
