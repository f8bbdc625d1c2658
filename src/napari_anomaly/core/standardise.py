"""Residuals measured against what held-out normals show, so that a constant edge is no news."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.errors import CheckpointError

Residuals = Float[np.ndarray, "s y x"]
"""One image's residual maps, one for each of the method's scales."""

_SMOOTH = 4.0  # pixels; neighbours share their statistics
_PRIOR = 10.0  # images that the statistics over all places are worth
_FLOOR = 0.1  # of the overall deviation: keeps places that never vary from dividing by nothing


@dataclass(frozen=True)
class Moments:
    """Sums over images of residuals and of their squares, ``(s, y, x)`` float64; removable one by one."""

    count: int
    first: Float[np.ndarray, "s y x"]
    second: Float[np.ndarray, "s y x"]

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> "Moments":
        """Start with no image."""
        return cls(0, np.zeros(shape), np.zeros(shape))

    def add(self, residuals: Residuals) -> "Moments":
        """Return the moments with one more image."""
        wide = residuals.astype(np.float64)
        return type(self)(self.count + 1, self.first + wide, self.second + wide**2)

    def without(self, residuals: Residuals) -> "Moments":
        """Return the moments with one of the images taken out again."""
        wide = residuals.astype(np.float64)
        return type(self)(self.count - 1, self.first - wide, self.second - wide**2)


@dataclass(frozen=True)
class Standardisation:
    """``z = (r - mean) / std`` per scale and place, averaged over the scales.

    Attributes
    ----------
    mean, std : float32 array, ``(s, y, x)``, or ``(s, 1, 1)`` where all places share them
    """

    mean: Float[np.ndarray, "s y x"]
    std: Float[np.ndarray, "s y x"]

    @classmethod
    def of(cls, moments: Moments, kind: Literal["place", "texture", "none"]) -> "Standardisation":
        """Learn from the moments of held-out normals.

        ``place`` smooths mean and variance over neighbours (Gaussian, 4 px) and shrinks them to their averages over
        all places by ``n / (n + 10)``; ``texture`` uses mean and variance over all places alone; ``none`` leaves
        residuals as they are.
        """
        scales = len(moments.first)
        if kind == "none" or moments.count == 0:
            return cls(np.zeros((scales, 1, 1), np.float32), np.ones((scales, 1, 1), np.float32))
        mean, second = moments.first / moments.count, moments.second / moments.count
        if kind == "place":
            from scipy.ndimage import gaussian_filter

            mean, second = (gaussian_filter(one, (0, _SMOOTH, _SMOOTH)) for one in (mean, second))
            # differences between places are no variance: a constant edge must not hide what varies little
            variance = np.maximum(second - mean**2, 0)
            usual = variance.mean((1, 2), keepdims=True)
            weight = moments.count / (moments.count + _PRIOR)
            variance = weight * variance + (1 - weight) * usual
            mean = weight * mean + (1 - weight) * mean.mean((1, 2), keepdims=True)
        else:
            mean = mean.mean((1, 2), keepdims=True)
            usual = variance = np.maximum(second.mean((1, 2), keepdims=True) - mean**2, 0)
        std = np.sqrt(variance) + _FLOOR * np.sqrt(usual)
        std = np.where(std > 0, std, 1.0)  # normals without any residual
        return cls(mean.astype(np.float32), std.astype(np.float32))

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> "Standardisation":
        """Rebuild from :meth:`arrays`.

        Raises
        ------
        CheckpointError
            Naming what does not fit.
        """
        if set(arrays) != {"mean", "std"}:
            raise CheckpointError(
                f"found standardisation arrays {sorted(arrays)}; expected mean and std"
            )
        mean, std = arrays["mean"], arrays["std"]
        for name, one in arrays.items():
            fits = one.ndim == 3 and one.shape == mean.shape and one.dtype == np.float32
            if not (fits and np.isfinite(one).all() and (std > 0).all()):
                raise CheckpointError(
                    f"found the standardisation's {name} with shape {one.shape} and dtype {one.dtype}; expected "
                    "finite float32 (scale, y, x), with deviations above 0"
                )
        return cls(mean, std)

    def apply(self, residuals: Residuals) -> Float[np.ndarray, "y x"]:
        """Return the standardised map ``(y, x)`` float32 of one image."""
        z: Float[np.ndarray, "y x"] = ((residuals - self.mean) / self.std).mean(0)
        return z

    def pooled(self) -> "Standardisation":
        """Return the statistics ``(s, 1, 1)`` of a place that nothing is known of.

        The mean of the means; the mean variance and, as the place is unknown, the variance of the means as well.
        """
        mean = self.mean.mean((1, 2), keepdims=True, dtype=np.float64)
        variance = (self.std.astype(np.float64) ** 2).mean((1, 2), keepdims=True)
        std = np.sqrt(variance + self.mean.var((1, 2), keepdims=True, dtype=np.float64))
        return Standardisation(mean.astype(np.float32), std.astype(np.float32))

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return mean and std, for the detector file."""
        return {"mean": self.mean, "std": self.std}
