"""Deep autoencoding Gaussian mixture model: an autoencoder and the density of its codes, trained together."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.methods.fitted import Images, Pair, expect
from napari_anomaly.core.methods.knobs.dagmm import DAGMM
from napari_anomaly.core.methods.mixture import (
    Members,
    Mixture,
    Points,
    energy_of,
    mixture_of,
    narrowness,
)
from napari_anomaly.core.nn.blocks import Decoder, Encoder, Grid
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.steps import Jointly, over_batch
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

_CHUNK = 32  # images encoded at once
_TINY = 1e-12  # under a root or a quotient
_PREFIX = "mixture."


class Network(nnx.Module):
    """Encoder, decoder, and the estimation network from what both show to memberships."""

    def __init__(self, knobs: DAGMM, grid: Grid, *, rngs: nnx.Rngs) -> None:
        self.encoder = Encoder(grid, knobs.widths, knobs.down, knobs.latent, rngs=rngs)
        self.decoder = Decoder(grid, knobs.widths, knobs.latent, rngs=rngs)
        self.hidden = nnx.Linear(knobs.latent + 2, knobs.hidden, rngs=rngs)
        self.estimate = nnx.Linear(knobs.hidden, knobs.components, rngs=rngs)
        self.dropout = knobs.dropout
        self.energy, self.spread = knobs.energy, knobs.spread

    def points(self, images: Images) -> tuple[Points, Images]:
        """What the mixture sees of each image, and its reconstruction (section 3.2)."""
        code = self.encoder(images).astype(jnp.float32)
        made = self.decoder(code)
        return jnp.concatenate([code, errors(images, made)], axis=1), made

    def members(self, points: Points, keys: Array | None = None) -> Members:
        """Estimate memberships ``(n, k)`` (section 3.3); with keys, some hidden units of each image are left out."""
        hidden = nnx.tanh(self.hidden(points))
        if keys is not None:
            kept = jax.vmap(
                lambda key: jax.random.bernoulli(key, 1 - self.dropout, hidden.shape[1:])
            )(keys)
            hidden = hidden * kept / (1 - self.dropout)
        members: Members = nnx.softmax(self.estimate(hidden).astype(jnp.float32))
        return members


def errors(images: Images, made: Images) -> Float[Array, "n 2"]:
    """Relative Euclidean distance ``|x - y| / |x|`` and cosine similarity ``x y / (|x| |y|)`` of images."""
    x, y = (one.reshape(len(one), -1) for one in (images, made))

    def norm(vectors: Array) -> Array:
        length: Array = jnp.sqrt((vectors**2).sum(1) + _TINY)  # at 0 it has a gradient
        return length

    return jnp.stack([norm(x - y) / norm(x), (x * y).sum(1) / (norm(x) * norm(y))], axis=1)


def joint_loss(
    network: Network, images: Images, keys: Array, share: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Squared error, energy and penalty on small variances (section 3.4), divided by the number of values of an image.

    The mixture is that of all images of the step, and the gradient goes through it. The division changes no minimum.
    """
    points, made = network.points(images)
    mixture = mixture_of(points, network.members(points, keys), partial(over_batch, share=share))
    error = ((images - made) ** 2).sum((1, 2, 3))
    total = (
        error + network.energy * energy_of(mixture, points) + network.spread * narrowness(mixture)
    )
    return total / np.prod(images.shape[1:])


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights", "mixture"],
    meta_fields=["graph", "grid"],
)
@dataclass(frozen=True)
class FittedDAGMM:
    """A trained network and the mixture of all training images."""

    weights: nnx.State[Any, Any]
    mixture: Mixture
    graph: Any
    grid: Grid

    @property
    def network(self) -> Network:
        """Graph and weights together."""
        network: Network = nnx.merge(self.graph, self.weights)
        return network

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Reconstruct."""
        return (Pair(images, self.network.points(images)[1]),)

    def encode(self, images: Images) -> Points:
        """Return the code without the errors."""
        return self.network.encoder(images).astype(jnp.float32)

    def latent_score(self, images: Images) -> Float[Array, " n"]:
        """Return the energy."""
        return energy_of(self.mixture, self.network.points(images)[0])

    def reach(self) -> None:
        """Return None: the latent is of the whole image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, the grid, and the mixture."""
        mixture = {
            f"{_PREFIX}{name}": np.asarray(one) for name, one in self.mixture._asdict().items()
        }
        return to_arrays(self.weights, self.grid) | mixture


def fit_steps(
    knobs: DAGMM, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, FittedDAGMM]:
    """Train on ``(n, y, x, c)`` normalised images; then take the mixture over all of them."""
    grid: Grid = images.shape[1:]
    network = fresh(Network, knobs, grid, seed)
    weights = yield from train(
        network,
        Jointly(joint_loss),
        images,
        knobs.training,
        seed=seed,
        budget=budget,
        keeper=keeper,
    )
    graph = nnx.graphdef(network)
    chunks = [range(len(images))[k : k + _CHUNK] for k in range(0, len(images), _CHUNK)]
    with closing(images.batches(chunks)) as batches:
        seen = [jax.device_get(_seen(graph, weights, one)) for one in batches]
    points, members = (jnp.asarray(np.concatenate(one)) for one in zip(*seen, strict=True))
    return FittedDAGMM(weights, _mixture_of_all(points, members), graph, grid)


def restore(knobs: DAGMM, arrays: Mapping[str, np.ndarray]) -> FittedDAGMM:
    """Rebuild from :meth:`FittedDAGMM.arrays`."""
    k, d = knobs.components, knobs.latent + 2
    shapes: dict[str, tuple[int | None, ...]] = {
        f"{_PREFIX}weights": (k,),
        f"{_PREFIX}means": (k, d),
        f"{_PREFIX}covariances": (k, d, d),
    }
    own = expect({name: one for name, one in arrays.items() if name in shapes}, shapes)
    if not (np.linalg.eigvalsh(own[f"{_PREFIX}covariances"]) > 0).all():
        raise CheckpointError(
            "found a covariance of the mixture that is not positive definite; the file is damaged"
        )
    others = {name: one for name, one in arrays.items() if name not in shapes}
    graph, weights, grid = from_arrays(Network, knobs, others)
    mixture = Mixture(*jax.device_put([own[name] for name in shapes]))
    return FittedDAGMM(weights, mixture, graph, grid)


@partial(jax.jit, static_argnames="graph")
def _seen(graph: Any, weights: nnx.State[Any, Any], images: Images) -> tuple[Points, Members]:
    network: Network = nnx.merge(graph, weights)
    points, _ = network.points(images)
    return points, network.members(points)


@jax.jit
def _mixture_of_all(points: Points, members: Members) -> Mixture:
    return mixture_of(points, members, lambda values: values.mean(0))
