"""Knobs of the variational autoencoder."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training, Widths


@dataclass(frozen=True, config=STRICT)
class VAE:
    """Variational autoencoder: the same encoder and decoder with a Gaussian latent.

    The loss is the negative evidence lower bound for a unit-variance Gaussian decoder: squared error summed over
    pixels and channels / 2, plus ``beta`` times the KL divergence **summed over the latent**; both averaged over the
    batch.

    References
    ----------
    Kingma and Welling 2014, arXiv:1312.6114, eq. 10 and appendix B; Higgins et al. 2017 (beta-VAE).
    """

    name: Literal["vae"] = "vae"
    widths: Widths = Field(default=(16, 32, 64, 64), description="channels of each level")
    down: Literal["stride", "pool"] = Field(
        default="stride",
        description="halve by a strided convolution, or by convolution and max-pooling",
    )
    latent: int = Field(default=128, ge=1, description="size of the latent")
    beta: float = Field(default=1.0, ge=0, description="weight of the KL term")
    score: Literal["reconstruction", "kl", "both"] = Field(
        default="reconstruction",
        description="what makes an image strange: its residual, its KL term, or both",
    )
    training: Training = Training()

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import vae

        return vae
