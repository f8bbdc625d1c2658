"""The whole recipe from image file to map: what is decided before fitting. No JAX here.

To add a method: its knobs in ``knobs/`` with their ``implementation``, its name in ``Method`` below, one file beside
this one, an entry in ``presets.py``.
"""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.dagmm import DAGMM
from napari_anomaly.core.methods.knobs.denoising import Denoising
from napari_anomaly.core.methods.knobs.fanogan import FAnoGAN
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.knobs.shared import STRICT
from napari_anomaly.core.methods.knobs.ssim_autoencoder import SSIMAutoencoder
from napari_anomaly.core.methods.knobs.svm import OneClassSVM
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.methods.knobs.vaegan import VAEGAN
from napari_anomaly.core.preprocess import Preprocessing

AnyMethod = (
    Linear
    | Autoencoder
    | Denoising
    | SSIMAutoencoder
    | VAE
    | FAnoGAN
    | VAEGAN
    | DAGMM
    | OneClassSVM
)
Method = Annotated[AnyMethod, Field(discriminator="name")]


@dataclass(frozen=True, config=STRICT)
class Residual:
    """How image and reconstruction become a map: see :mod:`napari_anomaly.core.residuals`."""

    kind: Literal["absolute", "squared", "ssim", "ms-ssim", "ms-gms", "ncc", "histogram"] = Field(
        default="absolute",
        description="absolute, squared; ssim, ms-ssim (structure, at five scales); ms-gms (gradients, whatever the "
        "brightness); ncc (structure, whatever brightness and contrast); histogram (of the surroundings)",
    )
    colour: Literal["channels", "grey"] = Field(
        default="channels", description="mean over the channels, or of the grey images"
    )
    smooth: float = Field(
        default=4.0,
        ge=0,
        le=100,
        description="sigma of the Gaussian that smooths the map, pixels of the method's grid",
    )


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that is decided before fitting; with a seed and the images it determines the detector."""

    method: Method = Linear()
    preprocess: Preprocessing = Preprocessing()
    residual: Residual = Residual()
    standardise: Literal["place", "texture", "none"] = Field(
        default="place",
        description="place: by what held-out normals show at that place; texture: over all places; none",
    )
    pool: Literal["max", "top", "mean"] = Field(
        default="max",
        description="image score: highest value, mean of the top 0.1 % of pixels, or mean",
    )
    score: Literal["map", "latent", "both"] = Field(
        default="map",
        description="what makes an image strange: its pooled map, its latent score, or both by their p-values",
    )
    latent_score: Literal["own", "mahalanobis", "knn"] = Field(
        default="mahalanobis",
        description="the method's own (vae: KL term), or the code's distance from those of the training images",
    )
    neighbours: int = Field(
        default=5, ge=1, description="of a code, whose mean distance is the latent score knn"
    )
    min_area: int = Field(
        default=4,
        ge=1,
        description="connected regions below this many pixels are noise and removed",
    )

    def __post_init__(self) -> None:
        kind = self.preprocess.normalise.kind
        kinds: tuple[str, ...] = getattr(type(self.method), "normalised", (kind,))
        if kind not in kinds:
            raise ValueError(
                f"found preprocess.normalise.kind={kind}; expected, for the method {self.method.name}, "
                f"{' or '.join(kinds)}"
            )

        measures: tuple[str, ...] = getattr(type(self.method), "measures", ())
        if self.score != "map" and self.latent_score not in measures:
            known = " or ".join(measures) or "score=map: it has no latent scores"
            raise ValueError(
                f"found latent_score={self.latent_score}; expected, for the method {self.method.name}, {known}"
            )

        if self.score != "latent" and not self.localises:
            raise ValueError(
                f"found score={self.score}; expected latent: the method {self.method.name} has no map"
            )

    @property
    def localises(self) -> bool:
        """Whether the method says where an image is strange, not only whether."""
        return bool(getattr(type(self.method), "localises", True))

    @property
    def own(self) -> bool:
        """Whether the score needs the method's own measure of latents."""
        return self.score != "map" and self.latent_score == "own"

    @property
    def measure(self) -> Literal["mahalanobis", "knn"] | None:
        """Which distance of codes the score needs, if any."""
        return None if self.score == "map" or self.latent_score == "own" else self.latent_score
