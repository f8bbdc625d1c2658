"""Where the object is, on images of an object before a plain background; textures fill the frame."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from napari_anomaly.core.data.defects.place import Pixels

_SIDE = 256  # pixels that a side is looked at with, at most
_RING = 0.03  # of the shorter side: what counts as the border
_FAINTEST = 0.04  # difference from the background, in [0, 1], below which nothing is an object
_LEVELS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_HOLE = 0.02  # of the object: larger holes are background
_STEEP = 0.7  # of the steepest outline

Farness = Float[np.ndarray, "v u"]
"""Difference from the background's colour on a coarse grid; above 1 is not background."""

Coarse = Bool[np.ndarray, "v u"]


def has_background(images: Sequence[Pixels]) -> bool:
    """Tell whether normal images show an object before a plain background, wherever it lies.

    The border is plain where a tilted plane describes it. There is an object if over all images far fewer pixels of the
    border differ from it than of the rest, if what differs is a body, not scattered dots, and if it has an edge: light
    that falls off is no object. What reaches across the whole frame, as a seam does, is none either.

    Parameters
    ----------
    images : sequence of float32 arrays, ``(y, x, c)`` in [0, 1]
        Normal ones; a few are enough.

    Returns
    -------
    bool
    """
    border, rest, bodies, edges = np.transpose([_looks(image) for image in images])
    apart = bool(rest.mean() > 0.02 and border.mean() < 0.35 * rest.mean())
    return apart and bool(np.median(bodies) > 0.5 and np.median(edges) > 0.12)


def foreground_of(image: Pixels) -> Bool[np.ndarray, "y x"]:
    """Find the object of an image with a plain background.

    Its outline is the faintest one that is nearly as steep as the steepest, at half its height: the shadow around an
    object is no part of it.

    Parameters
    ----------
    image : float32 array, ``(y, x, c)`` in [0, 1]

    Returns
    -------
    bool array, ``(y, x)``
        True on the object, its highlights included; everywhere if none stands out.
    """
    far, size = _farness(image)
    level = _level(far)[0]
    body = _body(far > max(level, _half_height(far, level)))
    if not 0.005 < body.mean() < 0.98:
        return np.ones(image.shape[:2], bool)
    return body if size == 1 else _enlarged(body, size, image.shape[:2])


def _looks(image: Pixels) -> tuple[float, float, float, float]:
    """Shares that differ from the background: of the border, of the rest; of those, in bodies; the outline's slope."""
    far, _ = _farness(image)
    level, slope = _level(far)
    differs, ring = far > level, _ring(far.shape)
    body = ndimage.binary_opening(differs, iterations=2)
    share = (body & differs).sum() / max(differs.sum(), 1)
    return float(differs[ring].mean()), float(differs[~ring].mean()), float(share), slope


def _farness(image: Pixels) -> tuple[Farness, int]:
    """Compare with the background's colour; also return by how much the grid is coarser."""
    size = ceil(max(image.shape[:2]) / _SIDE)
    pad = [(0, -side % size) for side in image.shape[:2]]
    blocks = np.pad(image, [*pad, (0, 0)], mode="edge") if size > 1 else image
    v, u = (side // size for side in blocks.shape[:2])
    small = blocks.reshape(v, size, u, size, -1).mean(axis=(1, 3))
    soft = ndimage.gaussian_filter(small, (1, 1, 0), truncate=3)
    ring = _ring((v, u))
    difference = np.abs(soft - _plane(soft, ring)).max(axis=2)
    spread = float(np.median(difference[ring])) / 0.6745
    return difference / max(4 * spread, _FAINTEST), size


def _level(far: Farness) -> tuple[float, float]:
    """Choose at which farness the object begins; also return the slope there, per pixel and relative to the level."""
    slopes = np.hypot(*np.gradient(far))
    every = 2 if min(far.shape) >= 128 else 1  # a choice among few levels needs no more
    far, slopes = far[::every, ::every], slopes[::every, ::every]
    steep = [_slope_along(far > level, slopes) for level in _LEVELS]
    chosen = next(k for k, one in enumerate(steep) if one >= _STEEP * max(steep))
    return _LEVELS[chosen], steep[chosen] / _LEVELS[chosen]


def _half_height(far: Farness, level: float) -> float:
    """Return the farness in the middle of an outline: half of what lies just inside, where that is low."""
    around = _outside(far > level)
    inside = ndimage.binary_dilation(around, iterations=3)
    inside &= ~ndimage.binary_dilation(around, iterations=2)
    return float(np.quantile(far[inside], 0.25)) / 2 if inside.any() else level


def _slope_along(differs: Coarse, slopes: Farness) -> float:
    """Return the median slope along the outlines that face the border."""
    around = _outside(differs)
    outline = ndimage.binary_dilation(around) & ~around
    return float(np.median(slopes[outline])) if outline.any() else 0.0


def _outside(differs: Coarse) -> Coarse:
    """Find the background that hangs together with the border."""
    labels, count = ndimage.label(~differs)
    at_border = np.zeros(count + 1, bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        at_border[side] = True
    at_border[0] = False
    return np.asarray(at_border[labels])


def _body(differs: Coarse) -> Coarse:
    """Close small gaps, fill small holes (highlights), and drop dots; through large holes the background shows."""
    reach = max(1, round(0.01 * min(differs.shape)))
    padded = np.pad(differs, reach, mode="edge")
    closed = ndimage.binary_closing(padded, iterations=reach)[reach:-reach, reach:-reach]
    closed |= differs
    filled = ~(_outside(closed) | _large(~closed, _HOLE * closed.sum()))
    return _large(filled, 0.1 * np.bincount(ndimage.label(filled)[0].ravel())[1:].max(initial=0))


def _large(mask: Coarse, area: float) -> Coarse:
    """Keep the pieces of a mask with so many pixels, at least."""
    labels, _ = ndimage.label(mask)
    keep = np.bincount(labels.ravel()) >= area
    keep[0] = False
    return np.asarray(keep[labels])


def _ring(shape: tuple[int, ...]) -> Coarse:
    width = max(1, round(_RING * min(shape)))
    ring = np.ones(shape, bool)
    ring[width:-width, width:-width] = False
    return ring


def _plane(soft: np.ndarray, ring: Coarse) -> np.ndarray:
    """Fit a tilted plane to the border's colours, without those far from it: objects may touch the border."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in ring.shape), indexing="ij")
    terms = np.stack([np.ones_like(y), y, x], axis=-1)
    design, colours = terms[ring], soft[ring]
    plane = np.zeros((3, soft.shape[2]))
    plane[0] = np.median(colours, axis=0)
    for _ in range(4):
        off = np.abs(colours - design @ plane).max(axis=1)
        near = off <= max(3 * float(np.median(off)), _FAINTEST / 2)
        plane = np.linalg.lstsq(design[near], colours[near], rcond=None)[0]
    return np.asarray(terms @ plane)


def _enlarged(body: Coarse, size: int, shape: tuple[int, ...]) -> Bool[np.ndarray, "y x"]:
    """Bring a mask of blocks onto the pixels' grid, its outline smooth."""
    y, x = ((np.arange(side) + 0.5) / size - 0.5 for side in shape)
    smooth = body.astype(np.float32)
    for axis, at in enumerate((y, x)):
        last = smooth.shape[axis] - 1
        low = np.clip(np.floor(at), 0, max(last - 1, 0)).astype(int)
        share = np.clip(at - low, 0, 1).reshape((-1, 1) if axis == 0 else (1, -1))
        upper = smooth.take(np.minimum(low + 1, last), axis)
        smooth = smooth.take(low, axis) * (1 - share) + upper * share
    return np.asarray(smooth > 0.5)
