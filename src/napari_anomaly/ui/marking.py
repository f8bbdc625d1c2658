"""What a person painted over a stack says of each of its images: present, absent, or nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.layers import slices

if TYPE_CHECKING:
    from napari.layers import Image, Labels

PRESENT, ABSENT = 1, 2
"""Labels to paint with."""

Box = tuple[int, int, int, int]


def marks_of(labels: "Labels", image: "Image", region: Box | None = None) -> list[bool | None]:
    """Return for each image of a layer whether it is present there; None where nothing is painted.

    Takes what :func:`reading_marks` does, and reads at once.
    """
    return reading_marks(labels, image, region)()


def reading_marks(
    labels: "Labels", image: "Image", region: Box | None = None
) -> Callable[[], list[bool | None]]:
    """Take what is needed of the layers, and return what reads the marks, in whatever thread.

    Parameters
    ----------
    labels : napari.layers.Labels
        1 is present, 2 is absent; the one with more pixels in the region counts.
    image : napari.layers.Image
        What it was painted over.
    region : tuple of int, optional
        ``(y0, x0, y1, x1)`` in pixels, half open; what is painted elsewhere is passed over. None: whole images.

    Returns
    -------
    callable
        Returns a list of bool or None, in the order of :func:`~napari_anomaly.ui.layers.slices`. Raises DataError if
        another label is painted, or both have as many pixels in one image.

    Raises
    ------
    DataError
        The layers do not lie on each other.
    """
    _check_same_place(labels, image)
    y0, x0, y1, x1 = region or (0, 0, None, None)
    data, name = labels.data[0] if labels.multiscale else labels.data, labels.name

    def read() -> list[bool | None]:
        return [
            _mark(np.asarray(data[index])[y0:y1, x0:x1], f"{name} [{number}]")
            for number, index in enumerate(np.ndindex(data.shape[:-2]))
        ]

    return read


def _mark(painted: np.ndarray, name: str) -> bool | None:
    values, counts = np.unique(painted[painted != 0], return_counts=True)
    pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))
    if other := sorted(set(pixels) - {PRESENT, ABSENT}):
        raise DataError(
            f"{name}: found the label {other[0]}; expected {PRESENT} where it is present, {ABSENT} where it is absent. "
            "Paint it over"
        )
    present, absent = pixels.get(PRESENT, 0), pixels.get(ABSENT, 0)
    if present == absent and present:
        raise DataError(
            f"{name}: as many pixels of label {PRESENT} as of {ABSENT} in the region; expected more of one. Erase the "
            "wrong one"
        )
    return None if not present and not absent else present > absent


def _check_same_place(labels: "Labels", image: "Image") -> None:
    pixels = slices(image)[0].shape[:2]
    data = labels.data[0] if labels.multiscale else labels.data
    count = int(np.prod(data.shape[:-2]))
    same_grid = (
        data.ndim == image.ndim and data.shape[-2:] == pixels and count == len(slices(image))
    )
    if not same_grid or not np.allclose(labels.extent.world, image.extent.world):
        raise DataError(
            f"{labels.name} does not lie on {image.name}: found labels of shape {data.shape}; expected one for each "
            f"pixel of {len(slices(image))} image(s) of {pixels[0]} x {pixels[1]}. Select the image alone, press New "
            "labels layer, and paint there"
        )
