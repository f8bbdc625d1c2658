"""The training images as methods see them: normalised, in memory while they fit, read again where they do not."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.threads import in_order

Pixels = Float[np.ndarray, "y x c"]
Batch = Float[np.ndarray, "b y x c"]
Indices = Sequence[int] | range | Int[np.ndarray, " b"]

CACHE = 2**30
"""Bytes of training images, as float32, that are held in memory; a quarter of the machine's memory if that is less."""

_AHEAD = 2  # batches that are ready or in the making while one is in use


def cache_bound() -> int:
    """Return how many bytes of training images this machine holds in memory."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return CACHE
    return min(CACHE, memory // 4)


def _nothing_again(k: int) -> Pixels:
    raise IndexError(f"image {k} is not held in memory and cannot be read again")


@dataclass(frozen=True, eq=False)
class Stack:
    """Normalised training images ``(n, y, x, c)`` float32.

    Attributes
    ----------
    shape : tuple of int
        ``(n, y, x, c)``
    held : sequence of array, ``(y, x, c)``
        The first images.
    again : callable
        From the index of any other image to the image; called in threads.
    """

    shape: tuple[int, int, int, int]
    held: Sequence[Pixels]
    again: Callable[[int], Pixels] = _nothing_again

    @classmethod
    def of(cls, images: Float[np.ndarray, "n y x c"]) -> "Stack":
        """Take normalised images that are in memory already."""
        n, height, width, channels = images.shape
        return cls((n, height, width, channels), list(images.astype(np.float32, copy=False)))

    @classmethod
    def normalised(
        cls,
        shape: tuple[int, int, int, int],
        held: Sequence[Pixels],
        again: Callable[[int], Pixels],
        normalise: Normalise,
    ) -> "Stack":
        """Take images in [0, 1]: those in memory are normalised in place, the others whenever they are read."""
        mean, std = normalise.moments()

        def in_place(image: Pixels) -> Pixels:
            image -= mean
            image /= std
            return image

        for image in held:
            in_place(image)
        return cls(shape, held, lambda k: in_place(again(k)))

    def __len__(self) -> int:
        """Count the images."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all images as float32."""
        return 4 * int(np.prod(self.shape))

    def take(self, indices: Indices) -> Batch:
        """Return some images, in the order asked for.

        Raises
        ------
        IndexError
            For an index outside 0 to n - 1.
        ImageError
            If an image cannot be read any more.
        """
        chosen = [int(k) for k in indices]
        if wrong := [k for k in chosen if not 0 <= k < len(self)]:
            raise IndexError(f"found image {wrong[0]}; expected 0 to {len(self) - 1}")
        batch = np.empty((len(chosen), *self.shape[1:]), np.float32)
        absent = [place for place, k in enumerate(chosen) if k >= len(self.held)]
        for place in set(range(len(chosen))) - set(absent):
            batch[place] = self.held[chosen[place]]
        if absent:
            with closing(in_order(self.again, [chosen[place] for place in absent])) as images:
                for place, image in zip(absent, images, strict=True):
                    batch[place] = image
        return batch

    def batches(self, batches: Iterable[Indices]) -> Generator[Batch, None, None]:
        """Yield batch after batch, each as :meth:`take` gives it, made by threads up to two batches ahead.

        Closing the generator ends the threads. Up to four batches are in memory at once: two ready or in the making,
        one in use, one just asked for.
        """
        return in_order(self.take, batches, threads=_AHEAD, ahead=_AHEAD)
