"""Knobs of the SSIM autoencoder."""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training


@dataclass(frozen=True, config=STRICT)
class SSIMAutoencoder:
    """Autoencoder trained on structural similarity: 1 - SSIM instead of squared differences of pixels.

    Trained on random crops; inspected in overlapping windows of a crop's size, whose reconstructions are averaged.
    Without ``window`` it takes whole images. The constants of SSIM are those of intensities in [0, 1].

    References
    ----------
    Bergmann et al. 2018, arXiv:1807.02011 (also doi:10.5220/0007364503720380).
    """

    name: Literal["ssim-autoencoder"] = "ssim-autoencoder"
    window: int | None = Field(
        default=128,
        ge=16,
        description="side of the squares that it sees, cut at random in training; none: whole images",
    )
    halvings: int = Field(
        default=4,
        ge=4,
        le=8,
        description="how often the network halves an image: 4 from 128 to 8 pixels, 5 from 256",
    )
    latent: int = Field(default=100, ge=1, description="size of the latent")
    stride: int = Field(
        default=30, ge=1, description="pixels from one window to the next when inspecting"
    )
    training: Training = Training(duration=500, weight_decay=1e-5)

    normalised: ClassVar[tuple[str, ...]] = ("none", "range")
    """Kinds of normalisation that it works with: the constants of SSIM are those of [0, 1]."""

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import ssim_autoencoder

        return ssim_autoencoder
