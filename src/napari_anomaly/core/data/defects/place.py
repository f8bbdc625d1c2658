"""Where a defect goes, and what it may be made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from napari_anomaly.core.data.defects.masks import side_of

Pixels = Float[np.ndarray, "y x c"]
Window = Float[np.ndarray, "n n c"]


@dataclass(frozen=True, eq=False)
class Donor:
    """An image that pieces are cut out of: float32 ``(y, x, c)`` in [0, 1], and where its object is, ``(y, x)``."""

    image: Pixels
    foreground: Bool[np.ndarray, "y x"]


@dataclass(frozen=True, eq=False)
class Place:
    """A square window of an image, large enough for a defect.

    Attributes
    ----------
    whole : Donor
        The image and where its object is.
    top, left : int
        The window's first pixel.
    size : float
        Most pixels that the defect may measure along either side.
    contrast : float
        Wanted change: root mean square over the defect, in (0, 1].
    noise : float
        Standard deviation of the normals' pixel noise.
    donors : sequence of Donor
        Other normal images with as many channels, each at least as large as the window; may be empty.
    """

    whole: Donor
    top: int
    left: int
    size: float
    contrast: float
    noise: float
    donors: Sequence[Donor] = ()

    @property
    def pixels(self) -> Window:
        """The window's pixels, ``(n, n, c)``."""
        return self.whole.image[self.slices]

    @property
    def inside(self) -> Bool[np.ndarray, "n n"]:
        """Where the window shows the object."""
        return self.whole.foreground[self.slices]

    @property
    def slices(self) -> tuple[slice, slice]:
        """The window as an index."""
        n = side_of(self.size)
        return np.s_[self.top : self.top + n, self.left : self.left + n]


Draw = Callable[[Place, np.random.Generator], Window]
"""A kind of defect: gives the window's new pixels."""


def somewhere(donor: Donor, size: float, rng: np.random.Generator) -> tuple[int, int]:
    """Draw the first pixel ``(y, x)`` of a window around some pixel of the object, moved inside the image."""
    shape, n = donor.image.shape, side_of(size)
    on = np.flatnonzero(donor.foreground)
    middle = divmod(int(on[rng.integers(on.size)]), shape[1])
    top, left = (
        min(max(at - n // 2, 0), side - n) for at, side in zip(middle, shape[:2], strict=True)
    )
    return top, left
