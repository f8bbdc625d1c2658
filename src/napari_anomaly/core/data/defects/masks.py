"""Shapes of defects: covers in [0, 1] on a square window, soft only over the pixel at their edge.

Each is drawn from a size, the most pixels it may measure along either side, and a generator; the window is `side_of`
that size and its outermost pixels are free.
"""

from math import ceil

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.data.defects.perlin import rough

Cover = Float[np.ndarray, "n n"]

_MARGIN = 2  # pixels around a shape: blending needs neighbours


def side_of(size: float) -> int:
    """Pixels along a side of the window for a shape of a size: odd, so that there is a middle."""
    return (ceil(size) // 2) * 2 + 1 + 2 * _MARGIN


def blot(size: float, rng: np.random.Generator) -> Cover:
    """Draw an irregular ellipse."""
    return _edge(_blot_depth(size, rng), size)


def disc_depth(size: float, rng: np.random.Generator) -> Cover:
    """Draw a blot as a hill: 0 at its edge and outside, 1 at the deepest place."""
    depth = np.clip(_blot_depth(size, rng), 0, None)
    return np.asarray(depth / max(float(depth.max()), 1e-6), np.float32)


def box(size: float, rng: np.random.Generator, aspect: tuple[float, float] = (0.3, 1.0)) -> Cover:
    """Draw a rectangle, turned any way; its short side is `aspect` times its long one, at least a pixel."""
    along, across = _turned(size, rng)
    ratio = rng.uniform(*aspect)
    long = size / np.hypot(1, ratio) / 2
    short = max(long * ratio, 1.0)
    return _edge(np.minimum(long - np.abs(along), short - np.abs(across)) - 0.5, size)


def ribbon(size: float, width: float, rng: np.random.Generator) -> Cover:
    """Draw a bent line of a width in pixels, thinner towards its ends."""
    reach = max(size / 2 - width / 2 - 0.5, 0.5)
    angle, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.25)
    t = np.linspace(-1, 1, max(8, min(64, int(size))))
    along, across = reach * t * np.cos(bend), reach * (t**2 - 0.5) * np.sin(bend)
    knots = (along + 1j * across) * np.exp(1j * angle)  # y + ix
    start, step = knots[:-1], np.diff(knots)
    y, x = _centred(size)
    there = (y + 1j * x)[..., None] - start
    share = np.clip((there * step.conj()).real / np.maximum(np.abs(step) ** 2, 1e-9), 0, 1)
    distance = np.abs(there - share * step)
    half = width / 2 * np.sqrt(np.clip(1 - 0.8 * (t[:-1] + t[1:]) ** 2 / 4, 0.1, 1))
    return _edge((half - distance).max(axis=-1), size)


def cloud(size: float, rng: np.random.Generator) -> Cover:
    """Draw a ragged patch, cut out of Perlin noise, in one piece or several."""
    depth = disc_depth(size, rng)
    n = len(depth)
    noise = np.clip(rough((n, n), max(1.0, n / rng.uniform(6, 24)), rng), -1.5, 1.5)
    field = 3 * depth - 1 + noise
    return np.asarray(np.clip(2 * field, 0, 1) * (depth > 0), np.float32)


def _blot_depth(size: float, rng: np.random.Generator) -> np.ndarray:
    """Pixels from the edge of a blot inwards, along the ray from the middle."""
    along, across = _turned(size, rng)
    bearing, far = np.arctan2(across, along), np.hypot(across, along)
    flat = max(rng.uniform(0.45, 1.0), min(1.0, 2 / size))
    order = np.arange(2, 7)
    height, phase = rng.normal(0, 0.25, 5) / order, rng.uniform(0, 2 * np.pi, 5)

    def reach(angle: np.ndarray) -> np.ndarray:
        round_about = 1 / np.hypot(np.cos(angle), np.sin(angle) / flat)
        waves = (height * np.cos(order * angle[..., None] + phase)).sum(axis=-1)
        return np.asarray(round_about * np.clip(1 + waves, 0.5, 1.6))

    longest = reach(np.linspace(0, 2 * np.pi, 64)).max()
    return np.asarray(reach(bearing) / longest * (size / 2 - 0.5) - far)


def _edge(depth: np.ndarray, size: float) -> Cover:
    """Turn pixels from the edge inwards into a cover, no wider than a size."""
    y, x = _centred(size)
    fits = np.maximum(np.abs(y), np.abs(x)) <= (size - 1) / 2
    return np.asarray(np.clip(depth + 0.5, 0, 1) * fits, np.float32)


def _centred(size: float) -> tuple[np.ndarray, np.ndarray]:
    n = side_of(size)
    line = np.arange(n, dtype=np.float32) - n // 2
    return line[:, None], line[None, :]


def _turned(size: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = _centred(size)
    angle = rng.uniform(0, np.pi)
    return y * np.sin(angle) + x * np.cos(angle), y * np.cos(angle) - x * np.sin(angle)
