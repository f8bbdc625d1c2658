"""Image and reconstruction in, residual map out. Both lie in [0, 1], so that numbers mean the same for every method."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "n y x c"]
Maps = Float[Array, "n y x"]

_LUMINANCE = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, as scikit-image's rgb2gray


def absolute(image: Images, reconstruction: Images) -> Images:
    """``|x - y|`` of each channel."""
    return jnp.abs(image - reconstruction)


def squared(image: Images, reconstruction: Images) -> Images:
    """``(x - y)^2`` of each channel."""
    return (image - reconstruction) ** 2


def dissimilarity(image: Images, reconstruction: Images) -> Images:
    """``(1 - SSIM) / 2`` of each channel: 0 where structure agrees, at most 1.

    Gaussian window of 11 pixels, sigma 1.5, K1 = .01, K2 = .03, intensities in [0, 1]; mirrored borders.

    References
    ----------
    Wang et al. 2004, doi:10.1109/TIP.2003.819861, eq. 13.
    """
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = _window(image), _window(reconstruction)
    variance_x = _window(image**2) - mean_x**2
    variance_y = _window(reconstruction**2) - mean_y**2
    covariance = _window(image * reconstruction) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (1 - luminance * structure) / 2


def _window(images: Images) -> Images:
    return blur(images, 1.5, radius=5)


def blur(images: Images, sigma: float, *, radius: int | None = None) -> Images:
    """Gaussian of ``sigma`` pixels along y and x, cut at ``radius`` (4 sigma), mirrored borders.

    Two matrix products: XLA's CPU convolution of single channels takes many times longer.
    """
    if sigma == 0:
        return images
    rows, columns = (_gaussian(side, sigma, radius) for side in images.shape[1:3])
    return _along_x(columns, _along_y(rows, images))


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
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    here = np.arange(side)[:, None]
    there = (here + offsets) % (2 * side)  # mirrored as often as the radius is longer than the line
    matrix = np.zeros((side, side))
    np.add.at(matrix, (here, np.minimum(there, 2 * side - 1 - there)), weights / weights.sum())
    return matrix.astype(np.float32)


_KINDS = {"absolute": absolute, "squared": squared, "ssim": dissimilarity}


def residual_map(
    image: Images,
    reconstruction: Images,
    *,
    kind: Literal["absolute", "squared", "ssim"] = "absolute",
    colour: Literal["channels", "grey"] = "channels",
    weight: Images | None = None,
) -> Maps:
    """One map per image: the residual's mean over the channels, or the residual of the grey images.

    Parameters
    ----------
    image, reconstruction : arrays, ``(n, y, x, c)`` in [0, 1]
    kind : {"absolute", "squared", "ssim"}
        ``ssim`` is ``(1 - SSIM) / 2``.
    colour : {"channels", "grey"}
    weight : array, ``(n, y, x, c)``, optional
        Multiplies differences before the mean over the channels: ``w |x - y|`` and ``(w (x - y))^2``; of ``ssim``,
        which is no difference, the result.

    Returns
    -------
    array, ``(n, y, x)``, in [0, 1] where both inputs are and nothing is weighted
    """
    if colour == "grey" and image.shape[-1] == 3:
        weights = jnp.asarray(_LUMINANCE)[:, None]
        image, reconstruction = image @ weights, reconstruction @ weights
        weight = None if weight is None else weight @ weights
    residual = _KINDS[kind](image, reconstruction)
    if weight is not None:
        residual = residual * (weight**2 if kind == "squared" else weight)
    return residual.mean(-1)


def stretch(maps: Maps, shape: tuple[int, int], *, smooth: float = 0.0) -> Float[Array, "n v u"]:
    """Bring maps of a coarser scale onto a grid, bilinearly, pixel centres aligned, and :func:`blur` them there.

    Both at once, as two matrix products: the coarser the maps, the smaller the matrices.
    """
    if smooth == 0 and maps.shape[1:] == shape:
        return maps
    rows, columns = map(partial(_stretched, smooth=smooth), maps.shape[1:], shape)
    return _along_x(columns, _along_y(rows, maps))


def _stretched(coarse: int, fine: int, *, smooth: float) -> np.ndarray:
    """Matrix ``(fine, coarse)`` that interpolates a line of pixels, then smooths it."""
    centres = (np.arange(fine) + 0.5) * coarse / fine - 0.5
    columns = [np.interp(centres, np.arange(coarse), unit) for unit in np.eye(coarse)]
    matrix = np.stack(columns, axis=1).astype(np.float32)
    return matrix if smooth == 0 else _gaussian(fine, smooth, None) @ matrix
