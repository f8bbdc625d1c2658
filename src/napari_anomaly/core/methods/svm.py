"""One-class support vector machine on features of whole images; fitted by scikit-learn, scored by its formula."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from napari_anomaly.core.errors import CheckpointError, TrainingError
from napari_anomaly.core.methods import linear
from napari_anomaly.core.methods.features import Features, intensities, oriented_gradients
from napari_anomaly.core.methods.fitted import Images, Pair, expect
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.knobs.svm import OneClassSVM
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

_CHUNK = 32  # images at once
_OF_EXTRACTOR = {
    "latent": ("mean", "components"),
    "hog": (),
    "histogram": ("low", "high"),
}
_OF_BOUNDARY = ("centre", "scale", "vectors", "coefficients", "offset", "gamma")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["extractor", "boundary"],
    meta_fields=["knobs"],
)
@dataclass(frozen=True)
class FittedSVM:
    """What features are made with, and the boundary around those of the training images.

    Attributes
    ----------
    extractor : mapping of str to array
        Of ``latent`` mean ``(y, x, c)`` and components ``(k, y, x, c)``, of ``histogram`` low and high ``(c,)``.
    boundary : mapping of str to array
        ``centre`` and ``scale`` ``(d,)`` of the features, support ``vectors`` ``(s, d)``, their ``coefficients``
        ``(s,)``, ``offset`` and ``gamma``.
    knobs : OneClassSVM
    """

    extractor: Mapping[str, Array]
    boundary: Mapping[str, Array]
    knobs: OneClassSVM

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Return the images themselves: nothing is reconstructed, the map is 0."""
        return (Pair(images, images),)

    def latent_score(self, images: Images) -> Float[Array, " n"]:
        """Return ``-(sum_i a_i exp(-gamma |f - v_i|^2) + b)``: above 0 outside of the boundary."""
        own = self.boundary
        features = (_features(self.knobs, self.extractor, images) - own["centre"]) / own["scale"]
        squares = ((features[:, None] - own["vectors"]) ** 2).sum(-1)  # (n, s)
        inside = jnp.exp(-own["gamma"] * squares) * own["coefficients"]
        score: Float[Array, " n"] = -(inside.sum(1) + own["offset"])
        return score

    def reach(self) -> None:
        """Return None: features are of the whole image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return all arrays."""
        return {name: np.asarray(one) for name, one in {**self.extractor, **self.boundary}.items()}


def _features(knobs: OneClassSVM, extractor: Mapping[str, Array], images: Images) -> Features:
    if knobs.features == "hog":
        return oriented_gradients(images, knobs.cell)
    if knobs.features == "histogram":
        return intensities(images, extractor["low"], extractor["high"], knobs.bins)
    return linear.ImagePCA(extractor["mean"], extractor["components"]).encode(images)


def fit_steps(
    knobs: OneClassSVM, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, FittedSVM]:
    """Fit to ``(n, y, x, c)`` normalised images; deterministic, so ``seed`` and ``budget`` change nothing.

    Raises
    ------
    TrainingError
        If images are too small for a block of cells.
    """
    _, height, width, _ = images.shape
    if knobs.features == "hog" and min(height, width) < 2 * knobs.cell:
        raise TrainingError(
            f"found images of {height} x {width} pixels; expected at least {2 * knobs.cell}, two cells. Lower cell."
        )
    extractor = yield from _extractor(knobs, images)
    chunks = [range(len(images))[k : k + _CHUNK] for k in range(0, len(images), _CHUNK)]
    seen = []
    with closing(images.batches(chunks)) as batches:
        for done, one in enumerate(batches, 1):
            seen.append(np.asarray(_extracted(knobs, extractor, one)))
            yield Progress("training", done, len(chunks))
    return FittedSVM(extractor, _boundary(knobs, np.concatenate(seen)), knobs)


def restore(knobs: OneClassSVM, arrays: Mapping[str, np.ndarray]) -> FittedSVM:
    """Rebuild from :meth:`FittedSVM.arrays`.

    Raises
    ------
    CheckpointError
        If the arrays do not fit the knobs or each other.
    """
    s, d = (arrays[name].size if name in arrays else None for name in ("coefficients", "centre"))
    shapes: dict[str, tuple[int | None, ...]] = {
        "centre": (d,),
        "scale": (d,),
        "vectors": (s, d),
        "coefficients": (s,),
        "offset": (),
        "gamma": (),
    }
    names = _OF_EXTRACTOR[knobs.features]
    rank = {"mean": 3, "components": 4, "low": 1, "high": 1}
    own = expect(arrays, shapes | {name: (None,) * rank[name] for name in names})
    if not (own["scale"] > 0).all():
        raise CheckpointError("found scales of features that are not above 0; the file is damaged")
    extractor, boundary = ({n: own[n] for n in some} for some in (names, _OF_BOUNDARY))
    return FittedSVM(jax.device_put(extractor), jax.device_put(boundary), knobs)


def _extractor(knobs: OneClassSVM, images: Stack) -> Generator[Progress, None, Mapping[str, Array]]:
    """Learn what features are made with from the training images."""
    if knobs.features == "hog":
        return {}
    if knobs.features == "latent":
        choice = Linear(support="image", components=knobs.components)
        pca = yield from linear.fit_steps(choice, images, seed=0, budget=None)
        return {name: jnp.asarray(one) for name, one in pca.arrays().items()}
    ends = [
        [one.min((0, 1)), one.max((0, 1))] for k in range(len(images)) for one in images.take([k])
    ]
    low, high = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
    span = np.maximum(high - low, 1e-6)
    return {"low": jnp.asarray(low), "high": jnp.asarray(low + span)}


@partial(jax.jit, static_argnames="knobs")
def _extracted(knobs: OneClassSVM, extractor: Mapping[str, Array], images: Images) -> Features:
    return _features(knobs, extractor, images)


def _boundary(knobs: OneClassSVM, features: Float[np.ndarray, "m d"]) -> Mapping[str, Array]:
    """Standardise features and enclose them."""
    from sklearn.svm import OneClassSVM as Theirs

    wide = features.astype(np.float64)
    centre, scale = wide.mean(0), wide.std(0)
    scale = np.where(
        scale > 1e-6 * max(scale.max(), 1e-12), scale, 1.0
    )  # a feature that is constant
    standard = (wide - centre) / scale
    gamma = 1 / standard.shape[1] if knobs.gamma is None else knobs.gamma
    machine = Theirs(kernel="rbf", nu=knobs.nu, gamma=gamma).fit(standard)
    arrays = {
        "centre": centre,
        "scale": scale,
        "vectors": machine.support_vectors_,
        "coefficients": machine.dual_coef_[0],
        "offset": machine.intercept_[0],
        "gamma": np.array(gamma),
    }
    placed: Mapping[str, Array] = jax.device_put(
        {name: np.asarray(one, np.float32) for name, one in arrays.items()}
    )
    return placed
