"""A synthetic steel plate with a weld seam, in RGB, and what goes wrong at the torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from napari_anomaly.core.data.rendering import (
    Picture,
    Shape,
    blot,
    drift,
    lit,
    photograph,
    step,
    streaks,
)

_LIGHT = (-0.7, -0.35, 1.0)
_STEEL = np.array((0.50, 0.52, 0.54))
_BEAD = np.array((0.56, 0.55, 0.53))
_STRAW = np.array((0.80, 0.62, 0.30))
_PLUM = np.array((0.50, 0.36, 0.42))
_BLUE = np.array((0.34, 0.44, 0.62))


@dataclass(frozen=True)
class _Plate:
    """A welded plate before the light falls on it.

    ``across`` is the distance from the seam's middle in half widths of the seam (negative above),
    ``height`` is in pixels, ``colour`` is the albedo.
    """

    across: Float[np.ndarray, "y x"]
    half: float
    height: Float[np.ndarray, "y x"]
    colour: Float[np.ndarray, "y x 3"]
    brushed: Float[np.ndarray, "y x"]
    light: Float[np.ndarray, "y x"]


Damage = Callable[[_Plate, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def plate(seed: int = 0, shape: Shape = (256, 256)) -> UInt8[np.ndarray, "y x 3"]:
    """Photograph a sound weld: a seam from left to right across brushed steel.

    Parameters
    ----------
    seed : int
        Which plate: its place under the camera, seam, brushing, light and sensor noise.
    shape : (y, x)
        Pixels; the seam's width is a fifth of the height.

    Returns
    -------
    uint8 array, ``(y, x, 3)``
    """
    return photograph(np.random.default_rng((seed, 1)), _render(_plate(seed, shape)), 0.006)


def plate_with(kind: str, seed: int = 0, shape: Shape = (256, 256)) -> Picture:
    """Photograph the same plate as ``plate(seed, shape)`` with a defect, one of `PLATE_DEFECTS`.

    Returns
    -------
    Picture
        The image equals ``plate(seed, shape)`` outside its mask.
    """
    sound = _plate(seed, shape)
    altered, mask = PLATE_DEFECTS[kind](sound, np.random.default_rng((seed, 2)))
    scene = np.where(mask[..., None], altered, _render(sound))
    return Picture(photograph(np.random.default_rng((seed, 1)), scene, 0.006), mask, kind)


def _plate(seed: int, shape: Shape) -> _Plate:
    rng = np.random.default_rng((seed, 0))
    y, x = np.indices(shape)
    tilt, wander = rng.normal(0, 0.010), drift(rng, (1, shape[1]), 5)[0]
    middle = shape[0] * (0.5 + rng.normal(0, 0.015) + 0.004 * wander)
    half = shape[0] * 0.10 * (1 + rng.normal(0, 0.03))
    width = half * (1 + 0.03 * drift(rng, (1, shape[1]), 12)[0])
    across = (y - middle - tilt * (x - shape[1] / 2)) / width
    brushed = 0.6 * streaks(rng, shape, (0.45, 24)) + 0.4 * streaks(rng, shape, (0.8, 6))
    light = 1 + 0.06 * drift(rng, shape, 3) + 0.10 * (y / shape[0] - 0.5) + rng.normal(0, 0.02)
    height = _bead(rng, across, x, half)
    return _Plate(across, half, height, _tempered(rng, across), brushed, light)


def _bead(
    rng: np.random.Generator, across: np.ndarray, x: np.ndarray, half: float
) -> Float[np.ndarray, "y x"]:
    """A round bead made of overlapping drops, each ending in a crescent."""
    dome = np.sqrt(np.clip(1 - across**2, 0, 1))
    period = 0.42 * half
    travel = (x - 0.9 * half * dome) / period + rng.uniform(5, 6)
    beat = rng.normal(0, 0.10, int(travel.max()) + 3)
    travel = travel + np.interp(travel, np.arange(beat.size), beat)
    drops = np.abs(np.sin(np.pi * travel)) ** 0.8
    return np.asarray(half * (0.34 * dome + 0.055 * drops * np.sqrt(dome)))


def _tempered(rng: np.random.Generator, across: np.ndarray) -> Float[np.ndarray, "y x 3"]:
    """Steel with the colours that heat leaves: straw beside the seam, then plum, then blue."""
    shape = (across.shape[0], across.shape[1])
    away = np.abs(across) - 1 + 0.10 * drift(rng, shape, 6)
    colour = np.where((np.abs(across) < 1)[..., None], _BEAD, _STEEL)
    for tint, start, end, strength in (
        (_STRAW, 0.0, 0.45, 0.45),
        (_PLUM, 0.40, 0.75, 0.35),
        (_BLUE, 0.65, 1.35, 0.40),
    ):
        band = step(away, start - 0.1, start + 0.15) * (1 - step(away, end - 0.2, end + 0.15))
        colour = colour + (strength * band)[..., None] * (tint - colour)
    return np.asarray(colour)


def _render(plate: _Plate) -> Float[np.ndarray, "y x 3"]:
    bare = 1 - 0.75 * step(1 - np.abs(plate.across), 0.0, 0.2) * step(plate.height, 0.0, 1.0)
    diffuse, highlight = lit(
        ndimage.gaussian_filter(plate.height, 0.7) + 0.10 * bare * plate.brushed, _LIGHT, gloss=25
    )
    toe = 1 - 0.35 * np.exp(-(((np.abs(plate.across) - 1) / 0.10) ** 2)) * (plate.height < 3)
    grain = 1 + 0.07 * bare * plate.brushed
    matt = plate.colour * (grain * plate.light * (0.20 + 0.85 * diffuse) * toe)[..., None]
    scene = matt + (0.42 * plate.light * highlight)[..., None]
    return np.asarray(ndimage.gaussian_filter(scene, (0.5, 0.5, 0)))


def _on_seam(plate: _Plate, rng: np.random.Generator, margin: float) -> tuple[float, float]:
    width = plate.across.shape[1]
    x = rng.uniform(min(margin, width / 2), max(width - margin, width / 2))
    column = plate.across[:, int(x)]
    return float(np.argmin(np.abs(column - rng.uniform(-0.45, 0.45)))), x


def _missing_seam(
    plate: _Plate, rng: np.random.Generator
) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """The torch paused: no bead over a stretch, the joint lies open."""
    x = np.indices(plate.across.shape)[1]
    length = plate.half * rng.uniform(1.0, 2.2)
    start = rng.uniform(0.5 * length, max(plate.across.shape[1] - 1.5 * length, length))
    end_shape = 0.5 * plate.half * np.sqrt(np.clip(1 - plate.across**2, 0, 1))
    seam = np.abs(plate.across) < 1.02
    gone = seam & (x > start + end_shape) & (x < start + length + end_shape)
    open_joint = np.exp(-((plate.across * plate.half / 1.3) ** 2))
    colour = np.where(seam[..., None], 0.8 * _STEEL + 0.1 * _PLUM, plate.colour)
    flat = replace(plate, height=np.zeros_like(plate.height), colour=colour)
    return _render(flat) * (1 - 0.85 * open_joint)[..., None], gone


def _pore(plate: _Plate, rng: np.random.Generator) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """Gas has left a few round holes in the bead."""
    shape = plate.across.shape
    centre = _on_seam(plate, rng, 3 * plate.half)
    depth = np.full(shape, -1.0)
    for _ in range(int(rng.integers(1, 4))):
        radius = plate.half * rng.uniform(0.10, 0.20)
        shift = rng.normal(0, 0.3 * plate.half, 2) * (0.6, 1.6)
        place = (centre[0] + shift[0], centre[1] + shift[1])
        depth = np.maximum(depth, blot(rng, shape, place, (radius, 1.2 * radius), 0.06))
    pit = replace(plate, height=plate.height - 5 * step(depth, -0.1, 0.5))
    return _render(pit) * (1 - 0.8 * step(depth, 0.1, 0.45))[..., None], depth > 0


def _spatter(plate: _Plate, rng: np.random.Generator) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """Drops of metal have landed on the plate beside the seam."""
    shape = plate.across.shape
    side = rng.choice((-1, 1))
    x0 = rng.uniform(0.2, 0.8) * shape[1]
    drops = np.full(shape, -1.0)
    for _ in range(int(rng.integers(4, 10))):
        radius = plate.half * rng.uniform(0.07, 0.20)
        x = np.clip(x0 + rng.normal(0, 1.4 * plate.half), 4, shape[1] - 5)
        column = plate.across[:, int(x)]
        y = np.argmin(np.abs(column - side * rng.uniform(1.4, 3.2)))
        drops = np.maximum(drops, blot(rng, shape, (float(y), x), (radius, 1.1 * radius), 0.08))
    dome = 0.22 * plate.half * np.sqrt(np.clip(drops, 0, 1))
    colour = plate.colour + 0.5 * (drops > 0)[..., None] * (0.9 * _BEAD - plate.colour)
    landed = replace(
        plate, height=plate.height + dome, colour=colour, brushed=plate.brushed * (drops <= 0)
    )
    return _render(landed) * (1 - 0.35 * step(-drops, -0.25, 0.0))[..., None], drops > 0


def _crack(plate: _Plate, rng: np.random.Generator) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """A jagged crack runs along the seam, widest in its middle."""
    y, x = np.indices(plate.across.shape)
    length = plate.half * rng.uniform(2.5, 5)
    y0, x0 = _on_seam(plate, rng, length / 2 + 4)
    t = (x - x0) / (length / 2)
    jag = np.cumsum(rng.normal(0, 0.55, plate.across.shape[1]))
    jag -= np.interp(x0, np.arange(jag.size), jag)
    path = y0 + rng.normal(0, 0.12) * (x - x0) + 0.8 * jag
    opening = 0.035 * plate.half * np.sqrt(np.clip(1 - t**2, 0, 1)) + 0.5
    depth = 1 - np.abs(y - path) / opening
    mask = (depth > -0.6) & (np.abs(t) < 1)
    return _render(plate) * (1 - 0.82 * step(depth, -0.6, 0.5))[..., None], mask


def _discoloration(
    plate: _Plate, rng: np.random.Generator
) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """Too much heat, too little gas: a burnt patch in blue and brown."""
    shape = plate.across.shape
    x = rng.uniform(0.2, 0.8) * shape[1]
    side = rng.choice((-1.0, 1.0)) * rng.uniform(1.8, 2.8)
    y = float(np.argmin(np.abs(plate.across[:, int(x)] - side)))
    radius = plate.half * rng.uniform(0.6, 1.0)
    depth = blot(rng, shape, (y, x), (radius, radius * rng.uniform(1.2, 1.9)))
    burnt = (0.8 * step(depth, 0.0, 0.5))[..., None]
    ring = step(depth, 0.2, 0.7)[..., None]
    tint = 0.75 * (ring * _BLUE + (1 - ring) * _STRAW)
    return _render(replace(plate, colour=plate.colour + burnt * (tint - plate.colour))), depth > 0


PLATE_DEFECTS: Mapping[str, Damage] = MappingProxyType(
    {
        "crack": _crack,
        "discoloration": _discoloration,
        "missing_seam": _missing_seam,
        "pore": _pore,
        "spatter": _spatter,
    }
)
"""Kinds of defect a plate can have."""
