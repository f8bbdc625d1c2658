"""The whole recipe from image file to map: what is decided before fitting. No JAX here.

To add a method: its knobs in ``knobs/`` with their ``implementation``, its name in ``Method`` below, one file beside
this one, an entry in ``presets.py``.
"""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.denoising import Denoising
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.knobs.shared import STRICT
from napari_anomaly.core.methods.knobs.ssim_autoencoder import SSIMAutoencoder
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.preprocess import Preprocessing

AnyMethod = Linear | Autoencoder | Denoising | SSIMAutoencoder | VAE
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
    min_area: int = Field(
        default=4,
        ge=1,
        description="connected regions below this many pixels are noise and removed",
    )
