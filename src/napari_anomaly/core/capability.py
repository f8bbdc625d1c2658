"""How far scores keep from the threshold, in the words of process control: Cpu, Cpl, Cpk.

The scores of good parts are a process with one upper limit, the threshold; those of defects one with the same value
as a lower limit.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_UPPER = 0.99865  # a normal distribution's share below three standard deviations above its mean
_FEWEST_TESTED = 8  # the approximation of the p-value holds from here on
_LARGEST_TABULATED = 10.0
_ALPHA = 0.05

Scores = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Capability:
    """Distances of one group's scores from a limit.

    Attributes
    ----------
    n : int
        Scores.
    index : float or None
        Normal form: distance of the mean in units of three standard deviations; None without spread.
    percentile_index : float or None
        The same from percentiles, assuming no distribution; None where `n` does not reach that far.
    percentile_index_at_most : float or None
        The percentile form with the outermost score in place of the percentile. While that lies inside of it, which
        has the probability `chance`, this is an upper bound of the true index. None without spread, or with the limit
        on the wrong side of the median, where it would be a lower one.
    chance : float
        ``.99865 ** n``: probability that all n scores lie inside the percentile.
    p_normal : float or None
        p-value of the Anderson-Darling test of a normal distribution, mean and variance estimated; None below eight
        scores or without spread.
    """

    n: int
    index: float | None
    percentile_index: float | None
    percentile_index_at_most: float | None
    chance: float
    p_normal: float | None

    @property
    def note(self) -> str:
        """Say how far the indices can be believed."""
        return f"{self._on_normality()} {self._on_reach()}"

    def _on_normality(self) -> str:
        if self.p_normal is None:
            return (
                f"Anderson-Darling test of a normal distribution: not possible with {self.n} scores "
                "(at least 8 that differ); the normal form is unchecked."
            )
        told = f"Anderson-Darling test of a normal distribution, {self.n} scores: p = {self.p_normal:.2g}."
        if self.p_normal < _ALPHA:
            return f"{told} The scores are not normal: do not rely on the normal form."
        return f"{told} No sign against the normal form."

    def _on_reach(self) -> str:
        needed = fewest_scores()
        if self.n >= needed:
            return f"The 99.865 % percentile is estimated from {self.n} scores."
        return (
            f"The percentile form needs {needed} scores; {self.n} reach to the {100 * self.n / (self.n + 1):.4g} % "
            "percentile."
        )


def fewest_scores() -> int:
    """Fewest scores whose order statistics reach the 99.865 % percentile: p (n + 1) <= n, so n = 740."""
    return math.ceil(_UPPER / (1 - _UPPER))


def upper_capability(scores: Scores, limit: float) -> Capability:
    """Capability of scores that should stay below a limit: Cpu.

    Normal form ``(t - mean) / (3 s)`` with the standard deviation s of n - 1 degrees of freedom; percentile form
    ``(t - median) / (q(.99865) - median)``, with the q(p) between order statistics at p (n + 1).

    Parameters
    ----------
    scores : float array, ``(n,)``
        At least one, finite.
    limit : float

    References
    ----------
    Kane 1986, "Process capability indices", https://doi.org/10.1080/00224065.1986.11978984 (normal form).

    Clements 1989, "Process capability calculations for non-normal distributions", Quality Progress 22 (9), 95-100;
    ISO 22514-2:2017 (percentile form).

    Hyndman and Fan 1996, https://doi.org/10.1080/00031305.1996.10473566 (type 6 percentiles).
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"Found {len(scores)} scores, or some not finite; expected numbers.")
    values = np.sort(scores.astype(np.float64))
    n, spread = len(values), float(np.ptp(values))
    median = float(np.median(values))
    reached = n >= fewest_scores()
    top = float(np.quantile(values, _UPPER, method="weibull")) if reached else None
    return Capability(
        n,
        index=(limit - float(values.mean())) / (3 * float(values.std(ddof=1))) if spread else None,
        percentile_index=None if top is None else _ratio(limit - median, top - median),
        percentile_index_at_most=_ratio(limit - median, float(values[-1]) - median)
        if limit >= median
        else None,
        chance=_UPPER**n,
        p_normal=anderson_darling(values) if n >= _FEWEST_TESTED and spread else None,
    )


def lower_capability(scores: Scores, limit: float) -> Capability:
    """Capability of scores that should stay above a limit: Cpl, ``(mean - t) / (3 s)``; see `upper_capability`."""
    return upper_capability(-scores, -limit)


def anderson_darling(scores: Scores) -> float:
    """p-value of normality, mean and variance estimated from the scores.

    ``A2 = -n - 1/n sum (2 i - 1) (ln F(z_i) + ln(1 - F(z_(n+1-i))))``, made ``A2 (1 + .75 / n + 2.25 / n2)``, then
    the piecewise exponentials of the reference. The test weighs the tails, where thresholds lie.

    Parameters
    ----------
    scores : float array, ``(n,)``
        At least eight, not all equal.

    Returns
    -------
    float
        In [0, 1]; not told apart below about 4e-24.

    References
    ----------
    Stephens 1986 in D'Agostino and Stephens, "Goodness-of-fit techniques", section 4.8.5, table 4.9.
    """
    from scipy.special import log_ndtr

    values = np.sort(scores)
    n = len(values)
    z = (values - values.mean()) / values.std(ddof=1)
    odd = 2 * np.arange(1, n + 1) - 1
    statistic = -n - float(odd @ (log_ndtr(z) + log_ndtr(-z[::-1]))) / n
    return _p_of(min(statistic * (1 + 0.75 / n + 2.25 / n**2), _LARGEST_TABULATED))


def _p_of(a: float) -> float:
    if a >= 0.6:
        return math.exp(1.2937 - 5.709 * a + 0.0186 * a**2)
    if a > 0.34:
        return math.exp(0.9177 - 4.279 * a - 1.38 * a**2)
    if a > 0.2:
        return 1 - math.exp(-8.318 + 42.796 * a - 59.938 * a**2)
    return 1 - math.exp(-13.436 + 101.14 * a - 223.73 * a**2)


def _ratio(distance: float, spread: float) -> float | None:
    return distance / spread if spread > 0 else None
