"""A shape that a person drew becomes a region of interest in pixels."""

from typing import TYPE_CHECKING

import numpy as np

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.preprocess import Crop

if TYPE_CHECKING:
    from napari.layers import Image, Shapes

_UPRIGHT = 1e-3  # pixels by which the sides of an upright rectangle may lean


def crop_of(shapes: "Shapes", image: "Image | None" = None) -> Crop:
    """Take the first rectangle or polygon of a layer.

    Parameters
    ----------
    shapes : napari.layers.Shapes
    image : napari.layers.Image, optional
        The image it was drawn over, whose scale, translate, ... are taken off, and whose border
        it is cut at. None: world coordinates are pixels, as for images opened from files.

    Returns
    -------
    Crop
        A box of the pixels whose centres the rectangle holds; a rectangle that is not upright, or
        a polygon, as a polygon.

    Raises
    ------
    DataError
        The layer has neither, or it lies outside the image.
    """
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in ("rectangle", "polygon"):
            place = np.array([_in_pixels(shapes, image, corner) for corner in corners])
            return _box(place, shapes, image) if _is_upright(place) else _polygon(place, image)
    raise DataError(
        f"{shapes.name}: found no rectangle or polygon; expected one around what is to be inspected"
    )


def _in_pixels(shapes: "Shapes", image: "Image | None", corner: np.ndarray) -> np.ndarray:
    world = np.asarray(shapes.data_to_world(corner), float)[-2:]
    if image is None:
        return world
    position = np.zeros(image.ndim)
    position[-2:] = world
    return np.asarray(image.world_to_data(position), float)[-2:]


def _size(image: "Image | None") -> np.ndarray:
    """Height and width; of images that are still in their files unknown."""
    if image is None:
        return np.full(2, np.iinfo(np.int32).max)
    data = image.data[0] if image.multiscale else image.data
    return np.array(data.shape[-3:-1] if image.rgb else data.shape[-2:])


def _is_upright(corners: np.ndarray) -> bool:
    sides = np.abs(np.roll(corners, -1, axis=0) - corners)
    return len(corners) == 4 and bool((sides.min(1) < _UPRIGHT).all())


def _box(corners: np.ndarray, shapes: "Shapes", image: "Image | None") -> Crop:
    low = np.maximum(np.ceil(corners.min(0) - _UPRIGHT), 0).astype(int)
    high = np.minimum(np.floor(corners.max(0) + _UPRIGHT) + 1, _size(image)).astype(int)
    if (low >= high).any():
        raise DataError(f"{shapes.name}: the rectangle holds no pixel of the images; draw it anew")
    return Crop(box=(int(low[0]), int(low[1]), int(high[0]), int(high[1])))


def _polygon(corners: np.ndarray, image: "Image | None") -> Crop:
    inside = np.clip(corners, 0, _size(image) - 1)
    return Crop(polygon=tuple((float(y), float(x)) for y, x in inside))
