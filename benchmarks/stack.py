"""Time to the first map of a stack, and to the last: image by image as Inspect shows it, and all at once.

``xvfb-run -a python benchmarks/stack.py``: 100 images of 512 x 512 pixels, a ``linear`` detector, the page's worker.
"""

import time
from argparse import ArgumentParser

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

import napari_anomaly as na
from napari_anomaly.core.progress import finished
from napari_anomaly.ui.inspecting import inspect_images
from napari_anomaly.ui.layers import add_to_viewer, slices
from napari_anomaly.ui.widgets.inspect import InspectWidget


def stack_of(count: int, side: int) -> np.ndarray:
    """Draw a wavy texture with noise, another for each image."""
    rng = np.random.default_rng(0)
    y, x = np.indices((side, side))
    wave = 120 + 60 * np.sin(y * 0.2) * np.sin(x * 0.2)
    return np.stack([np.uint8(wave + rng.normal(0, 4, wave.shape)) for _ in range(count)])


def streamed(widget: InspectWidget, viewer: ViewerModel) -> tuple[float, float]:
    """Press Inspect; return the seconds to the first map and to the end."""
    before, first, began = len(viewer.layers), 0.0, time.perf_counter()
    widget.panel.press()
    while widget.panel.running:
        QApplication.processEvents()
        first = first or (len(viewer.layers) > before) * (time.perf_counter() - began)
        time.sleep(0.001)
    return first, time.perf_counter() - began


def at_once(detector: na.Detector, viewer: ViewerModel) -> float:
    """Inspect all, then show all; return the seconds."""
    layer, began = viewer.layers["stack"], time.perf_counter()
    images = slices(layer)
    found = finished(inspect_images(detector, images, [str(k) for k in range(len(images))]))
    add_to_viewer(viewer, list(found.results), source=layer)
    return time.perf_counter() - began


def main() -> None:
    """Print the seconds of each way."""
    arguments = ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=100)
    arguments.add_argument("--side", type=int, default=512)
    given = arguments.parse_args()
    _application = QApplication([])
    stack = stack_of(given.images, given.side)
    detector = na.fit(list(stack[:20]), "linear")
    viewer = ViewerModel()
    layer = viewer.add_image(stack, name="stack")
    widget = InspectWidget(viewer)
    widget.session.detector = detector
    widget.reset_choices()
    widget.source.choose(layer)
    for run in ("cold", "warm"):
        first, last = streamed(widget, viewer)
        print(f"{run}: first map {first:.2f} s, all {last:.1f} s")
    print(f"all at once: {at_once(detector, viewer):.1f} s")


if __name__ == "__main__":
    main()
