"""From a decision value to a probability, by what was decided about held-out images."""

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Bool, Float


def slope(decisions: Float[np.ndarray, " n"], present: Bool[np.ndarray, " n"]) -> float:
    """Return s >= 0 such that ``1 / (1 + exp(-s f))`` fits the decisions f of held-out images.

    Platt's maximum likelihood, with his targets (n_present + 1) / (n_present + 2) and 1 / (n_absent + 2), which keep
    few images from promising certainty; but with a slope alone, as in temperature scaling, so that .5 lies where the
    decision changes, and with both classes weighing the same. 0, which makes every probability .5, where decisions do
    not separate the classes.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines, section 2.1 and eq. 4; Guo et al. 2017, section 4.2,
    arXiv:1706.04599 (one parameter).
    """
    positive, negative = present.sum(), (~present).sum()
    target = np.where(present, (positive + 1) / (positive + 2), 1 / (negative + 2))
    weight = np.where(present, 1 / positive, 1 / negative)

    def rising(s: float) -> float:
        """Derivative of the negative log-likelihood, which is convex in s."""
        gap = scipy.special.expit(s * decisions) - target
        return float((weight * decisions * gap).sum())

    if rising(0.0) >= 0:
        return 0.0
    high = 1.0
    while rising(high) < 0:
        high *= 2
    return float(scipy.optimize.brentq(rising, 0.0, high))


def probability(decision: float, slope: float) -> float:
    """Return the probability of presence, for pictures of which half show it."""
    return float(scipy.special.expit(slope * decision))
