"""How long the window is deaf while it trains: gaps of the event loop, with the live plot and the live layer.

Run with a screen, or `xvfb-run -a python benchmarks/responsiveness.py`; nothing else should run.
"""

import argparse
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import platformdirs
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.widgets.live import RECONSTRUCTIONS
from napari_anomaly.ui.widgets.train import TrainWidget

TICK = 5  # milliseconds


class Gaps:
    """Time between the ticks of a timer, by what runs."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {"starting": [], "training": [], "calibrating": []}
        self.stage, self._last = "starting", time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(TICK)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def progressed(self, now: Progress) -> None:
        """Follow the work."""
        if now.stage in self.of:
            self.stage = now.stage

    def _tick(self) -> None:
        now = time.perf_counter()
        self.of[self.stage].append(1000 * (now - self._last))
        self._last = now


def normals(count: int, side: int) -> np.ndarray:
    """Noisy waves ``(n, y, x)``."""
    y, x = np.indices((side, side))
    waves = 120 + 60 * np.sin(y * 0.3) * np.sin(x * 0.3)
    noise = np.random.default_rng(0).normal(0, 8, (count, side, side))
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


def trained(images: np.ndarray, seconds: float, *, looked_at: bool, apart: bool) -> Gaps:
    """Train in a window and return its gaps."""
    viewer = napari.Viewer()
    layer = viewer.add_image(images, name="normals")
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.reset_choices()
    widget.source.choose(layer)
    widget.method.value = "autoencoder"
    widget.data.budget.value = seconds
    widget.live.watch.setChecked(looked_at)
    widget.apart.setChecked(apart)
    gaps = Gaps()
    show = widget.live.progressed

    def progressed(now: Progress) -> None:
        gaps.progressed(now)
        show(now)

    widget.live.progressed = progressed  # type: ignore[method-assign]
    widget.panel.toggled.connect(lambda running: None if running else _quit(viewer))
    widget.panel.press()
    napari.run()
    return gaps


def _quit(viewer: napari.Viewer) -> None:
    print("reconstructions shown:", RECONSTRUCTIONS in viewer.layers)
    app = QApplication.instance()
    assert app is not None
    QTimer.singleShot(500, app.quit)


def main() -> None:
    """Print median, 99th percentile and maximum of the gaps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--no-pictures", action="store_true")
    parser.add_argument("--own-process", action="store_true", help="train in a process of its own")
    choices = parser.parse_args()
    folder = Path(tempfile.mkdtemp())  # no state of an earlier run to go on from
    platformdirs.user_cache_path = lambda name: folder / name  # type: ignore[assignment]
    images = normals(choices.images, choices.side)
    gaps = trained(
        images, choices.seconds, looked_at=not choices.no_pictures, apart=choices.own_process
    )
    for stage, of in gaps.of.items():
        if of:
            p50, p99 = np.percentile(of, [50, 99])
            print(
                f"{stage}: {len(of)} gaps, median {p50:.1f} ms, p99 {p99:.1f} ms, max {max(of):.1f} ms"
            )


if __name__ == "__main__":
    main()
