"""Knobs of the VAE-GAN."""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training, Widths


@dataclass(frozen=True, config=STRICT)
class VAEGAN:
    """VAE-GAN: a variational autoencoder whose likeness is learned by a discriminator of real and made images.

    The encoder goes down KL term and squared error of the discriminator's features; the decoder down ``gamma`` times
    that error, while it deceives the discriminator; the discriminator tells images from rebuilt and from drawn ones.

    References
    ----------
    Larsen et al. 2016, arXiv:1512.09300, algorithm 1.
    """

    name: Literal["vae-gan"] = "vae-gan"
    widths: Widths = Field(
        default=(16, 32, 64, 128),
        description="channels of each level, finest first; residual: those at full size before them",
    )
    blocks: Literal["plain", "residual"] = Field(
        default="plain", description="plain: a strided convolution for each level; residual blocks"
    )
    latent: int = Field(default=128, ge=1, description="size of the latent")
    level: int = Field(
        default=3,
        ge=1,
        description="level of the discriminator, 1 the finest, in which images are compared",
    )
    gamma: float = Field(
        default=0.01,
        ge=0,
        description="weight of the feature error against the discriminator, in training the decoder",
    )
    feature_level: int = Field(
        default=0,
        ge=0,
        description="level of the discriminator whose residual joins that of the pixels; 0: none",
    )
    training: Training = Training(
        duration=1500, learning_rate=1e-3, clip=None, beta1=0.5, average=0.99
    )

    later: ClassVar[tuple[str, ...]] = ("feature_level",)
    """What may still be changed when it is trained."""

    measures: ClassVar[tuple[str, ...]] = ("mahalanobis", "knn")
    """Latent scores."""

    normalised: ClassVar[tuple[str, ...]] = ("fixed", "range", "none")
    """Kinds of normalisation that it works with: what it draws lies in [-1, 1]."""

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import vaegan

        return vaegan
