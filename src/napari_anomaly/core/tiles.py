"""How tiles and windows lie on one axis of a large image, and how far around a tile one has to look.

Three units of length: pixels of the image; pixels of the method's grid, where the training images, ``field`` pixels
long, became ``grid``; and steps, the shortest lengths that are whole in both and by which the method may be moved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, gcd, lcm

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.methods.fitted import Reach
from napari_anomaly.core.methods.recipes import Residual
from napari_anomaly.core.residuals import kind_of

_CUT = 4  # deviations after which the smoothing Gaussian is cut


def margin(reaches: Sequence[Reach], residual: Residual, field: int, grid: int) -> int:
    """Pixels of the method's grid around a place of the map, beyond which the image does not matter to it.

    The method's own reach and that of the residual count in pixels of each scale. The map is interpolated between
    pixels of a scale s, which reaches ``3 s / 2 - 1`` pixels further. Smoothing comes on top, then resampling there
    and back.
    """
    around = kind_of(residual.kind).radius
    furthest = max((one.radius + around) * one.scale + 3 * one.scale // 2 - 1 for one in reaches)
    smooth = max(1, round(_CUT * residual.smooth)) if residual.smooth else 0
    return furthest + smooth + 2 * ceil(abs(grid / field - 1) / 2)


def moves(reaches: Sequence[Reach], residual: Residual) -> int:
    """Pixels of the method's grid: moved by a multiple of them, an image has the same map, moved."""
    step = kind_of(residual.kind).step
    return lcm(*(lcm(one.step, one.scale * step) for one in reaches))


@dataclass(frozen=True)
class Axis:
    """Windows of one length around the tiles of one axis.

    Attributes
    ----------
    length : int
        Of the image, pixels; windows reach beyond by less than a step.
    step, fine : int
        Length of a step in pixels of the image and of the method's grid.
    steps : int
        Length of every window.
    before : int
        Steps from a window's begin to the step in which its tile begins.
    """

    length: int
    step: int
    fine: int
    steps: int
    before: int

    @classmethod
    def of(cls, length: int, field: int, grid: int, tile: int, moved: int, around: int) -> "Axis":
        """Lay windows around tiles.

        Parameters
        ----------
        length, field, tile : int
            Of the image, of the training images, and of a tile, pixels of the image.
        grid, moved, around : int
            What the training images became, what the method may be moved by, and the margin, pixels of the grid.
        """
        shared = gcd(field, grid)
        fine = lcm(grid // shared, moved)
        step = fine * field // grid
        before = ceil(around / fine)
        longest = ceil(tile / step) + (tile % step > 0)  # a tile need not begin with a step
        return cls(length, step, fine, min(longest + 2 * before, ceil(length / step)), before)

    def window(self, start: int) -> slice:
        """Return the window around the tile that begins at ``start``, moved into the image where it would leave it."""
        last = ceil(self.length / self.step) - self.steps
        first = min(max(start // self.step - self.before, 0), last)
        return slice(first * self.step, (first + self.steps) * self.step)


@dataclass(frozen=True)
class Overlaps:
    """Windows of the training images' length, half a length apart, with weights that add up to one everywhere.

    The weights are raised cosines. The last window is moved into the image.

    References
    ----------
    Bergmann et al. 2019, doi:10.5220/0007364503720380 (an autoencoder in overlapping windows, averaged).
    """

    starts: tuple[int, ...]
    weights: Float[np.ndarray, "window field"]

    @classmethod
    def of(cls, length: int, field: int) -> "Overlaps":
        """Lay windows over a length of at least a field."""
        begins = [k + half for k in range(0, length, field) for half in (0, field // 2)]
        starts = sorted({min(one, length - field) for one in begins})
        bell = np.sin(np.pi * (np.arange(field) + 0.5) / field) ** 2
        total = np.zeros(length)
        for start in starts:
            total[start : start + field] += bell
        weights = [bell / total[start : start + field] for start in starts]
        return cls(tuple(starts), np.array(weights, np.float32))

    def touching(self, tile: slice) -> Iterator[tuple[int, slice, slice, Float[np.ndarray, " n"]]]:
        """Yield for each window that lies on the tile its start, where in the tile and in it they meet, its weights."""
        field = self.weights.shape[1]
        for start, weights in zip(self.starts, self.weights, strict=True):
            low, high = max(start, tile.start), min(start + field, tile.stop)
            if low < high:
                here = slice(low - start, high - start)
                yield start, slice(low - tile.start, high - tile.start), here, weights[here]
