"""Make the pictures of the documentation from the sample data, in a real napari window.

Run with a screen, or with a virtual one::

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/make_screenshots.py
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_anomaly.ui.widgets.inspect import InspectWidget
from napari_anomaly.ui.widgets.train import TrainWidget

PLUGIN = "napari-anomaly"
SECONDS = 120


def wait(until: Callable[[], bool] = lambda: False, seconds: float = SECONDS) -> None:
    """Let the window work until something is true."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def picture(viewer: napari.Viewer, path: Path) -> None:
    """Save the window, with few colours so that the file is small."""
    wait(seconds=1.0)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    Image.open(path).convert("RGB").quantize(192).save(path, optimize=True)


def open_sample(viewer: napari.Viewer, folder: Path) -> None:
    """Open the woven fabric, on an image with a defect."""
    viewer.open_sample(PLUGIN, "fabric")
    kinds = viewer.layers["woven fabric test"].metadata["defect"]
    viewer.dims.set_point(0, kinds.index(next(kind for kind in kinds if kind != "good")))
    picture(viewer, folder / "sample.png")


def train(viewer: napari.Viewer, folder: Path) -> None:
    """Show the knobs, then a training and what it gave."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    assert isinstance(widget, TrainWidget)
    widget.source.choose(viewer.layers["woven fabric normal"])
    widget.settings.setChecked(True)
    picture(viewer, folder / "knobs.png")
    widget.settings.setChecked(False)
    widget.panel.press()
    wait(lambda: not widget.panel.running)
    picture(viewer, folder / "trained.png")


def inspect(viewer: napari.Viewer, folder: Path) -> None:
    """Inspect the test images and look at the strangest."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Inspect", tabify=True)
    assert isinstance(widget, InspectWidget)
    widget.source.choose(viewer.layers["woven fabric test"])
    widget.panel.press()
    wait(lambda: not widget.panel.running)
    widget.go_to(0)
    picture(viewer, folder / "inspected.png")


def main() -> None:
    """Make them all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("images")
    folder.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 800)
    open_sample(viewer, folder)
    train(viewer, folder)
    inspect(viewer, folder)
    viewer.close()


if __name__ == "__main__":
    main()
