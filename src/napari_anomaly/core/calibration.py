"""Scores of held-out normal images -> threshold, p-value, verdict and what they guarantee.

Everything rests on ranks, so nothing is assumed about how scores are distributed: only that the
calibration images and future normal images are exchangeable, and that none was trained on.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.errors import CalibrationError
from napari_anomaly.core.types import Verdict

Scores = Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What held-out normal images say about scores, and the false-alarm rate that was asked for.

    Attributes
    ----------
    scores : float64 array, ``(n,)``
        Image scores of the held-out normals.
    peaks : float64 array, ``(n,)``
        Highest value of each one's anomaly map.
    false_alarm : float
        Wanted share of normal images that fail, in (0, 1).
    review : float or None
        Wanted share of normal images that are not passed outright, at least `false_alarm`.
        None: the verdict is never ``"review"``.
    parts : float64 array, ``(n, 2)``, or None
        Where map and latent both count: each normal's score of the one and of the other, which `scores` combine.
    anywhere : float64 array, ``(n, 2)``, or None
        Where places have statistics of their own: each normal's score and peak with these pooled, as in a larger image.

    Raises
    ------
    CalibrationError
        If the scores are unusable or too few for the rates; the message gives the number needed.

    Notes
    -----
    With ``k = floor(false_alarm * (n + 1))`` the thresholds are the k-th largest score and peak.
    A new normal image exceeds the k-th largest of n with probability at most
    ``k / (n + 1) <= false_alarm`` (split conformal prediction), and an image fails exactly when
    its p-value is at most `false_alarm`.

    References
    ----------
    Lei et al. 2018, "Distribution-free predictive inference for regression",
    https://doi.org/10.1080/01621459.2017.1307116

    Wilks 1941, "Determination of sample sizes for setting tolerance limits",
    https://doi.org/10.1214/aoms/1177731788
    """

    scores: Float[np.ndarray, "..."]  # one axis: checked below, in words a user can read
    peaks: Float[np.ndarray, "..."]
    false_alarm: float
    review: float | None = None
    parts: Float[np.ndarray, "..."] | None = None
    anywhere: Float[np.ndarray, "..."] | None = None

    def __post_init__(self) -> None:
        for name in ("scores", "peaks"):
            object.__setattr__(self, name, _frozen_scores(getattr(self, name), name))
        if len(self.peaks) != len(self.scores):
            raise CalibrationError(
                f"Found {len(self.scores)} scores but {len(self.peaks)} peaks; "
                "every normal image gives one of each."
            )
        for name in ("parts", "anywhere"):
            if (pairs := getattr(self, name)) is not None:
                object.__setattr__(self, name, _frozen_pairs(pairs, name, len(self.scores)))
        check_rates(len(self.scores), self.false_alarm, self.review)

    def for_any_place(self) -> "Calibration":
        """Return what holds where places are not known: of the pooled statistics, if there are others."""
        if self.anywhere is None:
            return self
        scores, peaks = self.anywhere.T
        return Calibration(scores, peaks, self.false_alarm, self.review)

    @property
    def n(self) -> int:
        """Number of held-out normal images."""
        return len(self.scores)

    @cached_property
    def threshold(self) -> float:
        """Score above which an image fails."""
        return _kth_largest(self.scores, _rank(self.false_alarm, self.n))

    @cached_property
    def map_threshold(self) -> float:
        """Value of the map above which a pixel belongs to a region; few normals have any."""
        return _kth_largest(self.peaks, _rank(self.false_alarm, self.n))

    @cached_property
    def review_threshold(self) -> float:
        """Score above which an image does not pass; `threshold` where no review rate is set."""
        rate = self.false_alarm if self.review is None else self.review
        return _kth_largest(self.scores, _rank(rate, self.n))

    @property
    def review_load(self) -> float:
        """Share of normal images to be expected in the review band: between the ranks of the two thresholds."""
        if self.review is None:
            return 0.0
        ranks = _rank(self.review, self.n) - _rank(self.false_alarm, self.n)
        return ranks / (self.n + 1)

    def p_value(self, score: float) -> float:
        """How often a normal image scores this high: ``(1 + #{s_i >= s}) / (n + 1)``."""
        return _p_value(self.scores, score)

    def map_p_value(self, peak: float) -> float:
        """How often a normal image's map reaches this value anywhere."""
        return _p_value(self.peaks, peak)

    def verdict(self, score: float) -> Verdict:
        """``"fail"`` above `threshold`, ``"review"`` above `review_threshold`, else ``"pass"``."""
        _refuse_nan(score)
        if score > self.threshold:
            return "fail"
        return "review" if score > self.review_threshold else "pass"

    def false_alarm_bound(self, confidence: float = 0.95) -> float:
        """Upper bound of the true false-alarm rate that holds with this confidence.

        The rate above the k-th largest of n continuous scores follows Beta(k, n - k + 1) whatever
        their distribution; ties only lower it.
        """
        return _bound(_rank(self.false_alarm, self.n), self.n, confidence)

    def review_bound(self, confidence: float = 0.95) -> float:
        """Upper bound, as `false_alarm_bound`, of the share of normal images that do not pass: review or fail."""
        rate = self.false_alarm if self.review is None else self.review
        return _bound(_rank(rate, self.n), self.n, confidence)


def check_rates(n: int, false_alarm: float, review: float | None) -> None:
    """Raise CalibrationError for rates that `n` held-out normals cannot support, or a review rate below the other."""
    if review is not None and review < false_alarm:
        raise CalibrationError(
            f"The review rate {review:g} is below the false-alarm rate {false_alarm:g}; every failing image is also "
            "one to review, so give a rate at least as large."
        )
    for rate in (false_alarm, review):
        if rate is not None:
            _rank(rate, n)


def smallest_rate(n: int) -> float:
    """Lowest false-alarm rate that `n` held-out normals can support."""
    return 1 / (n + 1)


def normals_needed(rate: float) -> int:
    """Fewest held-out normals that support this false-alarm rate: ``ceil(1 / rate) - 1``."""
    _check_rate(rate)
    n = round(1 / rate) - 1  # ceil(1 / rate) would turn 1 / (1 / 49) = 49.00000000000001 into 50
    return n if smallest_rate(n) <= rate else n + 1


def _rank(rate: float, n: int) -> int:
    """Largest k with ``k / (n + 1) <= rate``, compared as `p_value` computes it."""
    _check_rate(rate)
    k = round(rate * (n + 1))  # floor(0.29 * 100) would be 28
    k = k if k / (n + 1) <= rate else k - 1
    if k < 1:
        raise CalibrationError(
            f"A false-alarm rate of {rate:g} needs {normals_needed(rate)} held-out normal images, "
            f"found {n}. Add normal images or ask for a rate of at least {smallest_rate(n):.3g}."
        )
    return k


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise CalibrationError(f"Found a false-alarm rate of {rate:g}; expected one in (0, 1).")


def _frozen_scores(values: np.ndarray, name: str) -> Scores:
    scores = np.array(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise CalibrationError(
            f"Found calibration {name} of shape {scores.shape}; expected one per normal image."
        )
    bad = np.count_nonzero(~np.isfinite(scores))
    if bad:
        raise CalibrationError(
            f"{bad} of {scores.size} calibration {name} are NaN or infinite; expected numbers."
        )
    scores.flags.writeable = False
    return scores


def _bound(k: int, n: int, confidence: float) -> float:
    """Quantile of the rate above the k-th largest of n scores, Beta(k, n - k + 1)."""
    if not 0 < confidence < 1:
        raise CalibrationError(f"Found confidence {confidence:g}; expected one in (0, 1).")
    from scipy.special import betaincinv

    return float(betaincinv(k, n - k + 1, confidence))


def _frozen_pairs(values: np.ndarray, name: str, n: int) -> Float[np.ndarray, "n 2"]:
    if values.shape != (n, 2):
        raise CalibrationError(
            f"Found calibration {name} of shape {values.shape}; expected ({n}, 2)."
        )
    pairs = np.stack([_frozen_scores(one, name) for one in values.T], axis=1)
    pairs.flags.writeable = False
    return pairs


def _kth_largest(values: Scores, k: int) -> float:
    return float(np.partition(values, -k)[-k])


def _p_value(normals: Scores, value: float) -> float:
    _refuse_nan(value)
    return (1 + int(np.count_nonzero(normals >= np.float64(value)))) / (len(normals) + 1)


def _refuse_nan(value: float) -> None:
    if math.isnan(value):
        raise CalibrationError(
            "The score is NaN, so it has no p-value and no verdict; check image and detector."
        )
