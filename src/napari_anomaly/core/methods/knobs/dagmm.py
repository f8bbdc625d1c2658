"""Knobs of the deep autoencoding Gaussian mixture model."""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training, Widths


@dataclass(frozen=True, config=STRICT)
class DAGMM:
    """Autoencoder and Gaussian mixture of its codes and reconstruction errors, trained together.

    The mixture's density says how usual a whole image is (its own latent score is the energy, the negative logarithm
    of it), the residual where it is strange.

    References
    ----------
    Zong et al. 2018, Deep autoencoding Gaussian mixture model for unsupervised anomaly detection, ICLR.
    """

    name: Literal["dagmm"] = "dagmm"
    widths: Widths = Field(default=(16, 32, 64, 64), description="channels of each level")
    down: Literal["stride", "pool"] = Field(
        default="stride",
        description="halve by a strided convolution, or by convolution and max-pooling",
    )
    latent: int = Field(
        default=8, ge=1, le=256, description="size of the code; the mixture sees two numbers more"
    )
    components: int = Field(default=2, ge=1, le=64, description="Gaussians of the mixture")
    hidden: int = Field(default=10, ge=1, description="units of the network that estimates members")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="share of these left out at random")
    energy: float = Field(default=0.1, ge=0, description="weight of the energy in the loss")
    spread: float = Field(
        default=0.005, ge=0, description="weight of the penalty on small variances in the loss"
    )
    training: Training = Training(batch=64)

    measures: ClassVar[tuple[str, ...]] = ("own", "mahalanobis", "knn")
    """Latent scores: its own is the energy."""

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import dagmm

        return dagmm
