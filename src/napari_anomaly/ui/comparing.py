"""What several detectors find in one layer, as layers beside each other. Knows layers, but no window."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.progress import labelled
from napari_anomaly.core.types import Inspection, Progress
from napari_anomaly.ui.devices import share
from napari_anomaly.ui.inspecting import inspect_images
from napari_anomaly.ui.layers import ABOUT, MADE, add_to_viewer, place_of
from napari_anomaly.ui.planes import CHANNELS

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_anomaly.core.detector import Detector

Results = Inspection | Sequence[Inspection]

PRESENT = "present detector"
"""Name of one that is in memory."""

CELL = 4
"""Layers of a method: the image, its reconstruction (hidden), the map, the regions."""


def add_comparison_to_viewer(
    viewer: "ViewerModel", found: Mapping[str, Results], *, source: "Image"
) -> "dict[str, list[Layer]]":
    """Show what several detectors found in one layer, a cell of the grid for each.

    The layers of a method are named after it and follow each other; the first method's lie on top, where napari's grid
    begins with a negative stride. The grid is switched on with it. Existing layers are never touched; visible ones take
    the grid's last cells.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    found : mapping
        Name of the method or detector to its inspection of the layer, or to those of the layer's slices.
    source : napari.layers.Image
        The inspected layer; its pixels are shared, not copied.

    Returns
    -------
    dict
        Name to its layers: image, reconstruction, anomaly map, anomaly regions.

    Raises
    ------
    DataError
        If nothing is given.
    """
    if not found:
        raise DataError("found no inspections to compare; expected one or more, each with a name")
    added = {
        name: _add_cell(viewer, name, results, source)
        for name, results in reversed(list(found.items()))
    }
    viewer.canvas.grid.stride = -CELL
    viewer.canvas.grid.enabled = True
    return {name: added[name] for name in found}


def inspect_with(
    detectors: "Sequence[Path | Detector]", images: Sequence[Any], names: Sequence[str]
) -> Generator[Progress, None, dict[str, list[Inspection]]]:
    """Inspect images with each of some detectors.

    Parameters
    ----------
    detectors : sequence of Path or Detector
        A file's is named after it, one in memory ``"present detector"``.
    images : sequence of array
        ``(y, x)`` or ``(y, x, c)``.
    names : sequence of str
        Of the images, for errors.

    Returns
    -------
    dict
        Name of the detector to its inspections, in the order of the images.
    """
    share()
    from napari_anomaly.core.compared import distinct
    from napari_anomaly.core.detector import load  # loads JAX, in the thread

    found: dict[str, list[Inspection]] = {}
    called = distinct(one.stem if isinstance(one, Path) else PRESENT for one in detectors)
    for name, one in zip(called, detectors, strict=True):
        yield Progress(f"{name}: loading", 0, 1)
        detector = load(one) if isinstance(one, Path) else one
        steps = labelled(name, inspect_images(detector, images, names))
        found[name] = list((yield from steps).results)
    return found


def _add_cell(viewer: "ViewerModel", name: str, results: Results, source: "Image") -> "list[Layer]":
    base = f"{source.name} {name}"
    about = {key: source.metadata[key] for key in (*ABOUT, CHANNELS) if key in source.metadata}
    image = viewer.add_image(
        source.data,
        rgb=source.rgb,
        multiscale=source.multiscale,
        name=f"{base} image",
        contrast_limits=source.contrast_limits,
        colormap=source.colormap,
        metadata=about | MADE,
        **place_of(source, source.ndim),
    )
    # what is found belongs to the cell's image: the source may have results of its own
    return [image, *add_to_viewer(viewer, results, source=image, name=base)]
