"""Chosen images and their present reconstructions, as a picture, while a training runs."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from napari_anomaly.core.errors import ImageError
from napari_anomaly.core.types import Progress, Running

T = TypeVar("T")

COUNT = 4
"""Images in a picture."""

_LEAST = 1.0  # seconds between two pictures
_SHARE = 100  # a picture's time, taken this often, passes until the next: a hundredth of training


def pictured(
    steps: Generator[Progress, None, T],
    images: Callable[[], Sequence[Any]],
    wanted: Callable[[], bool],
) -> Generator[Progress, None, T]:
    """Pass the steps on; now and then, if wanted, one carries a picture of the images as they are rebuilt by now.

    Parameters
    ----------
    steps : generator of Progress
    images : callable
        Gives the images; called once, for the first picture.
    wanted : callable
        Whether somebody looks.
    """
    due, chosen = 0.0, None
    with closing(steps):
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            if _can_show(now) and wanted() and time.monotonic() >= due:
                assert now.running is not None
                first, chosen = chosen is None, images() if chosen is None else chosen
                picture, took = _taken(now.running, chosen)
                # the first one compiles what calibrating needs anyway
                due = time.monotonic() + max(_LEAST, 0 if first else _SHARE * took)
                now = replace(now, picture=picture)
            yield now


def _can_show(now: Progress) -> bool:
    return now.picture is None and now.running is not None and now.running.rebuild is not None


def _taken(running: Running, images: Sequence[Any]) -> tuple[np.ndarray | None, float]:
    """The picture, None if no image can be used, and the seconds it took, without those of waiting for the device."""
    assert running.rebuild is not None
    pairs, times = [], []
    for image in images:
        began = time.monotonic()
        try:
            pairs.append(running.rebuild(np.asarray(image)))
        except ImageError:
            continue
        times.append(time.monotonic() - began)
    others = times[1:] or times  # the first waits for the steps under way
    took = sum(others) * len(times) / max(1, len(others))
    return (side_by_side(pairs) if pairs else None), took


def side_by_side(pairs: Sequence[np.ndarray]) -> np.ndarray:
    """Lay out pairs ``(2, y, x, c)``: images in the upper row, what is made of each under it."""
    fit = [pair for pair in pairs if pair.shape == pairs[0].shape]
    return np.concatenate([np.concatenate(list(pair)) for pair in fit], axis=1)
