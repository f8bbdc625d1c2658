"""Which images of a ground truth were painted in since they were saved."""

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.ui.annotating import image_of
from napari_anomaly.ui.painted import DIRTY

if TYPE_CHECKING:
    from napari.layers import Labels


class Watch:
    """Keeps ``truth.metadata["dirty"]``, and knows what of it is not kept anywhere yet.

    napari tells of strokes but not of undo and redo, so that an image which was painted in once is compared,
    by checksum, with what was kept of it last.
    """

    def __init__(self, truth: "Labels") -> None:
        self.truth = truth
        self._kept: dict[int, int | None] = {}  # checksums; None: nothing was kept yet
        truth.metadata.setdefault(DIRTY, set())
        truth.events.paint.connect(self._painted)

    def close(self) -> None:
        """Watch no longer."""
        self.truth.events.paint.disconnect(self._painted)

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
        return self._kept.get(number) != _checksum(image)

    def kept(self, number: int, image: np.ndarray) -> None:
        """Note what was kept of an image in the sidecar."""
        self._kept[number] = _checksum(image)

    def saved(self, numbers: Iterable[int]) -> None:
        """Note that images are in the masks as they are now."""
        for number in numbers:
            self.kept(number, image_of(self.truth, number))
            self.dirty.discard(number)

    def _painted(self, event: Any) -> None:
        for number in numbers_in(event.value, self.truth.data.shape):
            self._kept.setdefault(number, None)
            self.dirty.add(number)


def numbers_in(step: Iterable[Any], shape: tuple[int, ...]) -> set[int]:
    """Return the images of a stack that one step of napari's history changed.

    Each part of a step begins with where it changed what: arrays of indices, or slices, one per axis.
    """
    grid = np.arange(int(np.prod(shape[:-2]))).reshape(shape[:-2])
    return {int(k) for part in step for k in np.unique(grid[tuple(part[0][:-2])])}


def _checksum(image: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(image).tobytes())
