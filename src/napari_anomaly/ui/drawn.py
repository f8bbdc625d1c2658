"""What a training shows of itself, as one layer that is painted anew."""

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.ui.layers import MADE

if TYPE_CHECKING:
    import napari.viewer

_GAP = 0.05  # of the picture's width, between it and what lies at the origin


class DrawnLayer:
    """A layer of one widget: added with the first picture, changed with every other.

    Only a layer that was added here is ever changed; once it is removed, or does not fit, the next picture gets a new
    one.
    """

    def __init__(self, viewer: "napari.viewer.Viewer", name: str) -> None:
        self._viewer, self._name = viewer, name
        self._layer: Any = None

    def show(self, picture: np.ndarray) -> None:
        """Show a picture ``(y, x, c)`` in [0, 1], to the left of the images."""
        pixels = picture if picture.shape[-1] == 3 else picture[..., 0]
        ours = self._layer
        if ours is not None and ours in self._viewer.layers and ours.data.shape == pixels.shape:
            ours.data = pixels
            return
        self._layer = self._viewer.add_image(
            pixels,
            name=self._name,
            rgb=pixels.ndim == 3,
            contrast_limits=(0, 1),
            metadata=MADE,
            translate=(0, -(1 + _GAP) * pixels.shape[1]),
        )
