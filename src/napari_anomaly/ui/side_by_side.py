"""Input, reconstruction, residual and mask in linked views, and everything as it was afterwards. Knows no window."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.errors import DataError, ImageError
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.family import RECONSTRUCTION, Family, belonging
from napari_anomaly.ui.layers import MADE, place_over
from napari_anomaly.ui.planes import CHANNELS

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_anomaly.core.detector import Detector


_FONT = 7  # points: a cell is narrow, and the names are long


@dataclass(frozen=True, eq=False)
class Before:
    """How things were: what has an attribute, its name, its value; in the order in which they were changed."""

    values: tuple[tuple[Any, str, Any], ...]


def side_by_side(viewer: "ViewerModel", family: Family) -> Before:
    """Show the layers of a family alone, each in a cell of napari's grid, with its name.

    Nothing is copied. Visibility, the grid, the outline of masks and the colours of the map change until
    :func:`put_back`.

    Returns
    -------
    Before
        For :func:`put_back`.
    """
    changed: list[tuple[Any, str, Any]] = []

    def change(what: Any, name: str, value: Any) -> None:
        changed.append((what, name, getattr(what, name)))
        setattr(what, name, value)

    members = _members(family)
    for proxy in viewer.layers:
        layer: Any = getattr(proxy, "__wrapped__", proxy)
        shown = any(layer is member for member in members)
        change(layer, "visible", shown)
        if shown:
            change(layer.name_overlay, "visible", True)
            change(layer.name_overlay, "font_size", _FONT)
    for mask in (family.regions, family.truth):
        if mask is not None:
            change(mask, "contour", 0)  # nothing lies below that an outline would leave to see
    if family.anomaly_map is not None:
        change(family.anomaly_map, "colormap", "inferno")  # not the one that fades in from nothing
        change(family.anomaly_map, "opacity", 1.0)
    grid = viewer.canvas.grid
    for name, value in (("shape", (-1, -1)), ("stride", 1), ("enabled", True)):
        change(grid, name, value)
    return Before(tuple(changed))


def put_back(before: Before) -> None:
    """Set back what :func:`side_by_side` changed; layers that came since stay as they are."""
    for what, name, value in reversed(before.values):
        setattr(what, name, value)


def reconstruct(
    detector: "Detector",
    images: Sequence[Any],
    maps: Sequence[np.ndarray],
) -> Generator[Progress, None, np.ndarray]:
    """Compute the reconstructions of images that were inspected without keeping them.

    Parameters
    ----------
    detector : Detector
    images : sequence of array
        ``(y, x)`` or ``(y, x, c)``.
    maps : sequence of array, ``(y, x)``
        What the inspection found, to recognise another detector by.

    Returns
    -------
    float32 array, ``(n, y, x)`` or ``(n, y, x, 3)``

    Raises
    ------
    DataError
        Another detector made the maps, or this one cannot inspect the images.
    """
    made = []
    for image, known in zip(images, maps, strict=True):
        try:
            result = detector.inspect(np.asarray(image))
        except ImageError as error:
            raise DataError(_OTHER) from error
        if not np.allclose(result.anomaly_map, np.asarray(known), rtol=1e-3, atol=1e-3):
            raise DataError(_OTHER)
        made.append(result.reconstruction)
        yield Progress("reconstructing", len(made), len(images))
    return np.stack(made)


_OTHER = (
    "the present detector is not the one that inspected this layer, so its reconstruction would explain nothing; "
    "load that one, or inspect the layer again"
)


def add_reconstruction(
    viewer: "ViewerModel", source: "Image", made: np.ndarray, shape: tuple[int, ...]
) -> "Layer":
    """Add what :func:`reconstruct` computed as a layer of the source's family, hidden, just above the source.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    source : napari.layers.Image
    made : array, ``(n, y, x)`` or ``(n, y, x, 3)``
    shape : tuple of int
        Leading axes of the source's stack; empty for a single image.
    """
    rgb = made.ndim == 4
    pixels = made.reshape(*shape, *made.shape[1:])
    layer = viewer.add_image(
        pixels,
        rgb=rgb,
        name=f"{source.name} reconstruction",
        contrast_limits=(0, 1),
        visible=False,
        metadata={**MADE, CHANNELS: None, **belonging(source, RECONSTRUCTION)},
        **place_over(source, len(shape) + 2),
    )
    viewer.layers.move(len(viewer.layers) - 1, viewer.layers.index(source) + 1)
    return layer


def _members(family: Family) -> "list[Layer]":
    every = (
        family.source,
        family.reconstruction,
        family.anomaly_map,
        family.regions,
        family.truth,
    )
    return [layer for layer in every if layer is not None]
