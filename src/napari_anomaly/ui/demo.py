"""The demo's results in a window: the materials side by side, on one slider."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_anomaly.core.demo import Shown
from napari_anomaly.core.progress import watched
from napari_anomaly.ui.inspecting import inspect_folder, show_stack
from napari_anomaly.ui.launch import open_napari

if TYPE_CHECKING:
    import napari.viewer

_APART = 1.1  # widths


def show(shown: Mapping[str, Shown], *, block: bool = True) -> "napari.viewer.Viewer":
    """Open napari with what the demo made, and the last material's detector in the widgets.

    Parameters
    ----------
    shown : mapping of str to Shown
        What :func:`napari_anomaly.core.demo.demonstrate` returned.
    block : bool
        Return only when the window is closed.

    Raises
    ------
    WindowError
        See `open_napari`.
    """
    *_, last = shown.values()
    viewer = open_napari(detector=last.detector, block=False)
    right = 0.0
    for material, one in shown.items():
        found = watched(inspect_folder(one.detector, one.data, reconstruction=False))
        for layer in show_stack(viewer, found, material):
            layer.translate = (*layer.translate[:-1], right)
        right += _APART * max(image.shape[1] for image in found.images)
    viewer.dims.set_point(0, 0)  # a defect; good images come later
    viewer.reset_view()
    if block:
        viewer.show(block=True)
    return viewer
