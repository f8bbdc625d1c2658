"""False alarms, escapes, precision and costs, for every threshold that could be set.

An image fails when its score is strictly above the threshold. Everything here looks at the truth about the images, so
it judges a threshold; a threshold chosen by it would be hindsight.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.errors import DataError

Scores = Float[np.ndarray, " _"]


class Costs(NamedTuple):
    """What a wrong decision costs, in any one unit."""

    false_alarm: float
    escape: float


@dataclass(frozen=True)
class Stakes:
    """What is known about the use of a detector, not about test images.

    Attributes
    ----------
    prevalence : float or None
        True share of defects, in (0, 1).
    costs : Costs or None
        Need the prevalence.

    Raises
    ------
    DataError
        For values that cannot be, or costs without prevalence.
    """

    prevalence: float | None = None
    costs: Costs | None = None

    def __post_init__(self) -> None:
        if self.prevalence is not None:
            _check_prevalence(self.prevalence)
        if self.costs is None:
            return
        _check_costs(self.costs)
        if self.prevalence is None:
            raise DataError(
                "found costs but no prevalence; expected both: the cost per image depends on how many images are "
                "defective"
            )

    @classmethod
    def of(cls, prevalence: float | None, costs: tuple[float, float] | None) -> "Stakes":
        """Take the costs as a plain pair: of a false alarm, of an escape."""
        return cls(prevalence, None if costs is None else Costs(*costs))


@dataclass(frozen=True, eq=False)
class ErrorRates:
    """Rates of both errors against the threshold; constant from each threshold up to the next.

    Attributes
    ----------
    thresholds : float64 array, ``(k,)``
        Minus infinity, then every distinct score, rising.
    false_alarms : float64 array, ``(k,)``
        Share of good images above each (overkill, false rejects): falls from 1 to 0.
    escapes : float64 array, ``(k,)``
        Share of defects not above each (underkill): rises from 0 to 1.
    """

    thresholds: Float[np.ndarray, " k"]
    false_alarms: Float[np.ndarray, " k"]
    escapes: Float[np.ndarray, " k"]

    def at(self, threshold: float) -> tuple[float, float]:
        """Return the false-alarm and the escape rate at any threshold."""
        k = int(np.searchsorted(self.thresholds, threshold, side="right")) - 1
        return float(self.false_alarms[k]), float(self.escapes[k])


def error_rates(good: Scores, defective: Scores) -> ErrorRates:
    """Count both errors at every threshold that makes a difference.

    Parameters
    ----------
    good : float array, ``(n,)``
    defective : float array, ``(m,)``
        Neither empty nor with NaN.

    Raises
    ------
    ValueError
        If a group is empty or holds NaN.
    """
    both = np.concatenate([good, defective]).astype(np.float64)
    if not (len(good) and len(defective)) or np.isnan(both).any():
        raise ValueError(
            f"Found {len(good)} good and {len(defective)} defective scores, or NaN among them; expected at least one "
            "number of each."
        )
    thresholds = np.concatenate([[-np.inf], np.unique(both)])

    def above(scores: Scores) -> Float[np.ndarray, " k"]:
        passed = np.searchsorted(np.sort(scores.astype(np.float64)), thresholds, side="right")
        return np.asarray(1 - passed / len(scores))

    return ErrorRates(thresholds, above(good), 1 - above(defective))


def precision(false_alarms: float, escapes: float, prevalence: float) -> float | None:
    """Share of failing images that are defective, where defects are as rare as they truly are.

    ``PPV = pi (1 - E) / (pi (1 - E) + (1 - pi) FA)`` by Bayes' rule. A test set with as many defects as good images
    flatters it: with E = .1 and FA = .1 it is .9 at pi = .5, but .08 at pi = .01.

    Parameters
    ----------
    false_alarms, escapes : float
        Rates at the threshold.
    prevalence : float
        True share of defects, in (0, 1).

    Returns
    -------
    float or None
        None where nothing fails.
    """
    _check_prevalence(prevalence)
    hits = prevalence * (1 - escapes)
    failing = hits + (1 - prevalence) * false_alarms
    return hits / failing if failing > 0 else None


def expected_cost(false_alarms: float, escapes: float, prevalence: float, costs: Costs) -> float:
    """Cost to be expected per image: ``c_FA FA (1 - pi) + c_E E pi``.

    The expected cost of a decision, as in Drummond and Holte 2006, https://doi.org/10.1007/s10994-006-8199-5, eq. 1.
    """
    _check_prevalence(prevalence)
    _check_costs(costs)
    return costs.false_alarm * false_alarms * (1 - prevalence) + costs.escape * escapes * prevalence


@dataclass(frozen=True, eq=False)
class CostCurve:
    """Expected cost per image against the threshold.

    Attributes
    ----------
    thresholds, costs : float64 arrays, ``(k,)``
        From `ErrorRates`: the first is what failing every image costs, the last what passing every image costs.
    """

    thresholds: Float[np.ndarray, " k"]
    costs: Float[np.ndarray, " k"]

    @property
    def hindsight(self) -> tuple[float, float]:
        """Threshold of the lowest cost on these images, and that cost: a bound to compare with, no threshold to use."""
        k = int(np.argmin(self.costs))
        return float(self.thresholds[k]), float(self.costs[k])


def cost_curve(rates: ErrorRates, prevalence: float, costs: Costs) -> CostCurve:
    """Expected cost per image, `expected_cost`, at every threshold."""
    each = zip(rates.false_alarms.tolist(), rates.escapes.tolist(), strict=True)
    values = [expected_cost(*both, prevalence, costs) for both in each]
    return CostCurve(rates.thresholds, np.array(values))


def _check_prevalence(prevalence: float) -> None:
    if not 0 < prevalence < 1:
        raise DataError(f"found the prevalence {prevalence:g}; expected a share between 0 and 1")


def _check_costs(costs: Costs) -> None:
    if not (np.isfinite(costs).all() and min(costs) >= 0 and max(costs) > 0):
        raise DataError(
            f"found the costs {costs[0]:g} (false alarm) and {costs[1]:g} (escape); expected numbers of 0 or more, "
            "not both 0"
        )
