"""Knobs of the denoising autoencoder."""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training, Widths


@dataclass(frozen=True, config=STRICT)
class Denoising:
    """Denoising autoencoder: the network of ``autoencoder``, trained to return clean images from spoilt ones.

    Training images are stained (a rough ellipse of random grey), covered with coarse or fine Gaussian noise, or masked
    in squares; what is inspected is not. Sizes of noise are those of intensities in [0, 1].

    References
    ----------
    Vincent et al. 2010 (JMLR 11, 3371-3408); Collin and De Vleeschouwer 2020, arXiv:2008.12977 (stain); Kascenas et
    al. 2022, PMLR 172 (coarse).
    """

    name: Literal["denoising"] = "denoising"
    noise: Literal["stain", "coarse", "gaussian", "mask"] = Field(
        default="stain",
        description="what spoils training images: one stain each, Gaussian noise on 16 x 16 cells or on every pixel, "
        "or squares set to 0",
    )
    sigma: float = Field(
        default=0.2, ge=0, le=1, description="deviation of gaussian and of coarse noise, of [0, 1]"
    )
    widths: Widths = Field(default=(16, 32, 64, 64), description="channels of each level")
    down: Literal["stride", "pool"] = Field(
        default="stride",
        description="halve by a strided convolution, or by convolution and max-pooling",
    )
    latent: int | None = Field(
        default=None, ge=1, description="size of a dense bottleneck; none: stay convolutional"
    )
    training: Training = Training()

    normalised: ClassVar[tuple[str, ...]] = ("none", "range")
    """Kinds of normalisation that it works with: sizes of noise are those of [0, 1]."""

    def plain(self) -> Autoencoder:
        """Return the plain autoencoder of the same network and training."""
        return Autoencoder(
            widths=self.widths, down=self.down, latent=self.latent, training=self.training
        )

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import denoising

        return denoising
