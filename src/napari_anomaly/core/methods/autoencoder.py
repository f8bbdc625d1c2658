"""Convolutional autoencoder: reconstructs what it has seen, and little else."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.methods.fitted import Images, Pair, Reach
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.nn.blocks import Decoder, Encoder, Grid
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.reach import radius
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress


class Network(nnx.Module):
    """Encoder and decoder."""

    def __init__(self, knobs: Autoencoder, grid: Grid, *, rngs: nnx.Rngs) -> None:
        self.encoder = Encoder(grid, knobs.widths, knobs.down, knobs.latent, rngs=rngs)
        self.decoder = Decoder(grid, knobs.widths, knobs.latent, rngs=rngs)

    def __call__(self, images: Images) -> Images:
        """Reconstruct ``(n, y, x, c)`` normalised images."""
        return self.decoder(self.encoder(images))


@partial(jax.tree_util.register_dataclass, data_fields=["weights"], meta_fields=["graph", "grid"])
@dataclass(frozen=True)
class FittedAutoencoder:
    """A trained network as graph and weights."""

    weights: nnx.State[Any, Any]
    graph: Any
    grid: Grid

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Reconstruct."""
        network: Network = nnx.merge(self.graph, self.weights)
        return (Pair(images, network(images)),)

    def encode(self, images: Images) -> Float[Array, "n d"]:
        """Return the dense latent, or the mean over all places of a convolutional one."""
        network: Network = nnx.merge(self.graph, self.weights)
        code = network.encoder(images).astype(jnp.float32)
        return code.mean((1, 2)) if code.ndim == 4 else code

    def latent_score(self, images: Images) -> None:
        """Return None: a plain autoencoder has no measure of its own."""

    def reach(self) -> tuple[Reach, ...] | None:
        """What the convolutions see; None with a dense latent, which is of the whole image."""
        network: Network = nnx.merge(self.graph, self.weights)
        levels = len(network.encoder.convolutions)
        return (Reach(1, radius(levels), 2**levels),) if network.encoder.dense is None else None

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, and the grid."""
        return to_arrays(self.weights, self.grid)


def squared_error(network: Network, images: Images, keys: Array) -> Float[Array, " n"]:
    """Mean squared error of each image."""
    return ((network(images) - images) ** 2).mean((1, 2, 3))


def fit_steps(
    knobs: Autoencoder, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, FittedAutoencoder]:
    """Train on ``(n, y, x, c)`` normalised images."""
    grid: Grid = images.shape[1:]
    network = fresh(Network, knobs, grid, seed)
    fitted = partial(FittedAutoencoder, graph=nnx.graphdef(network), grid=grid)
    shared: dict[str, Any] = {"seed": seed, "budget": budget, "keeper": keeper, "fitted": fitted}
    return fitted((yield from train(network, squared_error, images, knobs.training, **shared)))


def restore(knobs: Autoencoder, arrays: Mapping[str, np.ndarray]) -> FittedAutoencoder:
    """Rebuild from :meth:`FittedAutoencoder.arrays`."""
    graph, weights, grid = from_arrays(Network, knobs, arrays)
    return FittedAutoencoder(weights, graph, grid)
