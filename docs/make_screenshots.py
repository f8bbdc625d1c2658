"""Make the pictures of the documentation from the sample data, in a real napari window.

Run with a screen, or with a virtual one::

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/make_screenshots.py
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_anomaly.ui.widgets.inspect import InspectWidget
from napari_anomaly.ui.widgets.train import TrainWidget

PLUGIN = "napari-anomaly"
SECONDS = 120
STEPS = 60
"""Of a training that is shown on its way."""


def wait(until: Callable[[], bool] = lambda: False, seconds: float = SECONDS) -> None:
    """Let the window work until something is true."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def picture(viewer: napari.Viewer, path: Path) -> None:
    """Save the window, with few colours so that the file is small."""
    viewer.reset_view()
    wait(seconds=1.0)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    Image.open(path).convert("RGB").quantize(192).save(path, optimize=True)


def open_sample(viewer: napari.Viewer, folder: Path) -> None:
    """Open the woven fabric, on an image with a defect."""
    viewer.open_sample(PLUGIN, "fabric")
    kinds = viewer.layers["woven fabric test"].metadata["defect"]
    viewer.dims.set_point(0, kinds.index("hole"))
    picture(viewer, folder / "sample.png")


def train(viewer: napari.Viewer, folder: Path) -> tuple[QDockWidget, TrainWidget]:
    """Show the knobs, then a training and what it gave."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    assert isinstance(widget, TrainWidget)
    viewer.layers["woven fabric ground truth"].visible = False
    widget.source.choose(viewer.layers["woven fabric normal"])
    widget.settings.setChecked(True)
    picture(viewer, folder / "knobs.png")
    widget.settings.setChecked(False)
    widget.panel.press()
    wait(lambda: not widget.panel.running)
    picture(viewer, folder / "trained.png")
    return dock, widget


def inspect(viewer: napari.Viewer, folder: Path) -> None:
    """Inspect the test images and look at the strangest."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Inspect", tabify=True)
    assert isinstance(widget, InspectWidget)
    widget.source.choose(viewer.layers["woven fabric test"])
    widget.panel.press()
    wait(lambda: not widget.panel.running)
    assert widget.session.inspected is not None
    names = widget.session.inspected.names
    widget.open(next(number for number, name in enumerate(names) if "hole" in name))
    image = viewer.layers["woven fabric test"]
    above = (0, -1.05 * image.data.shape[1], 0)  # the same image without map and outline
    viewer.add_image(image.data, name="woven fabric alone", translate=above)
    picture(viewer, folder / "inspected.png")
    viewer.layers.remove("woven fabric alone")
    viewer.layers.selection.active = image


def decide_and_correct(viewer: napari.Viewer, folder: Path) -> None:
    """Show the pages that go on from what was inspected, each with the view at a defect."""
    for name in ("Threshold", "Why?", "Annotate", "Compare"):
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
        dock.raise_()
        wait(seconds=1.0)
        if name == "Why?":
            widget.step(1)
            wait(lambda why=widget: "searched" in why.panel.state.text())
        if name == "Annotate":
            widget.layer_box.setCurrentText("woven fabric test")
            widget.accept_all([])
        if name == "Compare":
            wait(seconds=2.0)
            widget.truth.show_button.setChecked(True)
        picture(viewer, folder / f"{name.strip('?').lower()}.png")
        if name == "Compare":
            widget.truth.show_button.setChecked(False)


def train_a_network(
    viewer: napari.Viewer, dock: QDockWidget, widget: TrainWidget, folder: Path
) -> None:
    """Show an autoencoder on its way."""
    dock.raise_()
    widget.method.value = "autoencoder"
    widget.panel.press()
    wait(lambda: "loss" in widget.panel.state.text() and widget.panel.bar.value() >= STEPS)
    picture(viewer, folder / "training.png")
    widget.panel.press()
    wait(lambda: widget.panel.state.text() != "cancelled")


def main() -> None:
    """Make them all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("images")
    folder.mkdir(parents=True, exist_ok=True)
    for home in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        os.environ[home] = tempfile.mkdtemp()  # nothing is left in the user's own
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 900)
    open_sample(viewer, folder)
    dock, widget = train(viewer, folder)
    inspect(viewer, folder)
    decide_and_correct(viewer, folder)
    train_a_network(viewer, dock, widget, folder)
    viewer.close()


if __name__ == "__main__":
    main()
