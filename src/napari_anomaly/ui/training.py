"""Where a training runs: in napari's process, or in one of its own."""

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.devices import begin, leave_room

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector


def fit_here() -> "Callable[..., Generator[Progress, None, Detector]]":
    """Make napari's process ready to compute, and return what fits in it; in the thread, as it loads JAX."""
    begin()
    from napari_anomaly.core.fitting import fit_steps

    return fit_steps


def fit_apart() -> "Callable[..., Generator[Progress, None, Detector]]":
    """Return what fits in a process of its own, on the device that the preferences name."""
    from napari_anomaly.core.apart import fit_steps

    return partial(fit_steps, device=leave_room().device)
