"""How sure a share of right answers is, counted on few images."""

from dataclasses import dataclass

import scipy.special

CONFIDENCE = 0.95
"""Of every interval here."""


@dataclass(frozen=True)
class Proportion:
    """A share, and the interval that holds the true one with 95 % confidence; all in [0, 1]."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it as ``95.0 % (95 % interval 75.1 to 99.9 %)``."""
        return f"{self.value:.1%} (95 % interval {100 * self.low:.1f} to {100 * self.high:.1f} %)"


def clopper_pearson(right: float, total: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a binomial proportion.

    Every true proportion outside would give as few, or as many, right answers with a probability below 2.5 %. It holds
    the true one in at least 95 % of cases, whatever that is and however small ``total``. Wilson's score interval does
    so on average only, and less often near 0 and 1: where a check that works on a few images lies.

    Parameters
    ----------
    right, total : float
        0 <= right <= total, total > 0; need not be whole (see :func:`proportion`).

    References
    ----------
    Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; by the beta distribution and against Wilson's: Brown, Cai and
    DasGupta 2001, doi:10.1214/ss/1009213286, sections 3.1.1 and 4.2.1.
    """
    tail = (1 - CONFIDENCE) / 2
    wrong = total - right
    low = 0.0 if right == 0 else scipy.special.betaincinv(right, wrong + 1, tail)
    high = 1.0 if wrong == 0 else scipy.special.betaincinv(right + 1, wrong, 1 - tail)
    return float(low), float(high)


def proportion(right: int, total: int, independent: int) -> Proportion:
    """Return the share of right answers among images of which fewer may be independent.

    Photographs of one part are right or wrong together: at worst they count as one. So the interval is that of
    ``independent`` trials with the same share, which then need not be a whole number of right ones.

    Parameters
    ----------
    right, total : int
        Images, 0 <= right <= total.
    independent : int
        Parts they show, 1 to total; equal to ``total`` where every image is one of its own.

    References
    ----------
    Korn and Graubard 1998, Survey Methodology 24, 193-201: Clopper and Pearson's interval with the effective number of
    trials, here for a correlation of 1 within a part.
    """
    low, high = clopper_pearson(right * independent / total, independent)
    return Proportion(right / total, low, high)
