"""A folder's masks as the ground truth of its images, for a person to see, to paint in, and to compare with."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from napari_anomaly.core.data.folders import mask_of
from napari_anomaly.core.errors import DataWarning, ImageError
from napari_anomaly.core.types import Sample
from napari_anomaly.ui.annotating import new_truth, truth_of
from napari_anomaly.ui.numbering import parts
from napari_anomaly.ui.strokes import note_strokes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels


def mask_if_any(sample: Sample, shape: tuple[int, ...]) -> Bool[np.ndarray, "y x"] | None:
    """Read the mask of an image ``(y, x)`` or ``(y, x, c)``; None where the folder has none that can be used.

    Warns
    -----
    DataWarning
        The mask cannot be used; the message names it.
    """
    if sample.mask_path is None:
        return None
    try:
        return mask_of(sample, shape)
    except ImageError as error:
        warnings.warn(f"{error} (shown without ground truth)", DataWarning, stacklevel=2)
        return None


def add_truth(
    viewer: "ViewerModel", source: "Image", masks: Sequence[np.ndarray | None]
) -> "list[Labels]":
    """Show masks as the ground truth of an image or stack; nothing where all are None, or it has one already.

    Returns
    -------
    list of Labels
        One layer, or none.
    """
    if all(mask is None for mask in masks) or truth_of(viewer, source) is not None:
        return []
    size = source.data.shape[: source.ndim][-2:]
    labels, _ = parts(masks, (len(masks), *size))
    truth = new_truth(viewer, source, labels)
    note_strokes(truth)
    return [truth]
