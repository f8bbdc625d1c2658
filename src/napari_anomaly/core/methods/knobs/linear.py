"""Knobs of the linear methods."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation

Scale = Annotated[int, Field(ge=1, le=64)]


@dataclass(frozen=True, config=STRICT)
class Linear:
    """Linear autoencoder in closed form: principal components of image patches at several scales.

    Fitted in seconds on a CPU. The reconstruction of a pixel is the mean over all patches that hold it.
    ``support="image"`` takes the whole image as one patch: for aligned objects.

    References
    ----------
    Bourlard and Kamp 1988, doi:10.1007/BF00332918 (the linear autoencoder is PCA); Turk and Pentland 1991,
    doi:10.1162/jocn.1991.3.1.71 (whole images, distance from feature space).
    """

    name: Literal["linear"] = "linear"
    support: Literal["patch", "image"] = Field(
        default="patch",
        description="components of patches (textures) or of whole images (aligned objects)",
    )
    patch: int = Field(default=8, ge=2, le=32, description="side of a patch in pixels of its scale")
    scales: tuple[Scale, ...] = Field(
        default=(1, 2, 4), min_length=1, description="the image is shrunk by each of these factors"
    )
    components: int = Field(
        default=8, ge=1, description="components kept at each scale; more copy more, defects too"
    )

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import linear

        return linear
