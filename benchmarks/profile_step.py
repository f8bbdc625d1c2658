"""What a training step spends its time on: milliseconds of an image by kind of operation, from JAX's own profiler.

    python benchmarks/profile_step.py autoencoder-mvtec

Times are summed over the devices, one for each core: divided by their number they are what the clock shows. Names are
XLA's: ``ynn_fusion`` and ``dot`` are convolutions and products, ``*_fusion`` loops over numbers, ``reduce_scatter`` and
``all_gather`` the exchange between devices, waiting included.
"""

import argparse
import gzip
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import jax
from timing import machine, table, write
from training import GRIDS, STEPS, prepare_ours

_FRAMES = ("Thunk", "Wait", "Python", "end: ", "Common", "Pjit", "Parse", "Device", "H2D", "$")
"""Names of events that hold others, or belong to the host."""


def spent(trace: Path) -> Mapping[str, float]:
    """Milliseconds by kind of operation, in all threads."""
    (file,) = trace.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    found: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X" and not event["name"].startswith(_FRAMES):
            found[re.sub(r"[.0-9]+$", "", event["name"])] += event["dur"] / 1e3
    return found


def main() -> None:
    """Profile one round of training and print what took most."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=list(GRIDS))
    parser.add_argument("--batch", type=int, help="images per step instead of the recipe's")
    parser.add_argument("--side", type=int, help="pixels instead of the recipe's, for a try")
    parser.add_argument("--most", type=int, default=16, help="rows")
    parser.add_argument("--json", type=Path)
    choices = parser.parse_args()
    steps = STEPS[choices.recipe] if choices.side is None else 64
    work = prepare_ours(choices.recipe, choices.batch, choices.side, steps, 0)
    work()
    work()  # as it goes on, without what the first round set up
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            images = work()
        found = spent(Path(folder))
    print(machine())
    total = sum(found.values())
    rows = [
        [name, f"{ms / images:.3f}", f"{ms / total:.0%}"]
        for name, ms in sorted(found.items(), key=lambda one: -one[1])[: choices.most]
    ]
    rows.append(["all", f"{total / images:.2f}", ""])
    print(table(["operation", "ms an image", "share"], rows))
    write(choices.json, {"machine": machine(), "ms": found, "images": images})


if __name__ == "__main__":
    main()
