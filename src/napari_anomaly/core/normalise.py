"""The last step before a method: intensities brought to one scale, learned from the training images alone."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

AnySize = Float[np.ndarray, "_ _ _"]
"""One of several images whose shapes may differ."""


class Intensities(NamedTuple):
    """What is noted of one image: mean, variance, lowest and highest intensity of each channel, ``(c,)`` float64."""

    mean: Float[np.ndarray, " c"]
    variance: Float[np.ndarray, " c"]
    low: Float[np.ndarray, " c"]
    high: Float[np.ndarray, " c"]

    @classmethod
    def of(cls, image: AnySize) -> "Intensities":
        """Note them of an image ``(y, x, c)``."""
        planes = np.ascontiguousarray(
            image.reshape(-1, image.shape[2]).T
        )  # sums over a row are fast
        mean = planes.mean(1, dtype=np.float64)
        from_mean = planes - mean[:, None]
        variance = np.einsum("cp,cp->c", from_mean, from_mean) / from_mean.shape[1]
        return cls(
            mean, variance, *(one.astype(np.float64) for one in (planes.min(1), planes.max(1)))
        )


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Normalise:
    """What the network sees: ``(x - mean) / std``. Always the last step; undone before residuals are taken.

    ``standard`` learns mean and std of each channel from the training images; ``fixed`` uses .5 and .5, which takes
    [0, 1] to [-1, 1]; ``range`` learns the training images' lowest and highest intensity and takes them to 0 and 1;
    ``none`` leaves [0, 1] as it is.
    """

    step: Literal["normalise"] = "normalise"
    kind: Literal["standard", "fixed", "range", "none"] = Field(
        default="standard", description="standard, fixed, range or none"
    )
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = None

    def fit(self, images: Iterable[AnySize]) -> "Normalise":
        """Learn mean and std per channel from ``(y, x, c)`` training images in [0, 1]."""
        return self.learned([Intensities.of(image) for image in images])

    def learned(self, seen: Sequence[Intensities]) -> "Normalise":
        """Learn the same from what was noted of each image."""
        if self.kind == "fixed":
            return replace(self, mean=(0.5,), std=(0.5,))
        if self.kind == "none":
            return replace(self, mean=(0.0,), std=(1.0,))
        if self.kind == "range":
            low = np.min([one.low for one in seen], axis=0)
            scale = np.max([one.high for one in seen], axis=0) - low
        else:
            means = np.array([one.mean for one in seen])
            low = means.mean(0)
            # the variance of all is that within images and that between them: no difference of large sums
            scale = np.sqrt(np.mean([one.variance for one in seen], axis=0) + means.var(0))
        scale = np.where(scale > 1e-6, scale, 1.0)  # a constant channel stays finite
        return replace(self, mean=tuple(map(float, low)), std=tuple(map(float, scale)))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and std, ``(c,)`` or ``(1,)`` float32; 0 and 1 before anything was learned."""
        if self.mean is None or self.std is None:
            return np.zeros(1, np.float32), np.ones(1, np.float32)
        return np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
