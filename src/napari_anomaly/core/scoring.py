"""What a fitted method shows of one image: one compiled function for every shape, not for every image or detector."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from napari_anomaly.core.filters import stretch
from napari_anomaly.core.methods.fitted import Fitted, Pair
from napari_anomaly.core.methods.latent import Space
from napari_anomaly.core.methods.recipes import Recipe, Residual
from napari_anomaly.core.preprocess import Pixels, Undo
from napari_anomaly.core.residuals import residual_map
from napari_anomaly.core.standardise import Residuals, Standardisation
from napari_anomaly.core.types import AnomalyMap, Image


@dataclass(frozen=True)
class Look:
    """Residual maps, finest reconstruction in [0, 1], latent score, and the way back to the image's own grid."""

    residuals: Residuals
    reconstruction: Pixels
    latent: float | None
    undo: Undo


def look(recipe: Recipe, fitted: Fitted, image: Image, space: Space | None = None) -> Look:
    """Preprocess one image, reconstruct it, take the residuals.

    Raises
    ------
    ImageError
        If the image cannot be used.
    """
    pixels, undo = recipe.preprocess.apply(image)
    mean, std = recipe.preprocess.normalise.moments()
    residuals, reconstruction, latent = _evidence(
        (fitted, space), pixels[None], mean, std, recipe.residual, recipe.own
    )
    return Look(np.asarray(residuals)[0], np.asarray(reconstruction)[0], _first(latent), undo)


TOGETHER = 8
"""Images that one call of the device scores at most; calling it takes a third of a small network's time."""

_VALUES = 2**20  # of the images of such a call: larger ones gain nothing


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["fitted", "space", "moments", "standards"],
    meta_fields=["residual", "own"],
)
@dataclass(frozen=True)
class Scorer:
    """All that scoring an image needs, on the device: method, intensities' mean and std, those of the residuals."""

    fitted: Any
    space: Any
    moments: tuple[Array, Array]
    standards: tuple[Array, Array]
    residual: Residual
    own: bool

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        fitted: Fitted,
        standardisation: Standardisation,
        space: Space | None = None,
    ) -> "Scorer":
        """Bring to the device what stays the same from image to image."""
        moments, standards = jax.device_put(
            (recipe.preprocess.normalise.moments(), (standardisation.mean, standardisation.std))
        )
        return cls(fitted, space, moments, standards, recipe.residual, recipe.own)

    def __call__(self, pixels: Pixels) -> tuple[AnomalyMap, Pixels, float | None]:
        """Return map, finest reconstruction and latent score of one preprocessed image ``(y, x, c)``, on its grid."""
        standardised, reconstruction, latent = _scored(self, pixels[None])
        return (
            np.array(standardised),  # a copy, which may be written to
            np.asarray(reconstruction)[0],
            _first(latent),
        )

    def each(self, pixels: Sequence[Pixels]) -> list[tuple[AnomalyMap, Pixels, float | None]]:
        """Return the same of several images of one shape, bit for bit, in few calls of the device."""
        capacity = min(TOGETHER, _VALUES // pixels[0].size)
        if capacity < 2 or len(pixels) < 2:
            return [self(one) for one in pixels]
        found = []
        for begin in range(0, len(pixels), capacity):
            some = pixels[begin : begin + capacity]
            images = np.zeros((capacity, *some[0].shape), np.float32)
            np.stack(some, out=images[: len(some)])
            standardised, reconstruction, latent = jax.device_get(
                _one_by_one(self, images, len(some))
            )
            found += [
                (
                    standardised[k].copy(),
                    reconstruction[k],
                    None if latent is None else float(latent[k]),
                )
                for k in range(len(some))
            ]
        return found


@jax.jit
def _one_by_one(
    scorer: Scorer, images: Float[Array, "n y x c"], count: Int[Array, ""] | int
) -> tuple[Float[Array, "n y x"], Float[Array, "n y x c"], Float[Array, " n"] | None]:
    """Score the first images in a counted loop: each is computed by itself, as a call of its own would."""

    def one(k: Any) -> Any:
        standardised, reconstruction, latent = _scored(
            scorer, jax.lax.dynamic_slice_in_dim(images, k, 1)
        )
        return standardised, reconstruction[0], None if latent is None else latent[0]

    def put(k: Any, found: Any) -> Any:
        return jax.tree.map(lambda all_, own: all_.at[k].set(own), found, one(k))

    empty = jax.tree.map(
        lambda own: jnp.zeros((len(images), *own.shape), own.dtype), jax.eval_shape(one, 0)
    )
    found: tuple[Array, Array, Array | None] = jax.lax.fori_loop(0, count, put, empty)
    return found


@jax.jit
def _scored(
    scorer: Scorer, images: Float[Array, "1 y x c"]
) -> tuple[Float[Array, "y x"], Float[Array, "1 y x c"], Float[Array, " 1"] | None]:
    residuals, reconstruction, latent = _shown(
        (scorer.fitted, scorer.space), images, *scorer.moments, scorer.residual, scorer.own
    )
    mean, std = scorer.standards
    return ((residuals[0] - mean) / std).mean(0), reconstruction, latent


def _shown(
    judges: tuple[Any, Any],
    images: Float[Array, "n y x c"],
    mean: Array,
    std: Array,
    residual: Residual,
    own: bool,
) -> tuple[Float[Array, "n s y x"], Float[Array, "n y x c"], Float[Array, " n"] | None]:
    """Residual maps, finest reconstruction in [0, 1], and the latent scores that the recipe asks for, if any."""
    fitted, space = judges
    normal = (images - mean) / std
    pairs = fitted.pairs(normal)
    maps = []
    for pair in pairs:
        one = _compared(pair, mean, std, residual)
        maps.append(stretch(one, (images.shape[1], images.shape[2]), smooth=residual.smooth))
    finest = pairs[0].reconstruction * std + mean
    latent = fitted.latent_score(normal) if own else None
    latent = latent if space is None else space(fitted.encode(normal))
    return jnp.stack(maps, axis=1), finest, latent


def _compared(pair: Pair, mean: Array, std: Array, residual: Residual) -> Float[Array, "n v u"]:
    """Residual map of intensities in [0, 1] again; of features as they are, whose range no other kind fits."""
    image, reconstruction, weight, features = pair
    if features:
        plain: Literal["squared", "absolute"] = (
            "squared" if residual.kind == "squared" else "absolute"
        )
        return residual_map(image, reconstruction, kind=plain)
    return residual_map(
        image * std + mean,
        reconstruction * std + mean,
        kind=residual.kind,
        colour=residual.colour,
        weight=None if weight is None else weight / std,
    )


def _first(latent: Float[Array, " n"] | None) -> float | None:
    """Take that of the first image, as a number."""
    return None if latent is None else float(np.asarray(latent)[0])


_evidence = jax.jit(_shown, static_argnames=("residual", "own"))


def pooled(anomaly_map: AnomalyMap, kind: Literal["max", "top", "mean"]) -> float:
    """One number from a ``(y, x)`` map: its highest value, the mean of its top 0.1 % of pixels, or its mean."""
    if kind == "max":
        return float(anomaly_map.max())
    if kind == "mean":
        return float(anomaly_map.mean(dtype=np.float64))
    count = max(1, anomaly_map.size // 1000)
    return float(np.partition(anomaly_map, -count, axis=None)[-count:].mean(dtype=np.float64))
