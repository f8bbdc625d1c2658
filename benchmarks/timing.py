"""Rounds of work in alternating processes, and what to say of them. Not a script.

Each side has a process of its own: the thread pools of PyTorch and XLA would otherwise share one, and so would
settings of the memory allocator. One side works at a time, the others sleep; the order is reversed every other round,
so that a machine that slows down slows all. Ratios are taken within a round; their median is quoted.
"""

import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Work = Callable[[], float]
"""Does some work, to its end, and returns how much of it: images, say."""

KEPT = {  # glibc gives no memory back, so that no step begins with fetching its pages anew
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
}


@dataclass(frozen=True)
class Round:
    """Seconds per unit of work, by the clock and of all threads' computing."""

    wall: float
    cpu: float


class Side:
    """A process that prepares work, then does a round of it whenever told.

    Parameters
    ----------
    prepare : callable
        A module's function: arguments to :data:`Work`. Runs in the process.
    arguments : sequence
    environment : mapping, optional
        Environment variables of the process.
    cores : int, optional
        Cores it may use; all if not given.

    Attributes
    ----------
    first : Round
        The round that warmed it up, compilation included.
    """

    def __init__(
        self,
        prepare: Callable[..., Work],
        arguments: Sequence[Any],
        environment: Mapping[str, str] | None = None,
        cores: int | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        before = dict(os.environ)
        os.environ.update(environment or {})
        self.process = context.Process(target=_serve, args=(there, cores, prepare, arguments))
        self.process.start()
        there.close()
        os.environ.clear()
        os.environ.update(before)
        self.first: Round = self.pipe.recv()

    def round(self) -> Round:
        """Do a round."""
        self.pipe.send("go")
        return self.pipe.recv()

    def close(self) -> None:
        """End the process."""
        self.pipe.send(None)
        self.process.join()


def _serve(pipe: Any, cores: int | None, prepare: Callable[..., Work], arguments: Any) -> None:
    if cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    work = prepare(*arguments)
    pipe.send(timed(work))
    while pipe.recv() is not None:
        pipe.send(timed(work))


def timed(work: Work) -> Round:
    """Do some work and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return Round((time.perf_counter() - wall) / done, (time.process_time() - cpu) / done)


def alternate(sides: Mapping[str, Side], rounds: int) -> dict[str, list[Round]]:
    """Let the sides work in turn."""
    found: dict[str, list[Round]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            found[name].append(sides[name].round())
    for side in sides.values():
        side.close()
    return found


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a module's function in a fresh process, which gives back its memory, and the card's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def peak_mb() -> float:
    """Most memory that this process ever held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def middle(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    if len(values) < 2:
        return {"median": values[0], "low": values[0], "high": values[0]}
    low, _, high = quantiles(values, n=4, method="inclusive")
    return {"median": median(values), "low": low, "high": high}


def times(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """Fastest round, median and quartiles by both clocks, in seconds per unit of work."""
    clocks = {"wall": [r.wall for r in rounds], "cpu": [r.cpu for r in rounds]}
    return {name: {"fastest": min(values), **middle(values)} for name, values in clocks.items()}


def speed_ratio(ours: Sequence[Round], theirs: Sequence[Round]) -> dict[str, dict[str, float]]:
    """How many times faster we are, by both clocks: median and quartiles over rounds, and of the fastest rounds."""
    mine, other = times(ours), times(theirs)
    pairs = list(zip(ours, theirs, strict=True))
    ratios = {"wall": [b.wall / a.wall for a, b in pairs], "cpu": [b.cpu / a.cpu for a, b in pairs]}
    return {
        clock: {"fastest": other[clock]["fastest"] / mine[clock]["fastest"], **middle(values)}
        for clock, values in ratios.items()
    }


def ratio_heads(names: Sequence[str]) -> list[str]:
    """Name the columns of :func:`ratio_cells`."""
    others = [name for name in names if name != "ours" and "ours" in names]
    return [head for name in others for head in (f"ours / {name}", "fastest rounds", "CPU time")]


def ratio_cells(found: Mapping[str, Sequence[Round]]) -> list[str]:
    """Show how many times faster ours is than each other side: by the clock with quartiles, fastest, by CPU time."""
    cells = []
    for name, rounds in found.items():
        if name != "ours" and "ours" in found:
            ratio = speed_ratio(found["ours"], rounds)
            wall = ratio["wall"]
            cells.append(f"{wall['median']:.2f} ({wall['low']:.2f}-{wall['high']:.2f})")
            cells += [f"{wall['fastest']:.2f}", f"{ratio['cpu']['median']:.2f}"]
    return cells


def record(found: Mapping[str, Sequence[Round]]) -> dict[str, Any]:
    """Put the numbers of all sides in order, for JSON."""
    others = [name for name in found if name != "ours" and "ours" in found]
    return {
        "seconds_per_image": {name: times(rounds) for name, rounds in found.items()},
        "ratio": {name: speed_ratio(found["ours"], found[name]) for name in others},
    }


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cores": usable,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_at_start": load,
    }


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def write(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write the numbers as JSON where wanted."""
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n")
