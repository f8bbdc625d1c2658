"""Knobs of the plain autoencoder."""

from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation, Training, Widths


@dataclass(frozen=True, config=STRICT)
class Autoencoder:
    """Convolutional autoencoder, mean squared error.

    Each level is a 3x3 convolution that halves the image (by stride or by max-pooling) and a transposed convolution
    that doubles it; ``latent`` adds a dense bottleneck.

    References
    ----------
    Bergmann et al. 2019, doi:10.1109/CVPR.2019.00982 (autoencoders on MVTec AD).
    """

    name: Literal["autoencoder"] = "autoencoder"
    widths: Widths = Field(default=(16, 32, 64, 64), description="channels of each level")
    down: Literal["stride", "pool"] = Field(
        default="stride",
        description="halve by a strided convolution, or by convolution and max-pooling",
    )
    latent: int | None = Field(
        default=None, ge=1, description="size of a dense bottleneck; none: stay convolutional"
    )
    training: Training = Training()

    measures: ClassVar[tuple[str, ...]] = ("mahalanobis", "knn")
    """Latent scores."""

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import autoencoder

        return autoencoder
