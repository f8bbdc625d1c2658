"""Which images of a ground truth were painted in since they were saved."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.ui.annotating import image_of
from napari_anomaly.ui.numbering import DIGESTS, digest
from napari_anomaly.ui.painted import DIRTY

if TYPE_CHECKING:
    from napari.layers import Labels

KEPT = "kept"
"""Key of a truth layer's metadata: from its images that were painted in, by number, to the digest of what was kept
of each last; None: nothing was yet."""


def note_strokes(truth: "Labels") -> None:
    """Have strokes noted in the metadata of a ground truth from now on, whether a page watches it or not.

    What was painted in a folder's masks before is found by the digests that the masks had.
    """
    dirty: set[int] = truth.metadata.setdefault(DIRTY, set())
    if KEPT not in truth.metadata:
        dirty.update(_painted_before(truth))
        truth.metadata[KEPT] = dict.fromkeys(dirty)
    truth.events.paint.connect(_note)  # the same again does nothing


class Watch:
    """Keeps ``truth.metadata["dirty"]``, and knows what of it is not kept anywhere yet.

    napari tells of strokes but not of undo and redo, so that an image which was painted in once is compared,
    by digest, with what was kept of it last. All of that is in the layer's metadata, which outlives the page.
    """

    def __init__(self, truth: "Labels") -> None:
        self.truth = truth
        note_strokes(truth)
        self._kept: dict[int, int | None] = truth.metadata[KEPT]
        self.look()  # undone while nobody watched

    @property
    def dirty(self) -> set[int]:
        """Numbers of the images whose labels are not in the folder's masks."""
        found: set[int] = self.truth.metadata[DIRTY]
        return found

    @property
    def touched(self) -> tuple[int, ...]:
        """Numbers of the images that were painted in, saved since or not."""
        return tuple(self._kept)

    def look(self, numbers: Iterable[int] | None = None) -> None:
        """Find images that undo or redo changed after they were kept; all that were touched, or some."""
        for number in self.touched if numbers is None else set(numbers) & set(self.touched):
            if self.changed(number, image_of(self.truth, number)):
                self.dirty.add(number)

    def changed(self, number: int, image: np.ndarray) -> bool:
        """Tell whether an image differs from what was kept of it."""
        return self._kept.get(number) != digest(image)

    def kept(self, number: int, image: np.ndarray) -> None:
        """Note what was kept of an image in the sidecar."""
        self._kept[number] = digest(image)

    def saved(self, numbers: Iterable[int]) -> None:
        """Note that images are in the masks as they are now."""
        for number in numbers:
            self.kept(number, image_of(self.truth, number))
            self.dirty.discard(number)


def numbers_in(step: Iterable[Any], shape: tuple[int, ...]) -> set[int]:
    """Return the images of a stack that one step of napari's history changed.

    Each part of a step begins with where it changed what: arrays of indices, or slices, one per axis.
    """
    grid = np.arange(int(np.prod(shape[:-2]))).reshape(shape[:-2])
    return {int(k) for part in step for k in np.unique(grid[tuple(part[0][:-2])])}


def _note(event: Any) -> None:
    about = event.source.metadata
    for number in numbers_in(event.value, event.source.data.shape):
        about[KEPT].setdefault(number, None)
        about[DIRTY].add(number)


def _painted_before(truth: "Labels") -> list[int]:
    known = truth.metadata.get(DIGESTS, ())
    if len(known) != np.prod(truth.data.shape[:-2]):
        return []  # of other images
    return [number for number, of in enumerate(known) if digest(image_of(truth, number)) != of]
