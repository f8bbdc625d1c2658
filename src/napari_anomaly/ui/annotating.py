"""Ground truth by a person's hand; every operation on it is one step of napari's own undo."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Int

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.family import BEGUN_EMPTY, TRUTH, belonging, family_of, is_truth_of
from napari_anomaly.ui.layers import ABOUT, place_over
from napari_anomaly.ui.planes import CHANNELS, array_of, counting

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

COLOURS = ("#76ff03", "#ffea00", "#00c853", "#c6ff00", "#ff9100", "#b9f6ca")
"""Greens and yellows, in turn, so that parts are told apart; the machine's regions are cyan outlines."""

_AROUND = np.ones((3, 3))  # pixels that touch at a corner belong together, as in the folder's masks


def accepted(
    truth: Int[np.ndarray, "y x"],
    regions: Int[np.ndarray, "y x"],
    which: Collection[int],
    first: int,
) -> Int[np.ndarray, "y x"]:
    """Return the truth with some of the machine's regions, numbered from ``first`` on.

    What a person labelled already stays as it is: only background is filled.
    """
    after = truth.copy()
    for label in sorted(which):
        free = (regions == label) & (truth == 0)
        if free.any():
            after[free] = first
            first += 1
    return after


def erased(truth: Int[np.ndarray, "y x"], which: Collection[int]) -> Int[np.ndarray, "y x"]:
    """Return the truth without some of its labels."""
    return np.where(np.isin(truth, list(which)), 0, truth).astype(truth.dtype)


def merged(truth: Int[np.ndarray, "y x"], which: Collection[int]) -> Int[np.ndarray, "y x"]:
    """Return the truth with several labels as one, the lowest of them.

    Raises
    ------
    DataError
        Fewer than two labels.
    """
    if len(set(which)) < 2:
        raise DataError(
            f"found {len(set(which))} region(s) of the ground truth to merge; expected two or more. "
            "Click one, and the others with Shift held"
        )
    return np.where(np.isin(truth, list(which)), min(which), truth).astype(truth.dtype)


def split(truth: Int[np.ndarray, "y x"], label: int, first: int) -> Int[np.ndarray, "y x"]:
    """Return the truth with one label cut into several; the first part keeps the number.

    Parts that do not touch become labels of their own. A single part is cut in two at its neck:
    by watershed along the distance to its border, from its two thickest places.

    Raises
    ------
    DataError
        It has no second thick place, so there is nowhere to cut.
    """
    mask = truth == label
    parts, count = scipy.ndimage.label(mask, _AROUND)
    if count == 1:
        parts, count = _cut_in_two(mask), 2
    numbers = np.array([0, label, *range(first, first + count - 1)], truth.dtype)
    return np.where(mask, numbers[parts], truth).astype(truth.dtype)


def _cut_in_two(mask: Bool[np.ndarray, "y x"]) -> Int[np.ndarray, "y x"]:
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    # a border of background, so that the image's edge counts as the region's edge too
    distance = scipy.ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    apart = max(1, round(float(distance.max())))
    peaks = peak_local_max(distance, min_distance=apart, num_peaks=2, exclude_border=False)
    if len(peaks) < 2:
        raise DataError(
            "this region is in one piece and has no neck to cut it at; erase a line through it "
            "with napari's eraser (key 1), then split"
        )
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = 1, 2
    return np.asarray(watershed(-distance, markers, connectivity=2, mask=mask))


def image_of(labels: "Labels", number: int) -> np.ndarray:
    """Return one image of a stack of labels, ``(y, x)``, numbered as ``layers.slices`` does."""
    return np.asarray(labels.data[_leading(labels, number)])


def label_at(labels: "Labels", position: Collection[float]) -> int:
    """Return the label at a place of the world; 0 outside of the layer."""
    point = np.asarray(tuple(position))[-labels.ndim :]
    place = np.round(labels.world_to_data(point)).astype(int)
    if (place < 0).any() or (place >= labels.data.shape).any():
        return 0
    return int(labels.data[tuple(place)])


def free_label(truth: "Labels") -> int:
    """Return a number above all that are used in the whole stack."""
    return int(np.max(truth.data)) + 1


def write(truth: "Labels", images: Mapping[int, np.ndarray]) -> int:
    """Put images ``(y, x)`` of labels into a layer, in one step of its undo; return how many pixels changed.

    Raises
    ------
    DataError
        The layer cannot hold a label.
    """
    most = max((int(image.max(initial=0)) for image in images.values()), default=0)
    if most > np.iinfo(truth.data.dtype).max:
        raise DataError(
            f"{truth.name}: {truth.data.dtype} has no room for label {most}. Convert it to int32: right-click "
            "the layer in the list, Convert data type"
        )
    changes = [_changes(truth, number, image) for number, image in images.items()]
    indices = tuple(
        np.concatenate(axis) for axis in zip(*(index for index, _ in changes), strict=True)
    )
    count = len(indices[0]) if indices else 0
    if count:
        truth.data_setitem(indices, np.concatenate([values for _, values in changes]))
    return count


def truth_of(viewer: "ViewerModel", source: "Image") -> "Labels | None":
    """Return the ground truth of an image or stack, inspected or not: a person's, else the folder's masks."""
    from napari.layers import Labels

    family = family_of(viewer, source)
    if family is not None and family.truth is not None:
        return family.truth
    layers = [getattr(one, "__wrapped__", one) for one in viewer.layers]
    found = [one for one in layers if isinstance(one, Labels) and is_truth_of(one, source)]
    return found[-1] if found else None


def new_truth(
    viewer: "ViewerModel", source: "Image", labels: Int[np.ndarray, "n y x"] | None = None
) -> "Labels":
    """Add a ground truth that lies on an image or stack, empty unless labels of its images are given."""
    from napari.utils.colormaps import CyclicLabelColormap

    leading = counting(source)  # an image of several channels has one truth
    size = array_of(source).shape[len(leading) : len(leading) + 2]
    shape = (*leading, *size)
    about = {key: source.metadata[key] for key in ABOUT if key in source.metadata}
    ours = {CHANNELS: None, BEGUN_EMPTY: labels is None} | belonging(source, TRUTH)
    return viewer.add_labels(
        np.zeros(shape, np.int32) if labels is None else labels.reshape(shape),
        name=f"{source.name} ground truth",
        colormap=CyclicLabelColormap(list(COLOURS), name="ground truth"),
        opacity=0.5,
        metadata=about | ours,
        **place_over(source, source.ndim),
    )


def _leading(labels: "Labels", number: int) -> tuple[int, ...]:
    return (
        tuple(int(k) for k in np.unravel_index(number, labels.data.shape[:-2]))
        if labels.ndim > 2
        else ()
    )


def _changes(
    truth: "Labels", number: int, after: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    rows, columns = np.nonzero(image_of(truth, number) != after)
    leading = (np.full(len(rows), k) for k in _leading(truth, number))
    return (*leading, rows, columns), after[rows, columns]
