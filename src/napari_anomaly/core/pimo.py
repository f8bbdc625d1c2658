"""AUPIMO: how much of each image's defect is found where normal images show next to nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from napari_anomaly.core.metrics import PixelScores

BOUNDS = (1e-5, 1e-4)
"""Mean share of false pixels per normal image between which the overlap is averaged."""

_FEWEST_POINTS = (
    30  # of the curve within the bounds; the reference implementation refuses as many or fewer
)
_ENOUGH_POINTS = 300  # below these it warns


@dataclass(frozen=True, eq=False)
class PerImageOverlap:
    """AUPIMO of every defective image of a test set.

    Attributes
    ----------
    scores : tuple of float, or None
        In [0, 1], in the order of the images given; None where `note` says why there can be none.
    points : int
        Corners of the curve that lie within the bounds.
    note : str or None
        Why there are no scores, or that the curve is coarse.
    """

    scores: tuple[float, ...] | None
    points: int
    note: str | None


def per_image_overlap(
    normal: Sequence[PixelScores],
    defective: Sequence[PixelScores],
    bounds: tuple[float, float] = BOUNDS,
) -> PerImageOverlap:
    """Average each image's overlap over the logarithm of the false-positive rate.

    ``AUPIMO_i = 1 / ln(U / L) * integral of TPR_i d ln F`` between the bounds L and U, where the threshold goes down,
    ``TPR_i`` is the share of image i's defective pixels at or above it, and F the mean over normal images of their
    shares at or above it. Exact: no binned thresholds. Where normal pixels join alone, F rises and TPR is level;
    where pixels tie, both rise, on a straight line over ln F as in the reference implementation.

    Parameters
    ----------
    normal : sequence of PixelScores
        Images without any defective pixel.
    defective : sequence of PixelScores
        Images with at least one.
    bounds : (float, float)
        L and U, with 0 < L < U <= 1.

    Returns
    -------
    PerImageOverlap
        Without scores if either group is empty, if the curve has at most 30 corners within the bounds, or if its
        first corner lies above L: normal images have too few pixels, or too many equal ones, to resolve that rate.

    References
    ----------
    Bertoldo et al. 2024, "AUPIMO: Redefining visual anomaly detection benchmarks with high speed and low tolerance",
    https://arxiv.org/abs/2401.01984, section 3; numbers of points: https://github.com/jpcbertoldo/aupimo
    """
    low, high = bounds
    if not 0 < low < high <= 1:
        raise ValueError(f"Found AUPIMO bounds {low:g} and {high:g}; expected 0 < L < U <= 1.")
    if not (normal and defective):
        return PerImageOverlap(None, 0, "no normal test image, or no defect with a mask")
    values, rates = _shared_rate([one.normal for one in normal], high)
    points = int(np.count_nonzero((rates >= low) & (rates <= high)))
    if points <= _FEWEST_POINTS or rates[0] > low:
        pixels = sum(one.normal.size for one in normal)
        return PerImageOverlap(
            None,
            points,
            f"the {pixels} pixels of {len(normal)} normal images give {points} points of the curve between "
            f"{low:g} and {high:g}, from {rates[0]:.2g} on; more than {_FEWEST_POINTS} are needed, and a first one "
            f"at {low:g} or below",
        )
    scores = tuple(_area(one.defective, values, rates, bounds) for one in defective)
    coarse = f"coarse: {points} points of the curve, {_ENOUGH_POINTS} are recommended"
    return PerImageOverlap(scores, points, None if points >= _ENOUGH_POINTS else coarse)


def _shared_rate(
    images: Sequence[Real[np.ndarray, " _"]], high: float
) -> tuple[Real[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Distinct values of normal pixels, falling, until F exceeds `high`; F at or above each."""
    tops, weights = [], []
    for image in images:
        most = min(image.size, math.floor(high * len(images) * image.size) + 1)
        top = image[image >= np.partition(image, image.size - most)[image.size - most]]
        tops.append(top)
        weights.append(np.full(len(top), 1 / (image.size * len(images))))
    values, weight = np.concatenate(tops), np.concatenate(weights)
    order = np.argsort(values)[::-1]
    values, rates = values[order], np.cumsum(weight[order])
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    values, rates = values[last], rates[last]
    end = int(np.searchsorted(rates, high, side="right")) + 1  # the corner that leaves the bounds
    return values[:end], rates[:end]


def _area(
    defective: Real[np.ndarray, " _"],
    values: Real[np.ndarray, " k"],
    rates: Float[np.ndarray, " k"],
    bounds: tuple[float, float],
) -> float:
    """Area under one image's curve, trapezoids over ln F, cut at the bounds."""
    rising = np.sort(defective)
    m = len(rising)
    before = (
        m - np.searchsorted(rising, values, side="right")
    ) / m  # strictly above: joined already
    after = (m - np.searchsorted(rising, values, side="left")) / m
    # From each corner a level way at `before` up to the next value's F, or a slope to `after` where pixels tie.
    x = np.log(rates)
    start = np.concatenate([x[:1], x[:-1]])
    low, high = np.log(bounds)
    left, right = np.clip(start, low, high), np.clip(x, low, high)
    width = x - start  # none at the first corner, where nothing is to be added
    slope = np.divide(after - before, width, out=np.zeros_like(width), where=width > 0)
    height = before + slope * ((left + right) / 2 - start)
    return float(np.clip(np.sum(height * (right - left)) / (high - low), 0, 1))
