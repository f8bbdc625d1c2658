"""The training images as methods see them: normalised, given out in batches."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Batch = Float[np.ndarray, "b y x c"]
Indices = Sequence[int] | Int[np.ndarray, " b"]


@dataclass(frozen=True, eq=False)
class Stack:
    """Normalised training images ``(n, y, x, c)`` float32.

    Attributes
    ----------
    shape : tuple of int
        ``(n, y, x, c)``
    """

    shape: tuple[int, int, int, int]
    cached: Float[np.ndarray, "k y x c"]

    @classmethod
    def of(cls, images: Float[np.ndarray, "n y x c"]) -> "Stack":
        """Take normalised images that are in memory already."""
        n, height, width, channels = images.shape
        return cls((n, height, width, channels), images.astype(np.float32, copy=False))

    def __len__(self) -> int:
        """Count the images."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all images as float32."""
        return 4 * int(np.prod(self.shape))

    def take(self, indices: Indices) -> Batch:
        """Return some images, in the order asked for."""
        batch: Batch = self.cached[np.asarray(indices, int)]
        return batch

    def batches(self, batches: Iterable[Indices]) -> Generator[Batch, None, None]:
        """Yield batch after batch, each as :meth:`take` gives it."""
        for indices in batches:
            yield self.take(indices)
