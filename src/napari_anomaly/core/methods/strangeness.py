"""Where a trained VAE finds an image strange, beyond the residual: gradients in the image itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from napari_anomaly.core.methods.fitted import Images

_COPIES = 16  # noisy ones that a gradient is averaged over
_NOISE = 0.1  # their deviation, as a share of the intensities' span
_STEP = 0.5
_SPARSITY = 0.05


def smooth_gradient(
    function: Callable[[Images], Float[Array, " n"]], images: Images, span: Array
) -> Images:
    """Absolute gradient of a number per image in its pixels, averaged over copies with Gaussian noise.

    The noise is the same for every image, so that inspecting is not random.

    Parameters
    ----------
    function : callable
        Images ``(n, y, x, c)`` to numbers ``(n,)``.
    images : array, ``(n, y, x, c)``
    span : scalar
        Highest less lowest intensity; the noise's deviation is a tenth of it.

    References
    ----------
    Smilkov et al. 2017, arXiv:1706.03825 (SmoothGrad, noise of 10 to 20 % of the span); Zimmerer et al. 2019,
    arXiv:1907.02796 (of a VAE's KL term).
    """
    gradient: Callable[[Images], Images] = jax.grad(lambda some: function(some).sum())
    noise = _NOISE * span * jax.random.normal(jax.random.key(0), (_COPIES, *images.shape[1:]))

    def add(k: Array, total: Images) -> Images:
        return jnp.add(total, gradient(images + noise[k]))

    total: Images = jax.lax.fori_loop(0, _COPIES, add, jnp.zeros_like(images))
    result: Images = jnp.abs(total / _COPIES)
    return result


def restored(
    energy: Callable[[Images], Float[Array, " n"]],
    reconstruct: Callable[[Images], Images],
    images: Images,
    rounds: int,
) -> Images:
    """Change images step by step until a model finds them likely, most where it reconstructs them badly.

    ``x' = x - a dE/dx (x - r(x))^2`` with ``E(x) = L(x) + b |x - x_0|_1``, a = .5 and b = .05.

    Parameters
    ----------
    energy : callable
        ``L``: images to numbers ``(n,)``, the model's loss summed over pixels.
    reconstruct : callable
        ``r``: images to images.
    images : array, ``(n, y, x, c)``
        ``x_0``, with intensities that span 1: step and weight are made for it.
    rounds : int
        Number of steps.

    References
    ----------
    Dehaene et al. 2020, arXiv:2002.03734, section 3.
    """
    gradient: Callable[[Images], Images] = jax.grad(lambda some: energy(some).sum())

    def change(_: Array, now: Images) -> Images:
        slope = gradient(now) + _SPARSITY * jnp.sign(now - images)
        changed: Images = now - _STEP * slope * (now - reconstruct(now)) ** 2
        return changed

    result: Images = jax.lax.fori_loop(0, rounds, change, images)
    return result
