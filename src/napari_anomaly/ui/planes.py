"""The images in a layer's array: which axes count them, which one holds channels, and how one is read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Layer

CHANNELS = "channel_axis"
"""Key of metadata: the axis that a person chose as channels, None for none; without it the axis labels decide."""

COLOURS = 3
"""Channels that the methods see at most; two get an empty third."""

_LABELS = frozenset({"c", "ch", "channel", "channels"})


@dataclass(frozen=True, eq=False)
class Plane:
    """One image of a layer, read from its array whenever NumPy asks for it, or a rectangle of it.

    Attributes
    ----------
    array : array-like
        All of the layer: of NumPy, dask, zarr, ...
    index : tuple of int or slice
        Of the axes before the image's own; a slice for the channels.
    channels : int or None
        Which of the axes that are left holds the channels; they come last in what is read.
    """

    array: Any
    index: tuple[int | slice, ...]
    channels: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """``(y, x)`` or ``(y, x, c)``."""
        own: tuple[int, ...] = tuple(self.array.shape[len(self.index) :])
        return own if self.channels is None else (*own, COLOURS)

    def __getitem__(self, where: Any) -> np.ndarray:
        """Read a rectangle."""
        inside = where if isinstance(where, tuple) else (where,)
        pixels = np.asarray(self.array[(*self.index, *inside)])
        return pixels if self.channels is None else _coloured(np.moveaxis(pixels, 0, -1))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        return np.array(self[...], dtype, copy=copy)


def array_of(layer: "Layer") -> Any:
    """Return a layer's array; of a pyramid the finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def channel_axis(layer: "Layer") -> int | None:
    """Return the axis that holds the colours of one image, where it is not the last: as chosen, or as labelled."""
    possible = possible_channels(layer)
    if CHANNELS in layer.metadata:
        chosen: int | None = layer.metadata[CHANNELS]
        return chosen if chosen in possible else None
    return next((axis for axis in possible if layer.axis_labels[axis].lower() in _LABELS), None)


def possible_channels(layer: "Layer") -> list[int]:
    """List the axes that may hold colours: two or three steps long, and not rows or columns."""
    if getattr(layer, "rgb", False):
        return []
    return [axis for axis, n in enumerate(array_of(layer).shape[:-2]) if n in (2, COLOURS)]


def counting(layer: "Layer") -> tuple[int, ...]:
    """Return how many images lie along each axis before rows and columns: one along the channels."""
    data, channels = array_of(layer), channel_axis(layer)
    pixel_axes = 3 if getattr(layer, "rgb", False) else 2
    leading = data.shape[: data.ndim - pixel_axes]
    return tuple(1 if axis == channels else int(n) for axis, n in enumerate(leading))


def is_single(layer: "Layer") -> bool:
    """Tell whether a layer is one image and no stack, not even of one."""
    return len(counting(layer)) == (channel_axis(layer) is not None)


def planes(layer: "Layer") -> list[Plane]:
    """List a layer's images in C order of the axes that count them, unread."""
    array, channels = array_of(layer), channel_axis(layer)
    kept = None if channels is None else 0
    return [
        Plane(array, tuple(slice(None) if axis == channels else k for axis, k in enumerate(place)), kept)
        for place in np.ndindex(counting(layer))
    ]  # fmt: skip


def names_of(layer: "Layer", count: int) -> list[str]:
    """Name the images of a layer: by their files, where they are known."""
    known: Any = layer.metadata.get("sample")
    if isinstance(known, list) and len(known) == count:
        return [str(name) for name in known]
    return [layer.name] if count == 1 else [f"{layer.name} [{k}]" for k in range(count)]


def _coloured(pixels: np.ndarray) -> np.ndarray:
    missing = COLOURS - pixels.shape[-1]
    return np.pad(pixels, [(0, 0)] * (pixels.ndim - 1) + [(0, missing)]) if missing else pixels
