"""Small pictures of images, in the greys or colours that a screen shows."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from napari_anomaly.core.data.files import read_image
from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.layers import slices

if TYPE_CHECKING:
    from napari.components import ViewerModel

_ENOUGH = 2048
"""Pixels a side of what is averaged; of a larger image only every so many-th pixel."""

Read = Callable[[int], np.ndarray]


def reader_of(viewer: "ViewerModel", inspected: Inspected) -> Read:
    """Return what reads an image of the list, in whatever thread: from its file, else from its layer.

    The layer's pixels are not kept alive by it.
    """
    samples = inspected.samples
    if samples:
        return lambda number: read_image(samples[number].path, samples[number].page)
    layers = [getattr(one, "__wrapped__", one) for one in viewer.layers]
    own = [ref(layer) for layer in layers if str(layer.unique_id) == inspected.layer]

    def read(number: int) -> np.ndarray:
        layer = own[0]() if own else None
        if layer is None:
            raise DataError("its layer was removed")
        image = slices(layer)[number]
        step = max(1, max(image.shape[:2]) // _ENOUGH)  # a large image may not fit into memory
        return np.asarray(image[::step, ::step])

    return read


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """Shrink an image to at most ``side`` pixels a side by averaging blocks.

    Parameters
    ----------
    image : array, ``(y, x)`` or ``(y, x, c)``
        uint8 is shown as it is, anything else from its lowest to its highest value.
    side : int

    Returns
    -------
    uint8 array, ``(y, x, 3)``
    """
    step = -(-max(image.shape[:2]) // side)
    height, width = (max(length // step, 1) * min(step, length) for length in image.shape[:2])
    rows, columns = (min(step, length) for length in image.shape[:2])
    channels = image.reshape(*image.shape[:2], -1)[:height, :width, :3]  # of few rows: y, x, c
    blocks = channels.reshape(height // rows, rows, width // columns, columns, -1)
    small = np.nan_to_num(blocks.mean(axis=(1, 3), dtype=np.float32))
    if image.dtype != np.uint8:
        low, high = small.min(), small.max()
        small = (small - low) * (255 / max(high - low, np.finfo(np.float32).tiny))
    grey = small.shape[-1] < 3
    return (
        np.repeat(small[..., :1], 3, axis=-1).astype(np.uint8) if grey else small.astype(np.uint8)
    )
