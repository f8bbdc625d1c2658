"""Truth against prediction as layers: each pixel in the colour of what became of it, the truth as an outline."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.ui.counting import pixels_of
from napari_anomaly.ui.family import FAMILY, ROLE, Family
from napari_anomaly.ui.layers import MADE, place_of
from napari_anomaly.ui.overlap import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, outcomes
from napari_anomaly.ui.readers import MASK_COLOUR

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

COLOURS: dict[int | None, str] = {
    TRUE_POSITIVE: "#648fff",
    FALSE_POSITIVE: "#ffb000",
    FALSE_NEGATIVE: "#dc267f",
}
"""Blue, orange, magenta of IBM's palette: apart for every kind of colour vision, in hue and in lightness."""

_COLORMAP: dict[int | None, str] = {None: "transparent", 0: "transparent", **COLOURS}

DIFFERENCE, OUTLINE = "truth against prediction", "outline of the ground truth"
"""Roles in the family."""


class Derived:
    """An array of labels worked out from layers where it is looked at: no copy of a stack, never out of date.

    Parameters
    ----------
    function : callable
        Pixel by pixel: takes a part of each layer, all of one shape, returns uint8 of that shape.
    layers : Labels
        Of one shape.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, function: Callable[..., np.ndarray], *layers: "Labels") -> None:
        self._function, self._layers = function, layers

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the layers."""
        return tuple(pixels_of(self._layers[0]).shape)

    @property
    def ndim(self) -> int:
        """Of the layers."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Of the layers."""
        return int(np.prod(self.shape))

    def __getitem__(self, index: Any) -> np.ndarray:
        """Work out a part."""
        return self._function(*(np.asarray(pixels_of(layer)[index]) for layer in self._layers))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Work out all of it."""
        return np.array(self[...], dtype)


def add_difference_to_viewer(viewer: "ViewerModel", family: Family) -> "list[Labels]":
    """Show truth against prediction over an image or a stack.

    One layer has 1 where truth was found, 2 at false alarms, 3 at what was missed; another outlines the truth, so that
    the display of a person's own layer need not change. Neither can be painted in. What was active stays so.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    family : Family
        With truth and regions of one shape.

    Returns
    -------
    list of Labels
        The difference and the outline; ``refresh`` draws them anew.
    """
    truth, regions = family.truth, family.regions
    assert truth is not None and regions is not None
    selected = set(viewer.layers.selection)
    base = family.source.name if family.source is not None else regions.name
    place = place_of(regions, regions.ndim)
    kin = MADE | {FAMILY: regions.metadata[FAMILY]}
    difference = viewer.add_labels(
        Derived(outcomes, truth, regions),
        name=f"{base} {DIFFERENCE}",
        colormap=_COLORMAP,
        opacity=0.75,
        metadata=kin | {ROLE: DIFFERENCE},
        **place,
    )
    outline = viewer.add_labels(
        Derived(_painted, truth),
        name=f"{base} {OUTLINE}",
        colormap=MASK_COLOUR,
        opacity=1,
        metadata=kin | {ROLE: OUTLINE},
        **place,
    )
    outline.contour = 2
    for layer in (difference, outline):
        layer.editable = False
    viewer.layers.selection = selected
    return [difference, outline]


def _painted(truth: np.ndarray) -> np.ndarray:
    painted: np.ndarray = (truth != 0).astype(np.uint8)
    return painted
