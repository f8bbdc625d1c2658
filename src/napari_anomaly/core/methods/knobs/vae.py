"""Knobs of the variational autoencoder."""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training, Widths


@dataclass(frozen=True, config=STRICT)
class VAE:
    """Variational autoencoder: the same encoder and decoder with a Gaussian latent.

    The loss is the negative evidence lower bound: the negative log-likelihood of the Gaussian decoder summed over
    pixels and channels (for unit variance the squared error / 2), plus ``beta`` times the KL divergence **summed over
    the latent**; both averaged over the batch.

    References
    ----------
    Kingma and Welling 2014, arXiv:1312.6114, eq. 10 and appendix B; Higgins et al. 2017 (beta-VAE); Rybkin et al.
    2021, arXiv:2006.13202 (shared variance); Mao et al. 2020, AE-U (a variance for each pixel); Zimmerer et al. 2019,
    arXiv:1907.02796 (KL gradient); Dehaene et al. 2020, arXiv:2002.03734 (restoration).
    """

    name: Literal["vae"] = "vae"
    widths: Widths = Field(default=(16, 32, 64, 64), description="channels of each level")
    down: Literal["stride", "pool"] = Field(
        default="stride",
        description="halve by a strided convolution, or by convolution and max-pooling",
    )
    latent: int = Field(default=128, ge=1, description="size of the latent")
    beta: float = Field(default=1.0, ge=0, description="weight of the KL term")
    variance: Literal["unit", "shared", "pixel"] = Field(
        default="unit",
        description="of the decoder: 1, one for all pixels (the batch's mean squared error), or decoded for each pixel",
    )
    map: Literal["residual", "kl-gradient", "restoration"] = Field(
        default="residual",
        description="strange is: the residual, residual times gradient of the KL term, or what a restoration changes",
    )
    rounds: int = Field(
        default=100, ge=1, le=10_000, description="gradient steps of a restoration of each image"
    )
    training: Training = Training()

    later: ClassVar[tuple[str, ...]] = ("map", "rounds")
    """What may still be changed when it is trained."""

    measures: ClassVar[tuple[str, ...]] = ("own", "mahalanobis", "knn")
    """Latent scores: its own is the KL term."""

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import vae

        return vae
