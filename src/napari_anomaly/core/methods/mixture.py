"""Gaussian mixtures: parameters from memberships, and how unlikely a point is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Points = Float[Array, "n d"]
Members = Float[Array, "n k"]

_FLOOR, _RELATIVE = (
    1e-3,
    1e-4,
)  # added to variances: few points, or equal ones, have a singular covariance
_FEWEST = 1e-6  # share of the points that a component is taken to have at least


class Mixture(NamedTuple):
    """Weights ``(k,)`` that sum to 1, means ``(k, d)``, covariances ``(k, d, d)``."""

    weights: Float[Array, " k"]
    means: Float[Array, "k d"]
    covariances: Float[Array, "k d d"]


def mixture_of(points: Points, members: Members, mean: Callable[[Array], Array]) -> Mixture:
    """Return the mixture that goes with soft memberships.

    ``w_k = mean(m_k)``, ``mu_k = mean(m_k z) / w_k``, ``S_k = mean(m_k (z - mu_k) (z - mu_k)^T) / w_k``; to the
    variances ``S_kjj`` are added .001 and a ten-thousandth of themselves.

    Parameters
    ----------
    points : array, ``(n, d)``
    members : array, ``(n, k)``
        Rows sum to 1.
    mean : callable
        Of an array ``(n, ...)`` over its first axis, and over those of other devices where there are some.

    References
    ----------
    Zong et al. 2018, section 3.3.
    """
    weights = mean(members)
    counted = jnp.maximum(weights, _FEWEST)
    means = mean(members[:, :, None] * points[:, None]) / counted[:, None]
    off = points[:, None] - means  # (n, k, d)
    products = members[:, :, None, None] * off[..., :, None] * off[..., None, :]
    covariances = mean(products) / counted[:, None, None]
    diagonal = jnp.eye(points.shape[1])
    return Mixture(weights, means, covariances + diagonal * (_FLOOR + _RELATIVE * covariances))


def energy_of(mixture: Mixture, points: Points) -> Float[Array, " n"]:
    """Return ``-log sum_k w_k N(z; mu_k, S_k)`` of each point: the lower, the more usual.

    With ``S = L L^T`` a component's logarithm is ``log w - |L^-1 (z - mu)|^2 / 2 - sum log L_jj - d / 2 log 2 pi``.

    References
    ----------
    Zong et al. 2018, section 3.3.
    """
    factor = jnp.linalg.cholesky(mixture.covariances)  # (k, d, d)
    off = (points[:, None] - mixture.means).transpose(1, 2, 0)  # (k, d, n)
    white = jax.scipy.linalg.solve_triangular(factor, off, lower=True)
    scale = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(-1)
    constant = 0.5 * points.shape[1] * jnp.log(2 * jnp.pi)
    weight = jnp.log(jnp.maximum(mixture.weights, _FEWEST))
    logarithms = (weight - scale - constant)[:, None] - 0.5 * (white**2).sum(1)
    energy: Float[Array, " n"] = -jax.nn.logsumexp(logarithms, axis=0)
    return energy


def narrowness(mixture: Mixture) -> Float[Array, ""]:
    """Return ``sum_k sum_j 1 / S_kjj``, which keeps components from collapsing (Zong et al. 2018, section 3.4)."""
    total: Float[Array, ""] = (1 / jnp.diagonal(mixture.covariances, axis1=1, axis2=2)).sum()
    return total
