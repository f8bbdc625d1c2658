"""Knobs of the one-class support vector machine."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.shared import STRICT, Implementation


@dataclass(frozen=True, config=STRICT)
class OneClassSVM:
    """One-class support vector machine on features of whole images: it says whether, not where.

    The boundary encloses the training images' features, but for a share of about ``nu``. The map is 0 everywhere.

    References
    ----------
    Schölkopf et al. 2001, doi:10.1162/089976601750264965; Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177 (HOG).
    """

    name: Literal["one-class-svm"] = "one-class-svm"
    features: Literal["latent", "hog", "histogram"] = Field(
        default="latent",
        description="principal components of whole images, oriented gradients, or intensities",
    )
    nu: float = Field(
        default=0.1, gt=0, le=1, description="most of the training images outside, as a share"
    )
    gamma: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="of exp(-gamma d^2); none: 1 / number of features"
    )
    components: int = Field(default=32, ge=1, description="of latent: principal components")
    cell: int = Field(default=16, ge=2, le=256, description="of hog: side of a cell in pixels")
    bins: int = Field(default=32, ge=2, le=256, description="of histogram: bins for each channel")

    measures: ClassVar[tuple[str, ...]] = ("own",)
    """Latent scores: its own is the distance from the boundary, outside above 0."""

    localises: ClassVar[bool] = False

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import svm

        return svm
