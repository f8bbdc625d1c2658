"""The normal images that Train is given: a folder's, or a layer's."""

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.layers import slices
from napari_anomaly.ui.watching import COUNT

if TYPE_CHECKING:
    from napari.layers import Image


class LayerNormals:
    """The normal images of a layer, read when training asks for them.

    Attributes
    ----------
    images : sequence of array-like
        See ``layers.slices``.
    """

    def __init__(self, images: Sequence[Any], shown: int) -> None:
        self.images, self._shown = images, shown

    @classmethod
    def of(cls, layer: "Image", shown: int = 0) -> "LayerNormals":
        """Take a layer's slices, without those whose metadata names a defect; ``shown`` is the one on screen.

        Raises
        ------
        DataError
            No slice is left.
        """
        images = slices(layer)
        normal = list(range(len(images)))
        defects = layer.metadata.get("defect")
        if isinstance(defects, list) and len(defects) == len(images):
            normal = [k for k in normal if defects[k] in (None, "good")]
        if not normal:
            raise DataError(f"{layer.name}: every image shows a defect; expected normal images")
        return cls([images[k] for k in normal], normal.index(shown) if shown in normal else 0)

    def some(self) -> list[np.ndarray]:
        """Read a few to look at: the one on screen, then the first ones."""
        others = [k for k in range(len(self.images)) if k != self._shown]
        return [np.asarray(self.images[k]) for k in [self._shown, *others][:COUNT]]


def chosen(data: str | LayerNormals) -> list[np.ndarray]:
    """Return a few normal images to look at while training; test images are not among them."""
    if isinstance(data, LayerNormals):
        return data.some()
    from napari_anomaly.core.data.normals import source  # in the thread: a folder may be slow

    samples, read = source(data)
    with closing(read.readable(samples[:COUNT])) as images:
        return list(islice(images, COUNT))
