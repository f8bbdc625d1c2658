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
from typing import Any

import napari
from PIL import Image
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_anomaly.ui.menus import open_workbench
from napari_anomaly.ui.widgets.inspect import InspectWidget
from napari_anomaly.ui.widgets.train import TrainWidget

PLUGIN = "napari-anomaly"
HERE = Path(__file__).parents[1]
FABRIC = "sample_data/fabric"
COLOURS = Image.Quantize.FASTOCTREE  # keeps those that few pixels have
PATIENCE = 900
"""Seconds: a machine may be slow and busy."""
STEPS = 60
"""Of a training that is shown on its way."""


def rest(seconds: float = 2.0) -> None:
    """Let the window work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # as a running window does
        time.sleep(0.01)


def wait(until: Callable[[], bool]) -> None:
    """Let the window work until something is true."""
    end = time.monotonic() + PATIENCE
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing came in {PATIENCE} s")
        rest(0.05)


def picture(viewer: napari.Viewer, path: Path, *, whole: bool = True) -> None:
    """Save the window, with few colours so that the file is small."""
    if whole:
        viewer.reset_view()
    rest()
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    Image.open(path).convert("RGB").quantize(256, COLOURS).save(path, optimize=True)


def page(viewer: napari.Viewer, name: str) -> tuple[QDockWidget, Any]:
    """Bring a page of the Workbench to the front."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    dock.raise_()
    return dock, widget


def open_sample(viewer: napari.Viewer, folder: Path) -> None:
    """Open the woven fabric, on an image with a defect."""
    viewer.open_sample(PLUGIN, "fabric")
    kinds = viewer.layers["woven fabric test"].metadata["defect"]
    viewer.dims.set_point(0, kinds.index("hole"))
    picture(viewer, folder / "sample.png")


def train(viewer: napari.Viewer, folder: Path) -> tuple[QDockWidget, TrainWidget]:
    """Show the knobs, then a training and what it gave."""
    dock, widget = page(viewer, "Train")
    viewer.layers["woven fabric ground truth"].visible = False
    widget.source.choose(viewer.layers["woven fabric normal"])
    widget.settings.setChecked(True)
    picture(viewer, folder / "knobs.png")
    widget.settings.setChecked(False)
    widget.panel.press()
    wait(lambda: not widget.panel.running)
    picture(viewer, folder / "trained.png")
    return dock, widget


def inspect(viewer: napari.Viewer, folder: Path) -> tuple[QDockWidget, InspectWidget]:
    """Inspect the test images and look at the strangest."""
    dock, widget = page(viewer, "Inspect")
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
    return dock, widget


def decide_and_correct(viewer: napari.Viewer, folder: Path) -> None:
    """Show the pages that go on from what was inspected, each with the view at a defect."""
    page(viewer, "Threshold")
    picture(viewer, folder / "threshold.png")
    _, why = page(viewer, "Why?")
    why.step(1)
    wait(lambda: "searched" in why.panel.state.text())
    picture(viewer, folder / "why.png", whole=False)
    _, annotate = page(viewer, "Annotate")
    annotate.layer_box.setCurrentText("woven fabric test")
    viewer.layers["woven fabric ground truth"].visible = True
    annotate.accept_all([])
    picture(viewer, folder / "annotate.png")
    truth = page(viewer, "Compare")[1].truth
    wait(lambda: all(row[3] != "–" for row in truth.images.texts()))
    truth.show_button.setChecked(True)
    picture(viewer, folder / "compare.png")
    truth.show_button.setChecked(False)


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


def inspect_folder(
    viewer: napari.Viewer, dock: QDockWidget, widget: InspectWidget, folder: Path
) -> None:
    """Show the table of a folder in which a person has begun to decide."""
    viewer.layers.clear()
    dock.raise_()
    widget.source.box.setCurrentIndex(0)
    widget.source.folder_edit.line_edit.value = FABRIC
    widget.panel.press()
    wait(lambda: not widget.panel.running)
    for decision in ("defect", "defect", "good"):
        widget.table.next_undecided()
        widget.table.mark(decision)
    widget.table.next_undecided()
    viewer.layers.selection.active = viewer.layers["fabric"]
    picture(viewer, folder / "table.png")


def main() -> None:
    """Make them all."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "docs" / "images").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(HERE)  # pictures show a folder as it is called there
    viewer = napari.Viewer(show=True)
    for home in (
        "XDG_CACHE_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
    ):  # napari has its icons by now
        os.environ[home] = (
            tempfile.mkdtemp()
        )  # nothing is left in the user's own, nor goes on from it
    viewer.window.resize(1300, 900)
    open_sample(viewer, folder)
    open_workbench(viewer)
    page(viewer, "Train")[0].window().statusBar().hide()  # its texts overlap until a mouse moves
    train_dock, train_page = train(viewer, folder)
    inspect_dock, inspect_page = inspect(viewer, folder)
    decide_and_correct(viewer, folder)
    train_a_network(viewer, train_dock, train_page, folder)
    inspect_folder(viewer, inspect_dock, inspect_page, folder)
    viewer.close()


if __name__ == "__main__":
    main()
