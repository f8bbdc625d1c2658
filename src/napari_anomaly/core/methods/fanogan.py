"""f-AnoGAN: a generator draws normal images, an encoder finds the one most like the inspected image."""

import time
from collections.abc import Generator as Steps
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.fitted import Images, Pair, expect
from napari_anomaly.core.methods.knobs.fanogan import FAnoGAN
from napari_anomaly.core.nn.adversarial import Adversaries, Player
from napari_anomaly.core.nn.blocks import Grid
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.critics import Critic, Generator
from napari_anomaly.core.nn.devices import mesh_of_all
from napari_anomaly.core.nn.samples import Painter, check_range
from napari_anomaly.core.nn.stages import Stage, Stages
from napari_anomaly.core.nn.train import Show, averaged, on_first, repeat, resumed
from napari_anomaly.core.nn.wasserstein import CriticLoss, generator_loss
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

Latent = Float[Array, "n latent"]
Weights = nnx.State[Any, Any]

_FIRST = 2 / 3  # of a budget, for generator and critic
_LAMBDA = 0.1  # of AnoGAN's search


class Network(nnx.Module):
    """Generator, critic and encoder; the encoder is built like the critic, its outputs are linear."""

    def __init__(self, knobs: FAnoGAN, grid: Grid, *, rngs: nnx.Rngs) -> None:
        self.generator = Generator(grid, knobs.widths, knobs.blocks, knobs.latent, rngs=rngs)
        self.critic = Critic(grid, knobs.widths, knobs.blocks, 1, rngs=rngs)
        self.encoder = Critic(grid, knobs.widths, knobs.blocks, knobs.latent, rngs=rngs)


def anomaly(critic: Critic, images: Images, drawn: Images, kappa: float) -> Float[Array, " n"]:
    """``A = A_R + kappa A_D``: mean squared residual of the values, and of the critic's features.

    References
    ----------
    Schlegl et al. 2019, doi:10.1016/j.media.2019.01.010: the loss of izi_f and the anomaly score.
    """
    residual = ((images - drawn) ** 2).mean((1, 2, 3))
    features = ((critic.features(images) - critic.features(drawn)) ** 2).mean(1)
    return residual + kappa * features


@dataclass(frozen=True)
class EncodingLoss:
    """The loss of izi_f: :func:`anomaly` of each image, which moves the encoder alone."""

    kappa: float

    def __call__(self, networks: Any, images: Images, keys: Key[Array, " n"]) -> Float[Array, " n"]:
        """Encode, draw, compare."""
        drawn = networks["generator"](networks["encoder"].numbers(images))
        return anomaly(networks["critic"], images, drawn, self.kappa)


def search_loss(
    generator: Generator, critic: Critic, images: Images, latent: Latent
) -> Float[Array, " n"]:
    """AnoGAN's loss of a latent, and its score: ``(1 - lambda) sum |x - G(z)| + lambda sum |f(x) - f(G(z))|``.

    lambda is .1, ``f`` the critic's last level.

    References
    ----------
    Schlegl et al. 2017, arXiv:1703.05921: residual and feature-matching loss, lambda .1.
    """
    drawn = generator(latent)
    residual = jnp.abs(images - drawn).sum((1, 2, 3))
    features = jnp.abs(critic.features(images) - critic.features(drawn)).sum(1)
    return (1 - _LAMBDA) * residual + _LAMBDA * features


def searched(
    generator: Generator,
    critic: Critic,
    images: Images,
    start: Float[Array, " latent"],
    knobs: FAnoGAN,
) -> Latent:
    """Latents found by steps of Adam down :func:`search_loss`, each image's by itself, all from one start."""
    adam = optax.adam(knobs.search_rate)
    slope = jax.grad(lambda latent: search_loss(generator, critic, images, latent).sum())

    def step(_: Array, before: tuple[Latent, Any]) -> tuple[Latent, Any]:
        latent, state = before
        moves, state = adam.update(slope(latent), state)
        return latent + moves, state

    first = jnp.tile(start, (len(images), 1))
    found: Latent = jax.lax.fori_loop(0, knobs.search_steps, step, (first, adam.init(first)))[0]
    return found


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights", "start"],
    meta_fields=["graph", "grid", "knobs"],
)
@dataclass(frozen=True)
class FittedFAnoGAN:
    """The three trained networks; ``start`` is where a search begins, drawn by the seed."""

    weights: Weights
    start: Float[Array, " latent"]
    graph: Any
    grid: Grid
    knobs: FAnoGAN

    def encode(self, images: Images) -> Latent:
        """Find the latents of images, as the knob ``inversion`` says."""
        network: Network = nnx.merge(self.graph, self.weights)
        if self.knobs.inversion == "encoder":
            return network.encoder.numbers(images)
        return searched(network.generator, network.critic, images, self.start, self.knobs)

    def decode(self, latent: Latent) -> Images:
        """Draw images in [-1, 1]."""
        network: Network = nnx.merge(self.graph, self.weights)
        return network.generator(latent)

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Draw the images most like the given ones; with them, if wanted, what a level of the critic makes of both."""
        drawn = self.decode(self.encode(images))
        level = self.knobs.feature_level
        if level == 0:
            return (Pair(images, drawn),)
        network: Network = nnx.merge(self.graph, self.weights)
        ours, theirs = (network.critic.maps(one)[level - 1] for one in (images, drawn))
        return Pair(images, drawn), Pair(ours, theirs, features=True)

    def latent_score(self, images: Images) -> Float[Array, " n"]:
        """Return the paper's score of each image."""
        network: Network = nnx.merge(self.graph, self.weights)
        latent = self.encode(images)
        if self.knobs.inversion == "search":
            return search_loss(network.generator, network.critic, images, latent)
        return anomaly(network.critic, images, network.generator(latent), self.knobs.kappa)

    def reach(self) -> None:
        """Return None: the latent is of the whole image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, the grid, and the start of a search."""
        return to_arrays(self.weights, self.grid) | {"start": np.asarray(self.start)}


def fit_steps(
    knobs: FAnoGAN, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Steps[Progress, None, FittedFAnoGAN]:
    """Train generator and critic, then the encoder, on ``(n, y, x, c)`` images in [-1, 1].

    Two thirds of a budget go to the first training. Once anything of the second is kept, the first is over, even if
    the budget had ended it early: the encoder knows these networks.

    Raises
    ------
    RecipeError
        If the images do not lie in [-1, 1], or the critic lacks the level of ``feature_level``.
    """
    grid: Grid = images.shape[1:]
    network: Any = fresh(Network, knobs, grid, seed)
    check_range(images)
    _check_level(knobs, network)
    began, stages, mesh = time.monotonic(), Stages.of(keeper), mesh_of_all()
    of_first, of_second = (
        None if stages is None else stages.stage(name) for name in ("generator", "encoder")
    )
    shared: dict[str, Any] = {"seed": seed, "mesh": mesh}
    first: dict[str, Any] = {
        "budget": None if budget is None else _FIRST * budget,
        "keeper": of_first,
        "over": of_second is not None and of_second.load() is not None,
    }
    painter = Painter.of(network.generator, seed)
    generator, critic = yield from _adversaries(knobs, network, painter, images, **shared, **first)
    painter.warn_of_collapse(generator, images)
    second: dict[str, Any] = {
        "budget": None if budget is None else max(0.0, budget - (time.monotonic() - began)),
        "keeper": of_second,
    }
    encoder = yield from _encoder(knobs, network, (generator, critic), images, **shared, **second)
    weights: Weights = nnx.State({"generator": generator, "critic": critic, "encoder": encoder})
    return FittedFAnoGAN(weights, painter.latent[0], nnx.graphdef(network), grid, knobs)


def restore(knobs: FAnoGAN, arrays: Mapping[str, np.ndarray]) -> FittedFAnoGAN:
    """Rebuild from :meth:`FittedFAnoGAN.arrays`.

    Raises
    ------
    CheckpointError
        If the arrays do not fit.
    RecipeError
        If the critic lacks the level of ``feature_level``.
    """
    others = {name: one for name, one in arrays.items() if name != "start"}
    expect(
        {name: one for name, one in arrays.items() if name == "start"}, {"start": (knobs.latent,)}
    )
    graph, weights, grid = from_arrays(Network, knobs, others)
    _check_level(knobs, nnx.merge(graph, weights))
    return FittedFAnoGAN(weights, jax.device_put(arrays["start"]), graph, grid, knobs)


def _check_level(knobs: FAnoGAN, network: Any) -> None:
    if knobs.feature_level > len(network.critic.levels):
        raise RecipeError(
            f"found feature_level {knobs.feature_level}; expected at most {len(network.critic.levels)}, the number of "
            "the critic's levels"
        )


def _adversaries(
    knobs: FAnoGAN,
    network: Any,
    painter: Painter,
    images: Stack,
    *,
    seed: int,
    mesh: Mesh,
    budget: float | None,
    keeper: Stage | None,
    over: bool,
) -> Steps[Progress, None, tuple[Weights, Weights]]:
    """Train generator and critic; return the generator's averaged weights and the critic's last ones.

    If it is over, they are those that were kept.
    """
    critic, c = nnx.split(network.critic, nnx.Param)
    generator, g = nnx.split(network.generator, nnx.Param)
    step = Adversaries(
        (
            Player("critic", critic, CriticLoss(knobs.penalty)),
            Player("generator", generator, generator_loss, knobs.critic_steps),
        )
    )
    show = Show("training the generator", lambda state: painter.picture(state.sides[1]))
    begun = step.begun((c, g), knobs.training, mesh.size)
    others: dict[str, Any] = {"budget": budget, "keeper": keeper, "mesh": mesh, "show": show}
    state = (
        resumed(begun, keeper)
        if over
        else (yield from repeat(step, begun, images, knobs.training, seed=seed, **others))
    )
    return averaged(state.sides[1], mesh), on_first(state.sides[0].weights, mesh)


def _encoder(
    knobs: FAnoGAN,
    network: Any,
    frozen: tuple[Weights, Weights],
    images: Stack,
    *,
    seed: int,
    mesh: Mesh,
    **others: Any,
) -> Steps[Progress, None, Weights]:
    """Train the encoder, with generator and critic as they are; return its averaged weights."""
    encoder, e = nnx.split(network.encoder, nnx.Param)
    step = Adversaries(
        (
            Player("encoder", encoder, EncodingLoss(knobs.kappa)),
            Player("generator", nnx.graphdef(network.generator), None),
            Player("critic", nnx.graphdef(network.critic), None),
        )
    )
    begun = step.begun((e, *frozen), knobs.encoding, mesh.size)
    show = Show("training the encoder")
    state = yield from repeat(
        step, begun, images, knobs.encoding, seed=seed, mesh=mesh, show=show, **others
    )
    return averaged(state.sides[0], mesh)
