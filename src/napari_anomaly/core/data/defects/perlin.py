"""Perlin's gradient noise: random, smooth, of one size of grain."""

import numpy as np
from jaxtyping import Float


def perlin(
    shape: tuple[int, int], cells: tuple[float, float], rng: np.random.Generator
) -> Float[np.ndarray, "y x"]:
    """Draw Perlin noise.

    Parameters
    ----------
    shape : (y, x)
        Pixels.
    cells : (y, x)
        Cells of the lattice along each side, at least 1; fractions are fine. Grains are about a cell large.
    rng : numpy.random.Generator

    Returns
    -------
    float32 array, ``(y, x)``
        Within [-1, 1], 0 at the lattice's corners, the first of which is pixel (0, 0).

    References
    ----------
    Perlin 2002, Improving noise, https://doi.org/10.1145/566654.566636 (the quintic weights).
    """
    (row, down), (column, across) = (_steps(*side) for side in zip(shape, cells, strict=True))
    bearing = rng.uniform(0, 2 * np.pi, (row[-1] + 2, column[-1] + 2)).astype(np.float32)
    slopes = np.sin(bearing), np.cos(bearing)

    def pull(below: int, right: int) -> np.ndarray:
        """Return the height over each pixel of the plane through a corner of its cell."""
        corner = np.ix_(row + below, column + right)
        rise = slopes[0][corner] * (down - below)[:, None]
        return np.asarray(rise + slopes[1][corner] * (across - right))

    v, h = _fade(down)[:, None], _fade(across)
    top = pull(0, 0) * (1 - h) + pull(0, 1) * h
    bottom = pull(1, 0) * (1 - h) + pull(1, 1) * h
    return np.asarray(np.sqrt(2) * (top * (1 - v) + bottom * v), np.float32)


def rough(
    shape: tuple[int, int], cells: float, rng: np.random.Generator, octaves: int = 3
) -> Float[np.ndarray, "y x"]:
    """Add up Perlin noise of ever finer grain and lesser height; about unit spread, ``(y, x)`` float32."""
    layers = [
        0.6**k * perlin(shape, (cells * 2**k, cells * 2**k), rng)
        for k in range(octaves)
        if k == 0 or cells * 2**k <= min(shape) / 2
    ]
    total = np.sum(layers, axis=0)
    return np.asarray(total / max(float(total.std()), 1e-6), np.float32)


def _steps(pixels: int, cells: float) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's cell, and how far into the cell it lies, in [0, 1)."""
    at = np.arange(pixels) * (cells / pixels)
    cell = at.astype(int)
    return cell, (at - cell).astype(np.float32)


def _fade(t: np.ndarray) -> np.ndarray:
    return np.asarray(t**3 * (t * (6 * t - 15) + 10))
