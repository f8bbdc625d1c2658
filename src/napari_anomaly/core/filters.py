"""Smoothing, shrinking and stretching of images along y and x; borders are mirrored.

Linear filters are products with banded matrices: XLA's CPU convolution of single channels takes many times longer.
"""

from collections.abc import Iterator
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "n y x c"]


def blur(images: Images, sigma: float, *, radius: int | None = None) -> Images:
    """Gaussian of ``sigma`` pixels along y and x, cut at ``radius`` (4 sigma)."""
    if sigma == 0:
        return images
    rows, columns = (_gaussian(side, sigma, radius) for side in images.shape[1:3])
    return _along_x(columns, _along_y(rows, images))


def box(images: Images, radius: int) -> Images:
    """Mean of the square of ``2 radius + 1`` pixels around each."""
    weights = np.full(2 * radius + 1, 1 / (2 * radius + 1))
    rows, columns = (_mirrored(side, weights) for side in images.shape[1:3])
    return _along_x(columns, _along_y(rows, images))


def slopes(images: Images) -> tuple[Images, Images]:
    """Derivatives along y and x: Prewitt's 3 x 3 kernels, divided by 3."""
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    beside = (padded[:, :, :width] + padded[:, :, 1:-1] + padded[:, :, 2:]) / 3
    above = (padded[:, :height] + padded[:, 1:-1] + padded[:, 2:]) / 3
    return beside[:, :-2] - beside[:, 2:], above[:, :, :-2] - above[:, :, 2:]


def halved(images: Images) -> Float[Array, "n y/2 x/2 c"]:
    """Means of 2 x 2 pixels; sides must be even."""
    n, height, width, channels = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def extended(images: Images, multiple: int) -> Float[Array, "n v u c"]:
    """Mirror images at their lower and right border until their sides are multiples of a number."""
    more = [(0, -side % multiple) for side in images.shape[1:3]]
    return jnp.pad(images, ((0, 0), *more, (0, 0)), mode="symmetric")


def stretch(
    maps: Float[Array, "n y x *c"], shape: tuple[int, int], *, smooth: float = 0.0
) -> Float[Array, "n v u *c"]:
    """Bring maps of a coarser scale onto a grid, bilinearly, pixel centres aligned, and :func:`blur` them there.

    Both at once, as two matrix products: the coarser the maps, the smaller the matrices.
    """
    if smooth == 0 and maps.shape[1:3] == shape:
        return maps
    rows, columns = map(partial(_stretched, smooth=smooth), maps.shape[1:3], shape)
    return _along_x(columns, _along_y(rows, maps))


def _along_y(matrix: np.ndarray, images: Array) -> Array:
    """``(v, y)`` times ``(n, y, x, ...)``."""
    parts = [
        jnp.einsum("vy,ny...->nv...", block, images[:, span], precision="highest")
        for span, block in _blocks(matrix)
    ]
    return jnp.concatenate(parts, axis=1)


def _along_x(matrix: np.ndarray, images: Array) -> Array:
    """``(u, x)`` times ``(n, y, x, ...)``."""
    parts = [
        jnp.einsum("ux,nyx...->nyu...", block, images[:, :, span], precision="highest")
        for span, block in _blocks(matrix)
    ]
    return jnp.concatenate(parts, axis=2)


def _blocks(matrix: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Cut a banded matrix into rows and the columns where these are not zero: time by the pixel, not its square."""
    step = max(_ROWS, -(-len(matrix) // _MOST_BLOCKS))
    for start in range(0, len(matrix), step):
        rows = matrix[start : start + step]
        used = np.flatnonzero(rows.any(0))
        span = slice(int(used[0]), int(used[-1]) + 1)
        yield span, rows[:, span]


_ROWS, _MOST_BLOCKS = 64, 16  # each block is compiled


def _gaussian(side: int, sigma: float, radius: int | None) -> np.ndarray:
    """Matrix ``(side, side)`` that smooths a line of pixels; without scipy, whose loading is a quarter of a second."""
    radius = max(1, round(4 * sigma)) if radius is None else radius
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return _mirrored(side, weights / weights.sum())


def _mirrored(side: int, weights: np.ndarray) -> np.ndarray:
    """Matrix ``(side, side)`` that weighs the neighbours of each pixel of a line, itself in the middle."""
    offsets = np.arange(len(weights)) - len(weights) // 2
    here = np.arange(side)[:, None]
    there = (here + offsets) % (2 * side)  # mirrored as often as the radius is longer than the line
    matrix = np.zeros((side, side))
    np.add.at(matrix, (here, np.minimum(there, 2 * side - 1 - there)), weights)
    return matrix.astype(np.float32)


def _stretched(coarse: int, fine: int, *, smooth: float) -> np.ndarray:
    """Matrix ``(fine, coarse)`` that interpolates a line of pixels, then smooths it."""
    centres = (np.arange(fine) + 0.5) * coarse / fine - 0.5
    columns = [np.interp(centres, np.arange(coarse), unit) for unit in np.eye(coarse)]
    matrix = np.stack(columns, axis=1).astype(np.float32)
    return matrix if smooth == 0 else _gaussian(fine, smooth, None) @ matrix
