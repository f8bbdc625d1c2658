"""A synthetic woven fabric in grey, and what goes wrong at the loom."""

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

_PITCH = 9.0  # pixels from thread to thread


@dataclass(frozen=True)
class _Cloth:
    """A plain weave before the light falls on it.

    ``warp_at`` and ``weft_at`` count threads: thread i runs where the value is i. Heights are in
    units of the pitch, brightness (albedo) in [0, 1].
    """

    warp_at: Float[np.ndarray, "y x"]
    weft_at: Float[np.ndarray, "y x"]
    warp: Float[np.ndarray, "y x"]
    weft: Float[np.ndarray, "y x"]
    warp_albedo: Float[np.ndarray, "y x"]
    weft_albedo: Float[np.ndarray, "y x"]
    light: Float[np.ndarray, "y x"]


Damage = Callable[[_Cloth, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def fabric(seed: int = 0, shape: Shape = (256, 256)) -> UInt8[np.ndarray, "y x"]:
    """Photograph a piece of sound plain-woven cloth.

    Parameters
    ----------
    seed : int
        Which piece: threads, light and sensor noise follow from it.
    shape : (y, x)
        Pixels; a thread is about 9 pixels wide whatever the shape.

    Returns
    -------
    uint8 array, ``(y, x)``
    """
    return photograph(np.random.default_rng((seed, 1)), _render(_cloth(seed, shape)), 0.018)


def fabric_with(kind: str, seed: int = 0, shape: Shape = (256, 256)) -> Picture:
    """Photograph the same piece as ``fabric(seed, shape)`` with a defect, one of `FABRIC_DEFECTS`.

    Returns
    -------
    Picture
        The image equals ``fabric(seed, shape)`` outside its mask.
    """
    cloth = _cloth(seed, shape)
    altered, mask = FABRIC_DEFECTS[kind](cloth, np.random.default_rng((seed, 2)))
    scene = np.where(mask, altered, _render(cloth))
    return Picture(photograph(np.random.default_rng((seed, 1)), scene, 0.018), mask, kind)


def _cloth(seed: int, shape: Shape) -> _Cloth:
    rng = np.random.default_rng((seed, 0))
    y, x = np.indices(shape)
    tilt = rng.normal(0, 0.008)
    warp_at = _threads(rng, (x + tilt * y) / _PITCH, shape)
    weft_at = _threads(rng, (y - tilt * x) / (1.08 * _PITCH), shape)
    warp, warp_albedo = _yarn(rng, warp_at, weft_at, streaks(rng, shape, (3.5, 0.5)), 0.62)
    weft, weft_albedo = _yarn(rng, weft_at, warp_at + 1, streaks(rng, shape, (0.5, 3.5)), 0.55)
    light = 1 + 0.03 * drift(rng, shape, 3) + rng.normal(0, 0.03)
    return _Cloth(warp_at, weft_at, warp, weft, warp_albedo, weft_albedo, light)


def _threads(rng: np.random.Generator, at: np.ndarray, shape: Shape) -> np.ndarray:
    """Displace evenly spaced threads: each a little on its own, all a little with the cloth."""
    at = at + rng.uniform(4, 5)
    own = rng.normal(0, 0.05, int(at.max()) + 4)
    return np.asarray(at + np.interp(at, np.arange(own.size), own) + 0.10 * drift(rng, shape, 4))


def _yarn(
    rng: np.random.Generator, at: np.ndarray, along: np.ndarray, fibres: np.ndarray, albedo: float
) -> tuple[np.ndarray, np.ndarray]:
    """Height and brightness of one set of threads; `along` counts the threads they cross."""
    index = np.round(at).astype(int)
    count = int(index.max()) + 2
    radius = (0.90 + 0.03 * rng.standard_normal(count))[index]
    across = 2 * (at - index) / radius
    round_top = np.sqrt(np.clip(1 - across**2, 0, 1))
    height = 0.42 * round_top + 0.26 * np.cos(np.pi * (along + index))
    twist = np.sin(2 * np.pi * (2.0 * along + 0.45 * across + rng.uniform(0, 1, count)[index]))
    shade = (1 + 0.045 * rng.standard_normal(count))[index]
    bright = albedo * shade * (1 + 0.06 * fibres + 0.05 * twist)
    return np.where(round_top > 0, height, -0.6), bright


def _render(cloth: _Cloth) -> Float[np.ndarray, "y x"]:
    top = np.maximum(cloth.warp, cloth.weft)
    albedo = np.where(cloth.warp >= cloth.weft, cloth.warp_albedo, cloth.weft_albedo)
    albedo = np.where(top <= -0.6, 0.25, albedo)
    height = ndimage.gaussian_filter(np.maximum(top, -0.45), 0.8)
    diffuse, highlight = lit(height * _PITCH * 0.55, (-0.55, -0.45, 1.0), gloss=8)
    open_sky = 0.45 + 0.55 * step(height, -0.5, 0.45)
    scene = cloth.light * open_sky * (albedo * (0.25 + 0.85 * diffuse) + 0.10 * highlight)
    return np.asarray(ndimage.gaussian_filter(scene, 0.55))


def _somewhere(rng: np.random.Generator, shape: Shape, margin: float) -> tuple[float, float]:
    y, x = (rng.uniform(min(margin, n / 2), max(n - margin, n / 2)) for n in shape)
    return y, x


def _broken_thread(
    cloth: _Cloth, rng: np.random.Generator
) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """A warp thread is missing over some picks; the weft floats there."""
    y, x = _somewhere(rng, cloth.warp.shape, 40)
    middle = cloth.weft_at[int(y), int(x)]
    thread = np.round(cloth.warp_at[int(y), int(x)])
    gone = (np.round(cloth.warp_at) == thread) & (
        np.abs(cloth.weft_at - middle) < rng.uniform(2.5, 6.0)
    )
    slack = replace(cloth, warp=np.where(gone, -0.6, cloth.warp))
    return _render(slack), gone


def _hole(cloth: _Cloth, rng: np.random.Generator) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """Both threads are gone; loose fibres hang over the dark behind."""
    shape = cloth.warp.shape
    radius = rng.uniform(6, 11)
    depth = blot(rng, shape, _somewhere(rng, shape, 24), (radius, radius * rng.uniform(1.0, 1.7)))
    depth = depth + 0.08 * streaks(rng, shape, (0.8, 0.8))
    rim = _render(cloth) * (1.12 - 0.9 * step(depth, 0.0, 0.3))
    fibres = step(streaks(rng, shape, (3, 0.6)) + streaks(rng, shape, (0.6, 3)), 2.1, 2.7)
    behind = 0.09 + 0.22 * fibres
    return np.maximum(rim, behind), _joined(depth > 0)


def _knot(cloth: _Cloth, rng: np.random.Generator) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """A lump of tangled yarn lies on the cloth."""
    shape = cloth.warp.shape
    radius = rng.uniform(7, 11)
    depth = blot(rng, shape, _somewhere(rng, shape, 20), (radius, radius * rng.uniform(1.1, 1.8)))
    strands = np.abs(streaks(rng, shape, (1.6, 1.6)))  # ridges where the field crosses zero
    depth = depth - 0.12 * strands
    lump = _PITCH * 0.4 * np.sqrt(np.clip(depth, 0, 1)) - 1.1 * np.minimum(strands, 1)
    diffuse, highlight = lit(ndimage.gaussian_filter(lump, 0.7), (-0.55, -0.45, 1.0), gloss=8)
    albedo = 0.74 - 0.16 * np.minimum(strands, 1)
    scene = cloth.light * (albedo * (0.35 + 0.75 * diffuse) + 0.08 * highlight)
    scene = scene * (0.75 + 0.25 * step(depth, 0.0, 0.25))
    return ndimage.gaussian_filter(scene, 0.55), _joined(depth > 0)


def _stain(cloth: _Cloth, rng: np.random.Generator) -> tuple[np.ndarray, Bool[np.ndarray, "y x"]]:
    """A liquid has soaked in: darker, with a darker edge where it dried."""
    shape = cloth.warp.shape
    radius = rng.uniform(9, 18)
    depth = blot(rng, shape, _somewhere(rng, shape, 28), (radius, radius * rng.uniform(1.0, 1.5)))
    edge = step(depth, 0.0, 0.06) * step(-depth, -0.3, -0.05)
    soak = 0.28 * step(depth, 0.0, 0.15) + 0.16 * edge
    return _render(cloth) * (1 - soak), _joined(depth > 0)


def _joined(region: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Keep the largest connected part, so that one defect is one region."""
    labels, _ = ndimage.label(region, np.ones((3, 3)))
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


FABRIC_DEFECTS: Mapping[str, Damage] = MappingProxyType(
    {"broken_thread": _broken_thread, "hole": _hole, "knot": _knot, "stain": _stain}
)
"""Kinds of defect a fabric can have."""
