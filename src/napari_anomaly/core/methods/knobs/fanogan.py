"""Knobs of f-AnoGAN."""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training, Widths

ADVERSARIAL = Training(
    duration=6000,
    learning_rate=1e-3,
    clip=None,
    beta1=0.0,
    beta2=0.9,
    average=0.99,
)
"""A step is one of the critic; the generator moves in every fifth."""


@dataclass(frozen=True, config=STRICT)
class FAnoGAN:
    """f-AnoGAN: a Wasserstein GAN draws normal images; an encoder finds the one most like the inspected image.

    First, generator and critic by the Wasserstein loss with a gradient penalty of each image. Then, with both frozen,
    the encoder by the squared error of image and critic features (izi_f).

    References
    ----------
    Schlegl et al. 2019, doi:10.1016/j.media.2019.01.010 (f-AnoGAN); Schlegl et al. 2017, arXiv:1703.05921 (AnoGAN,
    the search); Gulrajani et al. 2017, arXiv:1704.00028 (gradient penalty).
    """

    name: Literal["f-anogan"] = "f-anogan"
    widths: Widths = Field(
        default=(16, 32, 64, 128),
        description="channels of each level, finest first; residual: those at full size before them",
    )
    blocks: Literal["plain", "residual"] = Field(
        default="plain", description="plain: a strided convolution for each level; residual blocks"
    )
    latent: int = Field(default=64, ge=1, description="size of the latent, standard normal")
    penalty: float = Field(default=10.0, ge=0, description="weight of the gradient penalty, lambda")
    critic_steps: int = Field(
        default=5, ge=1, description="critic steps for each step of the generator"
    )
    kappa: float = Field(
        default=1.0, ge=0, description="weight of the critic's features in encoding and score"
    )
    inversion: Literal["encoder", "search"] = Field(
        default="encoder",
        description="latent of an inspected image: by the encoder, or by gradient search as in AnoGAN",
    )
    feature_level: int = Field(
        default=0,
        ge=0,
        description="level of the critic, 1 the finest, whose residual joins that of the pixels; 0: none",
    )
    search_steps: int = Field(default=500, ge=1, description="gradient steps of the search")
    search_rate: float = Field(
        default=0.05, gt=0, le=1, description="learning rate of the search (Adam)"
    )
    training: Training = ADVERSARIAL
    encoding: Training = Training(duration=1200, learning_rate=1e-3)

    later: ClassVar[tuple[str, ...]] = ("inversion", "feature_level", "search_steps", "search_rate")
    """What may still be changed when it is trained."""

    measures: ClassVar[tuple[str, ...]] = ("own", "mahalanobis", "knn")
    """Latent scores: its own is the paper's A = A_R + kappa A_D; of a search, AnoGAN's."""

    normalised: ClassVar[tuple[str, ...]] = ("fixed", "range", "none")
    """Kinds of normalisation that it works with: what it draws lies in [-1, 1]."""

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import fanogan

        return fanogan
