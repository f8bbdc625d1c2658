"""Wasserstein GAN with gradient penalty: the losses of critic and generator, image by image.

References
----------
Arjovsky et al. 2017, arXiv:1701.07875; Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Images = Float[Array, "n y x c"]
Losses = Float[Array, " n"]
Keys = Key[Array, " n"]

_TINY = 1e-12  # the square root has no derivative at 0


def noise(keys: Keys, size: int) -> Float[Array, "n size"]:
    """Standard normal numbers, each image's by its own key."""
    return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)


def gradient_penalty(
    critic: Callable[[Images], Losses], real: Images, drawn: Images, alpha: Losses
) -> Losses:
    """``(|| grad D(x') ||_2 - 1)^2`` of each image at ``x' = alpha x + (1 - alpha) G(z)``.

    One ``alpha`` and one norm, over all of an image's values, for each image. The gradient of the sum is that of each
    image only because no image's value depends on another: the critic must not normalise over the batch.

    Parameters
    ----------
    critic : callable
        Images ``(n, y, x, c)`` to values ``(n,)``.
    real, drawn : arrays, ``(n, y, x, c)``
    alpha : array, ``(n,)``
        Uniform in [0, 1].
    """
    share = alpha[:, None, None, None]
    between = share * real + (1 - share) * drawn
    slopes = jax.grad(lambda images: critic(images).sum())(between)
    return (jnp.sqrt((slopes**2).sum((1, 2, 3)) + _TINY) - 1) ** 2


@dataclass(frozen=True)
class CriticLoss:
    """``D(G(z)) - D(x) + penalty * gradient penalty``: its negative first part estimates the Wasserstein distance."""

    penalty: float

    def __call__(self, networks: Any, images: Images, keys: Keys) -> Losses:
        """Loss of each real image, beside one drawn by its key."""
        generator, critic = networks["generator"], networks["critic"]
        latent, between = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
        drawn = generator(noise(latent, generator.latent))
        alpha = jax.vmap(jax.random.uniform)(between)
        distance = critic(drawn) - critic(images)
        losses: Losses = distance + self.penalty * gradient_penalty(critic, images, drawn, alpha)
        return losses


def generator_loss(networks: Any, images: Images, keys: Keys) -> Losses:
    """``-D(G(z))``, one draw in place of each image."""
    generator, critic = networks["generator"], networks["critic"]
    losses: Losses = -critic(generator(noise(keys, generator.latent)))
    return losses
