"""Support vector machine on features: fitted by scikit-learn, kept as arrays, decided here."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.preprocess import Grid
from napari_anomaly.core.presence.features import describe as features_of
from napari_anomaly.core.presence.features import histogram_length
from napari_anomaly.core.types import Progress

_C = 10.0  # what a training image of the scarcer class may weigh at most
_WIDE = 0.1  # of 1 / total variance: so wide that the kernel is nearly linear between the training images

Features = Float[np.ndarray, "n d"]
Decisions = Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class FittedSvm:
    """A support vector machine with Gaussian kernel.

    Attributes
    ----------
    scale : float64 array, ``(d,)``
        What each feature is divided by.
    support : float64 array, ``(m, d)``
        Support vectors, scaled.
    dual : float64 array, ``(m,)``
        ``y_i alpha_i`` of each, y = 1 for present and -1 for absent.
    intercept, gamma : float
    """

    scale: Float[np.ndarray, " d"]
    support: Float[np.ndarray, "m d"]
    dual: Float[np.ndarray, " m"]
    intercept: float
    gamma: float

    def decide(self, features: Features) -> Decisions:
        """Return ``sum_i dual_i exp(-gamma |support_i - x|²) + intercept``; above 0 is present."""
        scaled = features / self.scale
        squares = [((self.support - one) ** 2).sum(1) for one in scaled]
        decided: Decisions = np.exp(-self.gamma * np.stack(squares)) @ self.dual + self.intercept
        return decided

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return everything that is needed to rebuild it."""
        return {
            "scale": self.scale,
            "support": self.support,
            "dual": self.dual,
            "intercept": np.array(self.intercept),
            "gamma": np.array(self.gamma),
        }


def describe(images: Float[np.ndarray, "n y x c"]) -> Features:
    """Return the features of images ``(n, y, x, c)`` in [0, 1]: see :mod:`.features`."""
    return features_of(images)


def fit_steps(
    features: Features, present: Bool[np.ndarray, " n"], *, channels: int, seed: int
) -> Generator[Progress, None, FittedSvm]:
    """Fit to features of images, of which some show what is looked for.

    HOG and histogram are each divided by their total standard deviation over the training images, so that they count
    alike. gamma is 0.1 over the total variance of the scaled features (scikit-learn's ``"scale"`` is 1 over it): few
    images call for a nearly linear machine, as Dalal and Triggs use one; but far from all of them the decision goes
    back to the intercept instead of growing. C is 10 for the scarcer class, and less for the other in proportion, so
    that both weigh the same: were it 10 or more for both, it would hold back nobody, and the few would be outvoted.
    ``seed`` changes nothing: the problem is convex.

    References
    ----------
    Cortes and Vapnik 1995, doi:10.1007/BF00994018; Chang and Lin 2011 (LIBSVM), doi:10.1145/1961189.1961199, section 2.
    """
    from sklearn.svm import SVC  # takes a second to load

    yield Progress("training", 0, 1)
    scale, blocks = _scale(features, features.shape[1] - histogram_length(channels))
    gamma = _WIDE / blocks
    counts = {True: int(present.sum()), False: int((~present).sum())}
    weights = {side: min(counts.values()) / count for side, count in counts.items()}
    machine = SVC(C=_C, kernel="rbf", gamma=gamma, class_weight=weights)
    machine.fit(features / scale, present)
    yield Progress("training", 1, 1)
    return FittedSvm(
        scale,
        np.asarray(machine.support_vectors_, np.float64),
        np.asarray(machine.dual_coef_[0], np.float64),
        float(machine.intercept_[0]),
        gamma,
    )


def restore(arrays: Mapping[str, np.ndarray], grid: Grid) -> FittedSvm:
    """Rebuild from :meth:`FittedSvm.arrays` for images of a shape ``(y, x, c)``.

    Raises
    ------
    CheckpointError
        An array is missing, superfluous, of another shape or type, or not finite.
    """
    length = describe(np.zeros((1, *grid), np.float32)).shape[1]
    dual = np.size(arrays.get("dual", ()))
    shapes = {
        "scale": (length,),
        "support": (dual, length),
        "dual": (dual,),
        "intercept": (),
        "gamma": (),
    }
    if wrong := sorted(set(shapes) ^ set(arrays)):
        raise CheckpointError(f"found or missed {wrong[0]!r}; expected {', '.join(shapes)}")
    for name, shape in shapes.items():
        one = arrays[name]
        if one.shape != shape or one.dtype != np.float64 or not np.isfinite(one).all():
            raise CheckpointError(
                f"found {name} with shape {one.shape}, {one.dtype}; expected {shape}, finite float64"
            )
    intercept, gamma = float(arrays["intercept"]), float(arrays["gamma"])
    return FittedSvm(arrays["scale"], arrays["support"], arrays["dual"], intercept, gamma)


def _scale(features: Features, edges: int) -> tuple[Float[np.ndarray, " d"], int]:
    """Return the divisors, and how many of HOG and histogram vary at all (1 where neither does)."""
    scale, varying = np.ones(features.shape[1]), 0
    variance = features.var(0)
    for block in (slice(None, edges), slice(edges, None)):
        total = float(variance[block].sum())
        if total > 1e-12:  # below, nothing but rounding differs
            scale[block] = np.sqrt(total)
            varying += 1
    return scale, max(varying, 1)
