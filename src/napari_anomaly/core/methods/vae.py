"""Variational autoencoder: a Gaussian latent, the evidence lower bound as loss and, if wanted, as score."""

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

from napari_anomaly.core.methods.fitted import Images, Pair, expect
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.nn.blocks import Decoder, Encoder, Grid
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

Latent = Float[Array, "n latent"]

_CHUNK = 32  # images encoded at once


class Network(nnx.Module):
    """Encoder to mean and log-variance, decoder from a sample."""

    def __init__(self, knobs: VAE, grid: Grid, *, rngs: nnx.Rngs) -> None:
        self.encoder = Encoder(grid, knobs.widths, knobs.down, 2 * knobs.latent, rngs=rngs)
        self.decoder = Decoder(grid, knobs.widths, knobs.latent, rngs=rngs)
        self.beta = knobs.beta

    def encode(self, images: Images) -> tuple[Latent, Latent]:
        """Mean and log-variance of q(z | x)."""
        mean, log_variance = jnp.split(self.encoder(images).astype(jnp.float32), 2, axis=-1)
        return mean, log_variance


def divergence(mean: Latent, log_variance: Latent) -> Float[Array, " n"]:
    """``KL(N(mean, exp(log_variance)) || N(0, 1))``, summed over the latent (Kingma and Welling, appendix B)."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(-1)


def negative_elbo(network: Network, images: Images, keys: Array) -> Float[Array, " n"]:
    """Negative evidence lower bound of each image, divided by its number of values.

    The division changes no minimum; it keeps the loss comparable between image sizes. A unit-variance Gaussian
    decoder makes the reconstruction term half the summed squared error, up to a constant.
    """
    mean, log_variance = network.encode(images)
    z = mean + jnp.exp(0.5 * log_variance) * _noise(keys, mean.shape[1])
    reconstruction = 0.5 * ((network.decoder(z) - images) ** 2).sum((1, 2, 3))
    total = reconstruction + network.beta * divergence(mean, log_variance)
    return total / np.prod(images.shape[1:])


def _noise(keys: Array, size: int) -> Latent:
    """Draw standard normal numbers, each image's by its own key."""
    return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights", "kl"],
    meta_fields=["graph", "grid", "score"],
)
@dataclass(frozen=True)
class FittedVAE:
    """A trained network; ``kl`` holds mean and deviation of the KL term over the training images."""

    weights: nnx.State[Any, Any]
    kl: Float[Array, "2"]
    graph: Any
    grid: Grid
    score: str

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Decode the mean of q(z | x): no randomness when inspecting."""
        network: Network = nnx.merge(self.graph, self.weights)
        return (Pair(images, network.decoder(network.encode(images)[0])),)

    def latent_score(self, images: Images) -> Float[Array, " n"] | None:
        """KL term in deviations from the training images' mean."""
        if self.score == "reconstruction":
            return None
        network: Network = nnx.merge(self.graph, self.weights)
        return (divergence(*network.encode(images)) - self.kl[0]) / self.kl[1]

    def image_score(self, pooled: float, latent: float | None) -> float:
        """Return the pooled map, the latent score, or their sum: both are in deviations of normal images."""
        if latent is None:
            return pooled
        return latent if self.score == "kl" else pooled + latent

    def reach(self) -> None:
        """Return None: the latent is of the whole image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, the grid, and the KL term's moments."""
        return to_arrays(self.weights, self.grid) | {"kl": np.asarray(self.kl)}


def fit_steps(
    knobs: VAE, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, FittedVAE]:
    """Train on ``(n, y, x, c)`` normalised images."""
    grid: Grid = images.shape[1:]
    network = fresh(Network, knobs, grid, seed)
    weights = yield from train(
        network, negative_elbo, images, knobs.training, seed=seed, budget=budget, keeper=keeper
    )
    graph = nnx.graphdef(network)
    chunks = [range(len(images))[k : k + _CHUNK] for k in range(0, len(images), _CHUNK)]
    with closing(images.batches(chunks)) as batches:
        kl = np.concatenate([np.asarray(_divergences(graph, weights, one)) for one in batches])
    moments = jnp.asarray([kl.mean(), max(kl.std(), 1e-6)], jnp.float32)
    return FittedVAE(weights, moments, graph, grid, knobs.score)


def restore(knobs: VAE, arrays: Mapping[str, np.ndarray]) -> FittedVAE:
    """Rebuild from :meth:`FittedVAE.arrays`."""
    others = {name: one for name, one in arrays.items() if name != "kl"}
    expect({name: one for name, one in arrays.items() if name == "kl"}, {"kl": (2,)})
    graph, weights, grid = from_arrays(Network, knobs, others)
    return FittedVAE(weights, jax.device_put(arrays["kl"]), graph, grid, knobs.score)


@partial(jax.jit, static_argnames="graph")
def _divergences(graph: Any, weights: nnx.State[Any, Any], images: Images) -> Float[Array, " n"]:
    network: Network = nnx.merge(graph, weights)
    return divergence(*network.encode(images))
