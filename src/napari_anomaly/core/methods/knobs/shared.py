"""What the knobs of methods share: the training of networks, and the module behind them."""

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

if TYPE_CHECKING:
    from napari_anomaly.core.methods.fitted import Fitted

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""A misspelled knob is an error."""

Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=10)]
"""Channels of each level of a network."""


@runtime_checkable
class Implementation(Protocol):
    """What the module behind a method's knobs offers."""

    def fit_steps(
        self, knobs: Any, images: Stack, *, seed: int, budget: float | None, keeper: Any
    ) -> Generator[Progress, None, "Fitted"]:
        """Fit to normalised training images."""

    def restore(self, knobs: Any, arrays: Mapping[str, np.ndarray]) -> "Fitted":
        """Rebuild a fitted method from its arrays."""


@dataclass(frozen=True, config=STRICT)
class Training:
    """How a network is trained: Adam with warm-up and cosine decay, clipped gradients, averaged weights.

    References
    ----------
    Kingma and Ba 2015, arXiv:1412.6980 (Adam); Hinton 2012, Neural Networks for Machine Learning, lecture 6
    (RMSProp); Polyak and Juditsky 1992, doi:10.1137/0330046 (averaged weights).
    """

    duration: int = Field(default=600, ge=1, description="length of training, in the unit below")
    unit: Literal["steps", "epochs"] = Field(
        default="steps", description="steps, or epochs (passes over the training images)"
    )
    batch: int = Field(default=16, ge=1, description="images per step")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="highest learning rate")
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="cosine: warm up, then fall to zero; constant"
    )
    clip: float | None = Field(
        default=1.0,
        gt=0,
        description="largest norm of the gradient, longer ones are cut; none: never",
    )
    optimiser: Literal["adam", "rmsprop"] = Field(default="adam", description="adam, or rmsprop")
    beta1: float = Field(
        default=0.9, ge=0, lt=1, description="Adam's decay of the gradient's running mean"
    )
    beta2: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="decay of the running mean of the gradient's square, Adam's and RMSProp's",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="pull weights towards zero: so many times each is added to its gradient",
    )
    average: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="decay of the averaged weights that are kept; 0: the last ones",
    )
    flip: bool = Field(
        default=False, description="mirror half of the training images left to right"
    )
    rotate: float = Field(
        default=0.0, ge=0, le=180, description="turn training images by up to so many degrees"
    )
    crop: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="cut up to this share of the sides off training images, and enlarge the rest",
    )
    brightness: float = Field(
        default=0.0,
        ge=0,
        description="brighten or darken training images by up to so many standard deviations",
    )
