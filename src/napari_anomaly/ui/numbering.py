"""Regions are numbered 1..N over all images of a layer: napari's features table takes row k for label k."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import scipy.ndimage
from jaxtyping import Int

from napari_anomaly.core.types import Inspection, Region

if TYPE_CHECKING:
    import pandas as pd

DIGESTS = "digests"
"""Key of metadata of a regions layer: one number per image; another now means that a person painted there.

A folder's masks have it too, opened as ground truth."""

BACKGROUND: dict[str, Any] = {"index": 0, "image": None}
"""First row of every table."""

_AROUND = np.ones((3, 3))  # pixels that touch at a corner belong together

_COLUMNS = ("index", "image", "area", "max_score", "mean_score", "p_value")


def digest(labels: np.ndarray) -> int:
    """Return a number that differs for other labels."""
    return crc32(np.ascontiguousarray(labels).data)


def region_rows(regions: Sequence[Region], image: int, first: int) -> list[dict[str, Any]]:
    """Describe regions of one image, the first of which has the label ``first`` in the layer."""
    return [
        {
            "index": label,
            "image": image,
            "area": region.area,
            "max_score": region.max_score,
            "mean_score": region.mean_score,
            "p_value": region.p_value,
        }
        for label, region in enumerate(regions, first)
    ]


def numbered(result: Inspection, image: int, rows: list[dict[str, Any]]) -> np.ndarray:
    """Append the rows of an image's regions, and return its labels by row."""
    numbers = np.zeros(int(result.labels.max(initial=0)) + 1, np.int32)
    for label, region in enumerate(result.regions, len(rows)):
        numbers[region.label] = label
    rows += region_rows(result.regions, image, len(rows))
    labels: np.ndarray = numbers[result.labels]
    return labels


def region_table(rows: Sequence[dict[str, Any]]) -> "pd.DataFrame":
    """Make the features of a layer."""
    import pandas as pd  # comes with napari

    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    # whole numbers beside None: napari's status bar leaves out what is None
    table["image"] = pd.Series([row["image"] for row in rows], dtype=object)
    return table


def parts(
    masks: Iterable[np.ndarray | None], shape: tuple[int, ...]
) -> tuple[Int[np.ndarray, "n y x"], list[int]]:
    """Number the connected parts of masks from 1 on, over all of them.

    Parameters
    ----------
    masks : iterable of array, ``(y, x)``, or None
        None has no parts.
    shape : tuple of int
        ``(n, y, x)``

    Returns
    -------
    int32 array, ``(n, y, x)``
    list of int
        How many parts each mask has.
    """
    labels, counts = np.zeros(shape, np.int32), list[int]()
    for image, mask in zip(labels, masks, strict=True):
        found, count = (0, 0) if mask is None else scipy.ndimage.label(mask, _AROUND)
        image[...] = np.where(found > 0, found + sum(counts), 0)
        counts.append(count)
    return labels, counts
