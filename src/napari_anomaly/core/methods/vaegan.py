"""VAE-GAN: an autoencoder whose likeness is what a discriminator has learned to look at."""

from collections.abc import Generator as Steps
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.fitted import Images, Pair
from napari_anomaly.core.methods.knobs.vaegan import VAEGAN
from napari_anomaly.core.methods.vae import divergence
from napari_anomaly.core.nn.adversarial import Adversaries, Contest, Player
from napari_anomaly.core.nn.blocks import Grid
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.critics import Critic, Generator
from napari_anomaly.core.nn.devices import mesh_of_all
from napari_anomaly.core.nn.samples import Painter, check_range
from napari_anomaly.core.nn.train import Show, averaged, on_first, repeat
from napari_anomaly.core.nn.wasserstein import noise
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

Latent = Float[Array, "n latent"]
Losses = Float[Array, " n"]
Keys = Key[Array, " n"]


class Network(nnx.Module):
    """Encoder to mean and log-variance, decoder, discriminator."""

    def __init__(self, knobs: VAEGAN, grid: Grid, *, rngs: nnx.Rngs) -> None:
        self.encoder = Critic(grid, knobs.widths, knobs.blocks, 2 * knobs.latent, rngs=rngs)
        self.decoder = Generator(grid, knobs.widths, knobs.blocks, knobs.latent, rngs=rngs)
        self.discriminator = Critic(grid, knobs.widths, knobs.blocks, 1, rngs=rngs)


def posterior(encoder: Critic, images: Images) -> tuple[Latent, Latent]:
    """Mean and log-variance of q(z | x)."""
    mean, log_variance = jnp.split(encoder.numbers(images), 2, axis=-1)
    return mean, log_variance


def feature_error(discriminator: Critic, images: Images, others: Images, level: int) -> Losses:
    """``1/2 sum (Dis_l(x) - Dis_l(y))^2``: a Gaussian of the features, with identity covariance."""
    ours, theirs = (discriminator.maps(one)[level - 1] for one in (images, others))
    return 0.5 * ((ours - theirs) ** 2).sum((1, 2, 3))


def rebuilt_and_drawn(
    networks: Any, images: Images, keys: Keys
) -> tuple[tuple[Latent, Latent], Images, Images]:
    """Posterior of each image, the image rebuilt from a sample of it, and one drawn from the prior."""
    encoder, decoder = networks["encoder"], networks["decoder"]
    of_posterior, of_prior = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
    mean, log_variance = posterior(encoder, images)
    z = mean + jnp.exp(0.5 * log_variance) * noise(of_posterior, decoder.latent)
    return (mean, log_variance), decoder(z), decoder(noise(of_prior, decoder.latent))


@dataclass(frozen=True)
class EncoderLoss:
    """``L_prior + L_llike``: KL term and feature error."""

    level: int

    def __call__(self, networks: Any, images: Images, keys: Keys) -> Losses:
        """Loss of each image."""
        latent, rebuilt, _ = rebuilt_and_drawn(networks, images, keys)
        likeness = feature_error(networks["discriminator"], images, rebuilt, self.level)
        return divergence(*latent) + likeness


@dataclass(frozen=True)
class DecoderLoss:
    """``gamma L_llike + log(1 - Dis(rebuilt)) + log(1 - Dis(drawn))``."""

    level: int
    gamma: float

    def __call__(self, networks: Any, images: Images, keys: Keys) -> Losses:
        """Loss of each image."""
        discriminator = networks["discriminator"]
        _, rebuilt, drawn = rebuilt_and_drawn(networks, images, keys)
        likeness = feature_error(discriminator, images, rebuilt, self.level)
        return self.gamma * likeness + sum(_known(discriminator, one) for one in (rebuilt, drawn))


def discriminator_loss(networks: Any, images: Images, keys: Keys) -> Losses:
    """``-log Dis(x) - log(1 - Dis(rebuilt)) - log(1 - Dis(drawn))``."""
    discriminator = networks["discriminator"]
    _, rebuilt, drawn = rebuilt_and_drawn(networks, images, keys)
    found: Losses = -jax.nn.log_sigmoid(discriminator(images))
    return found - sum(_known(discriminator, one) for one in (rebuilt, drawn))


def _known(discriminator: Critic, made: Images) -> Losses:
    """``log(1 - Dis(y))`` of images that were made."""
    logarithms: Losses = jax.nn.log_sigmoid(-discriminator(made))
    return logarithms


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights"],
    meta_fields=["graph", "grid", "feature_level"],
)
@dataclass(frozen=True)
class FittedVAEGAN:
    """The three trained networks."""

    weights: nnx.State[Any, Any]
    graph: Any
    grid: Grid
    feature_level: int

    def encode(self, images: Images) -> Latent:
        """Return the means of q(z | x)."""
        network: Network = nnx.merge(self.graph, self.weights)
        return posterior(network.encoder, images)[0]

    def decode(self, latent: Latent) -> Images:
        """Draw images in [-1, 1]."""
        network: Network = nnx.merge(self.graph, self.weights)
        return network.decoder(latent)

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Decode the mean of q(z | x): no randomness when inspecting."""
        rebuilt = self.decode(self.encode(images))
        if self.feature_level == 0:
            return (Pair(images, rebuilt),)
        network: Network = nnx.merge(self.graph, self.weights)
        maps = (network.discriminator.maps(one) for one in (images, rebuilt))
        ours, theirs = (one[self.feature_level - 1] for one in maps)
        return Pair(images, rebuilt), Pair(ours, theirs, features=True)

    def latent_score(self, images: Images) -> None:
        """Return None: the latent is not scored."""

    def reach(self) -> None:
        """Return None: the latent is of the whole image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, and the grid."""
        return to_arrays(self.weights, self.grid)


def fit_steps(
    knobs: VAEGAN, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Steps[Progress, None, FittedVAEGAN]:
    """Train the three networks on ``(n, y, x, c)`` images in [-1, 1].

    Raises
    ------
    RecipeError
        If the images do not lie in [-1, 1], or the discriminator lacks a wanted level.
    """
    grid: Grid = images.shape[1:]
    network: Any = fresh(Network, knobs, grid, seed)
    check_range(images)
    _check_levels(knobs, network)
    names = ("encoder", "decoder", "discriminator")
    split = [nnx.split(getattr(network, name), nnx.Param) for name in names]
    losses: tuple[Contest, ...] = (
        EncoderLoss(knobs.level),
        DecoderLoss(knobs.level, knobs.gamma),
        discriminator_loss,
    )
    players = (
        Player(name, one[0], loss) for name, one, loss in zip(names, split, losses, strict=True)
    )
    step, mesh = Adversaries(tuple(players), together=True), mesh_of_all()
    painter = Painter.of(network.decoder, seed)
    state = yield from repeat(
        step,
        step.begun(tuple(one[1] for one in split), knobs.training, mesh.size),
        images,
        knobs.training,
        seed=seed,
        budget=budget,
        keeper=keeper,
        mesh=mesh,
        show=Show("training", lambda state: painter.picture(state.sides[1])),
    )
    encoder, decoder = (averaged(side, mesh) for side in state.sides[:2])
    painter.warn_of_collapse(decoder, images)
    discriminator = on_first(state.sides[2].weights, mesh)
    weights: nnx.State[Any, Any] = nnx.State(
        {"encoder": encoder, "decoder": decoder, "discriminator": discriminator}
    )
    return FittedVAEGAN(weights, nnx.graphdef(network), grid, knobs.feature_level)


def restore(knobs: VAEGAN, arrays: Mapping[str, np.ndarray]) -> FittedVAEGAN:
    """Rebuild from :meth:`FittedVAEGAN.arrays`.

    Raises
    ------
    CheckpointError
        If the arrays do not fit.
    RecipeError
        If the discriminator lacks a wanted level.
    """
    graph, weights, grid = from_arrays(Network, knobs, arrays)
    _check_levels(knobs, nnx.merge(graph, weights))
    return FittedVAEGAN(weights, graph, grid, knobs.feature_level)


def _check_levels(knobs: VAEGAN, network: Any) -> None:
    levels = len(network.discriminator.levels)
    if max(knobs.level, knobs.feature_level) > levels:
        raise RecipeError(
            f"found level {knobs.level} and feature_level {knobs.feature_level}; expected at most {levels}, the number "
            "of the discriminator's levels"
        )
