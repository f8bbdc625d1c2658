"""How far a code lies from the codes of the training images."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass
from jaxtyping import Array, Float

from napari_anomaly.core.errors import TrainingError
from napari_anomaly.core.methods.fitted import Images, expect
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.stack import Stack

Codes = Float[Array, "n d"]

_CHUNK = 32  # images encoded at once


@partial(register_dataclass, data_fields=["mean", "whitening"], meta_fields=[])
@dataclass(frozen=True)
class Mahalanobis:
    """Distance from the mean in the metric of the codes' covariance, shrunk towards a multiple of the identity.

    Attributes
    ----------
    mean : array, ``(d,)``
    whitening : array, ``(d, d)``
        ``W`` with ``W^T W`` the inverse of the covariance.

    References
    ----------
    Mahalanobis 1936; Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4 (how much to shrink).
    """

    mean: Float[Array, " d"]
    whitening: Float[Array, "d d"]

    @classmethod
    def of(cls, codes: Float[np.ndarray, "m d"]) -> "Mahalanobis":
        """Learn from the codes of the training images."""
        from sklearn.covariance import ledoit_wolf

        wide = codes.astype(np.float64)
        covariance = np.atleast_2d(ledoit_wolf(wide)[0])
        if not np.trace(covariance) > 0:  # all codes are equal
            covariance = np.eye(wide.shape[1])
        values, vectors = np.linalg.eigh(covariance)
        whitening = vectors.T / np.sqrt(np.maximum(values, 1e-12 * values.max()))[:, None]
        arrays = wide.mean(0), whitening
        return cls(*jax.device_put([one.astype(np.float32) for one in arrays]))

    def __call__(self, codes: Codes) -> Float[Array, " n"]:
        """Return the distance of each code."""
        white = jnp.matmul(codes - self.mean, self.whitening.T, precision="highest")
        distances: Float[Array, " n"] = jnp.linalg.norm(white, axis=1)
        return distances

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return mean and whitening."""
        return {"mean": np.asarray(self.mean), "whitening": np.asarray(self.whitening)}


@partial(register_dataclass, data_fields=["codes"], meta_fields=["neighbours"])
@dataclass(frozen=True)
class Neighbours:
    """Mean Euclidean distance to the nearest codes of training images.

    Attributes
    ----------
    codes : array, ``(m, d)``
    neighbours : int
        How many; all of them, where there are fewer.

    References
    ----------
    Angiulli and Pizzuti 2002, doi:10.1007/3-540-45681-3_2.
    """

    codes: Float[Array, "m d"]
    neighbours: int

    def __call__(self, codes: Codes) -> Float[Array, " n"]:
        """Return the mean distance of each code to its nearest ones."""
        distances = jnp.linalg.norm(codes[:, None] - self.codes, axis=-1)
        count = min(self.neighbours, len(self.codes))
        nearest: Float[Array, " n"] = -jax.lax.top_k(-distances, count)[0].mean(1)
        return nearest

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the codes."""
        return {"codes": np.asarray(self.codes)}


Space = Mahalanobis | Neighbours


def learned(recipe: Recipe, fitted: Any, images: Stack) -> Space | None:
    """Encode the training images and learn where codes usually lie; None if the recipe does not ask for it.

    Raises
    ------
    TrainingError
        If a code is not finite.
    """
    if recipe.measure is None:
        return None
    chunks = [range(len(images))[k : k + _CHUNK] for k in range(0, len(images), _CHUNK)]
    with closing(images.batches(chunks)) as batches:
        codes = np.concatenate([np.asarray(encoded(fitted, one)) for one in batches])
    if not np.isfinite(codes).all():
        raise TrainingError(
            "found codes of training images that are not finite; expected numbers. Lower learning_rate"
        )
    if recipe.measure == "mahalanobis":
        return Mahalanobis.of(codes)
    return Neighbours(jax.device_put(codes.astype(np.float32)), recipe.neighbours)


def restore(recipe: Recipe, arrays: Mapping[str, np.ndarray]) -> Space | None:
    """Rebuild what :func:`learned` gave from its arrays.

    Raises
    ------
    CheckpointError
        If the arrays do not fit the recipe.
    """
    if recipe.measure is None:
        expect(arrays, {})
        return None
    if recipe.measure == "knn":
        expect(arrays, {"codes": (None, None)})
        return Neighbours(jax.device_put(arrays["codes"]), recipe.neighbours)
    side = arrays["mean"].size if "mean" in arrays else None
    expect(arrays, {"mean": (side,), "whitening": (side, side)})
    return Mahalanobis(*jax.device_put([arrays["mean"], arrays["whitening"]]))


@jax.jit
def encoded(fitted: Any, images: Images) -> Codes:
    """Return the codes of normalised images, compiled once for all methods of one shape."""
    codes: Codes = fitted.encode(images)
    return codes


@jax.jit
def decoded(fitted: Any, codes: Codes) -> Images:
    """Return the normalised images of codes, compiled once for all methods of one shape."""
    images: Images = fitted.decode(codes)
    return images
