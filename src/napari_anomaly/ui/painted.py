"""In which images a person has painted ground truth, and what of it is not saved yet."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_anomaly.ui.family import family_of
from napari_anomaly.ui.inspected import Inspected

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

DIRTY = "dirty"
"""Key of a truth layer's metadata: the set of its images, by number, that were painted in since they were saved."""


def painted_in(viewer: "ViewerModel", inspected: Inspected) -> np.ndarray:
    """Return for each image whether a truth layer has paint in it: bool, ``(n,)``. Looks at all of their pixels."""
    painted = np.zeros(len(inspected.names), bool)
    for layer, numbers in _truths_of(viewer, inspected):
        painted[numbers] |= _touched(layer, len(numbers))
    return painted


def unsaved_in(viewer: "ViewerModel", inspected: Inspected) -> np.ndarray:
    """Return for each image whether it was painted in and not saved since: bool, ``(n,)``."""
    dirty = np.zeros(len(inspected.names), bool)
    for layer, numbers in _truths_of(viewer, inspected):
        unsaved = layer.metadata.get(DIRTY, ())
        dirty[[number for place, number in enumerate(numbers) if place in unsaved]] = True
    return dirty


def truths(viewer: "ViewerModel") -> "list[Labels]":
    """List the layers that hold ground truth of what was inspected."""
    from napari.layers import Labels

    layers = [getattr(one, "__wrapped__", one) for one in viewer.layers]
    labels = [one for one in layers if isinstance(one, Labels)]
    found = [(one, family_of(viewer, one)) for one in labels]
    return [one for one, family in found if family is not None and family.truth is one]


def numbers_of(inspected: Inspected, source: "Layer") -> list[int]:
    """Say which of the inspected images the slices of a layer are; empty if they are none of them."""
    if str(source.unique_id) == inspected.layer:
        scored = int(np.count_nonzero(~np.isnan(inspected.scores)))
        return list(range(scored if inspected.samples else len(inspected.names)))
    name = source.metadata.get("sample")
    root = inspected.dataset and str(inspected.dataset.root)
    known = isinstance(name, str) and name in inspected.names
    return [inspected.names.index(name)] if known and source.metadata.get("path") == root else []


def _truths_of(viewer: "ViewerModel", inspected: Inspected) -> "Iterator[tuple[Layer, list[int]]]":
    """Yield truth layers with the inspected images that theirs are."""
    for layer in truths(viewer):
        family = family_of(viewer, layer)
        if family is not None and family.source is not None:
            yield layer, numbers_of(inspected, family.source)


def _touched(layer: "Layer", count: int) -> np.ndarray:
    """Tell in which images of a layer there is paint; masks that are read when looked at have none."""
    if not isinstance(layer.data, np.ndarray) or not count or layer.data.size % count:
        return np.zeros(count, bool)
    return np.asarray(layer.data.reshape(count, -1).any(axis=1))
