"""What lies on a surface or was done to it: scratches, dents, specks, stains."""

import numpy as np
from scipy import ndimage

from napari_anomaly.core.data.defects.masks import blot, cloud, disc_depth, ribbon
from napari_anomaly.core.data.defects.place import Place, Window


def scratch(place: Place, rng: np.random.Generator) -> Window:
    """Draw a thin bent line: a groove whose one edge catches the light, the other lies in shadow."""
    width = rng.uniform(1, np.clip(place.size / 12, 1.2, 4))
    line = ribbon(place.size, width, rng)
    angle = rng.uniform(0, 2 * np.pi)
    edge = ndimage.shift(line, (np.sin(angle), np.cos(angle)), order=1)
    groove = line * (1 - 0.7 * edge) - 0.5 * line * edge * rng.uniform(0, 1)
    worn = 1 + 0.3 * rng.standard_normal(line.shape).clip(-2, 2)
    return added(place, towards(place, rng) * groove * worn * line)


def dent(place: Place, rng: np.random.Generator) -> Window:
    """Shade a hollow or a bump: light on one flank, shadow on the other, in proportion to the surface's brightness."""
    depth = disc_depth(place.size, rng)
    height = ndimage.gaussian_filter(depth**1.5, place.size / 10) * (depth > 0)
    slope_y, slope_x = np.gradient(height)
    light = rng.uniform(0, 2 * np.pi)
    shade = slope_y * np.sin(light) + slope_x * np.cos(light) - 0.15 * height / place.size
    rim = np.clip(3 * depth, 0, 1)
    return added(place, shade * rim * (0.1 + place.pixels.mean(axis=2)))


def speck(place: Place, rng: np.random.Generator) -> Window:
    """Put a small opaque body on the surface: a colour of its own, a lit side, the camera's noise."""
    cover = blot(place.size, rng)
    under = place.pixels[cover > 0.5]
    colour = (under if len(under) else place.pixels.reshape(-1, place.pixels.shape[2])).mean(axis=0)
    body = colour + towards(place, rng) * place.contrast * _tint(place, rng)
    y, x = np.indices(cover.shape) / place.size - len(cover) / place.size / 2
    light = rng.uniform(0, 2 * np.pi)
    lit = 1 + 0.25 * (y * np.sin(light) + x * np.cos(light))
    grain = place.noise * rng.standard_normal(cover.shape)
    return _clipped(_mixed(place.pixels, body * lit[..., None] + grain[..., None], cover))


def stain(place: Place, rng: np.random.Generator) -> Window:
    """Soak a ragged patch: the surface shows through, darker (or bleached) most at the rim."""
    cover = ndimage.gaussian_filter(cloud(place.size, rng), rng.uniform(0.3, 1.0))
    cover = np.where(cover > 0.05, cover, 0)
    soaked = cover * (0.7 + 1.2 * rng.uniform(0, 1) * (1 - cover))
    sign = towards(place, rng)
    room = place.pixels if sign < 0 else 1 - place.pixels
    return added(place, sign * soaked[..., None] * (0.1 + room) * _tint(place, rng))


def added(place: Place, change: np.ndarray) -> Window:
    """Add a change, ``(n, n)`` or ``(n, n, c)``, scaled to the place's contrast."""
    change = change[..., None] if change.ndim == 2 else change
    size = np.abs(change).max(axis=2)
    there = size > 0.1 * size.max()
    if not there.any():
        return place.pixels
    scale = place.contrast / np.sqrt(np.mean(change[there] ** 2))
    return _clipped(place.pixels + scale * change)


def towards(place: Place, rng: np.random.Generator) -> float:
    """Draw -1 for darker or 1 for brighter, where there is room for both."""
    level = float(place.pixels.mean())
    if level + 1.5 * place.contrast > 1:
        return -1.0
    return 1.0 if level < 1.5 * place.contrast else float(rng.choice([-1, 1]))


def _tint(place: Place, rng: np.random.Generator) -> np.ndarray:
    """Draw a weight for each channel, about 1: grey stays grey."""
    channels = place.pixels.shape[2]
    return np.asarray(np.ones(1) if channels == 1 else rng.uniform(0.4, 1.6, channels))


def _mixed(below: Window, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return np.asarray(below + cover[..., None] * (above - below))


def _clipped(pixels: np.ndarray) -> Window:
    return np.asarray(np.clip(pixels, 0, 1), np.float32)
