"""Two scores of one image into one, by how unusual each is among held-out normals."""

import math

import numpy as np
from jaxtyping import Float

Scores = Float[np.ndarray, " n"]
Parts = Float[np.ndarray, "n 2"]
"""Map score and latent score of each held-out normal."""


def combined(part: tuple[float, float], normals: Parts) -> float:
    """Return Fisher's statistic ``-2 (ln p_1 + ln p_2)`` of the p-values of two scores; higher is stranger.

    The two are of one image and thus dependent: the statistic is no chi-squared variable. It needs not be: it is
    itself compared with that of held-out normals, by rank.

    References
    ----------
    Fisher 1932, Statistical Methods for Research Workers, 4th ed., section 21.1.
    """
    return -2 * sum(log_p_value(normals[:, k], part[k]) for k in (0, 1))


def leave_one_out(normals: Parts) -> Scores:
    """Return the statistic of each normal with the p-values by the others, as a new image's is by all."""
    return np.array(
        [
            combined((float(one[0]), float(one[1])), np.delete(normals, k, axis=0))
            for k, one in enumerate(normals)
        ]
    )


def log_p_value(normals: Scores, score: float) -> float:
    """Natural logarithm of a score's p-value, also where it is stranger than all normals.

    Up to the normals' median ``u`` it is the rank's, ``(1 + #{s_i >= s}) / (n + 1)``. Above, it falls as the normals
    there suggest: ``p(u) exp(-(s - u) / b)`` with ``b`` their mean excess over ``u``. Ranks alone end at
    ``1 / (n + 1)``: the strangest map could not make an image fail whose latent is usual.

    References
    ----------
    Pickands 1975, doi:10.1214/aos/1176343003 (excesses over a threshold; shape 0 is the exponential).
    """
    middle = float(np.median(normals)) if len(normals) else score
    above = normals[normals > middle]
    if score <= middle or not len(above):
        count = np.count_nonzero(normals >= score)
        return math.log((1 + count) / (len(normals) + 1))
    tail = math.log((1 + len(above)) / (len(normals) + 1))
    return tail - (score - middle) / float((above - middle).mean())
