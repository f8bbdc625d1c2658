"""Long work with its progress on standard error: a bar on a screen, now and then a line in a log."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from napari_anomaly.core.types import Progress

Result = TypeVar("Result")

_LINE_EVERY = 10.0  # seconds, in a log


def watched(
    steps: Generator[Progress, None, Result],
    console: Console | None = None,
) -> Result:
    """Run a generator to its end and return what it returns, showing each step.

    Parameters
    ----------
    steps : generator of Progress
        Closed when an exception, Ctrl-C say, ends the watching, so that it can leave its state.
    console : rich.console.Console, optional
        Standard error if not given.
    """
    console = Console(stderr=True) if console is None else console
    watch = _bar if console.is_terminal else _log
    with watch(console) as show:
        return finished(steps, show)


def finished(
    steps: Generator[Progress, None, Result], seen: Callable[[Progress], object] | None = None
) -> Result:
    """Run a generator to its end and return what it returns; closed when an exception ends it."""
    with closing(steps):
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                result: Result = end.value
                return result
            if seen is not None:
                seen(now)


def labelled(
    label: str, steps: Generator[Progress, None, Result]
) -> Generator[Progress, None, Result]:
    """Put a label before the stage of each step."""
    with closing(steps):
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield replace(now, stage=f"{label}: {now.stage}")


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """One stage's bar at a time, gone at the end."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task, stage = bar.add_task("starting", total=None, loss=""), "starting"

        def show(now: Progress) -> None:
            nonlocal task, stage
            if now.stage != stage:  # a task of its own, so that the time left is the stage's
                bar.update(task, visible=False)
                task, stage = bar.add_task(now.stage, loss=""), now.stage
            bar.update(task, total=now.total, completed=now.step, loss=_loss(now))

        yield show


@contextmanager
def _log(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A line where a stage begins or ends, and every few seconds in between."""
    stage, last = "", 0.0

    def show(now: Progress) -> None:
        nonlocal stage, last
        late = time.monotonic() - last > _LINE_EVERY
        if now.stage != stage or now.step >= now.total or late:
            stage, last = now.stage, time.monotonic()
            line = f"{now.stage} {now.step}/{now.total} {_loss(now)}".rstrip()
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    yield show


def _loss(now: Progress) -> str:
    return "" if now.loss is None else f"loss {now.loss:.4g}"
