"""The losses of a training, few enough to draw, however long it is."""

from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

import numpy as np

from napari_anomaly.core.types import Progress

T = TypeVar("T")

_MOST = 1000  # points of a curve; at this many, neighbours become one


class Losses:
    """Curves of mean loss by step, one for each training; filled by one thread, drawn by another.

    Attributes
    ----------
    count : int
        Losses taken so far: whoever has drawn this many need not draw again.
    """

    def __init__(self) -> None:
        self.count = 0
        self._curves: dict[str, _Curve] = {}

    def add(self, now: Progress) -> None:
        """Take the loss of a step, if it has one."""
        if now.loss is not None and now.training:
            self._curves.setdefault(now.stage, _Curve()).add(now.step, now.loss)
            self.count += 1

    def watch(self, steps: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
        """Pass the steps on and take the loss of each."""
        with closing(steps):
            while True:
                try:
                    now = next(steps)
                except StopIteration as end:
                    value: T = end.value
                    return value
                self.add(now)
                yield now

    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Steps and losses of each training by its stage."""
        return {stage: curve.points() for stage, curve in dict(self._curves).items()}


class _Curve:
    """Means over equally many steps each, twice as many whenever there are too many means."""

    def __init__(self) -> None:
        self._each = 1
        self._means: list[tuple[float, float]] = []
        self._open: list[tuple[float, float]] = []

    def add(self, step: int, loss: float) -> None:
        self._open.append((step, loss))
        if len(self._open) < self._each:
            return
        self._means.append(_mean(self._open))
        self._open = []
        if len(self._means) == _MOST:
            pairs = zip(self._means[::2], self._means[1::2], strict=True)
            self._means = [_mean(list(pair)) for pair in pairs]
            self._each *= 2

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        steps, losses = np.array(self._means, float).reshape(-1, 2).T
        return steps, losses


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    steps, losses = zip(*points, strict=True)
    return sum(steps) / len(points), sum(losses) / len(points)
