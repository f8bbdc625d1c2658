"""Denoising autoencoder: sees spoilt images, is asked for the clean ones, and so learns to repair."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.methods import autoencoder
from napari_anomaly.core.methods.autoencoder import FittedAutoencoder, Network
from napari_anomaly.core.methods.fitted import Images
from napari_anomaly.core.methods.knobs.denoising import Denoising
from napari_anomaly.core.nn.blocks import Grid
from napari_anomaly.core.nn.build import fresh
from napari_anomaly.core.nn.noise import NoiseKind, spoilt
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress


@dataclass(frozen=True)
class RepairError:
    """Mean squared error between what is made of a spoilt image and the clean one; equal ones compile once."""

    noise: NoiseKind
    sigma: float

    def __call__(self, network: Network, images: Images, keys: Array) -> Float[Array, " n"]:
        """Loss of each image ``(n, y, x, c)``, spoilt by its own key."""
        repaired = network(spoilt(images, keys, self.noise, self.sigma))
        return ((repaired - images) ** 2).mean((1, 2, 3))


def fit_steps(
    knobs: Denoising, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, FittedAutoencoder]:
    """Train on ``(n, y, x, c)`` images."""
    grid: Grid = images.shape[1:]
    network = fresh(Network, knobs.plain(), grid, seed)
    loss = RepairError(knobs.noise, knobs.sigma)
    fitted = partial(FittedAutoencoder, graph=nnx.graphdef(network), grid=grid)
    shared: dict[str, Any] = {"seed": seed, "budget": budget, "keeper": keeper, "fitted": fitted}
    return fitted((yield from train(network, loss, images, knobs.training, **shared)))


def restore(knobs: Denoising, arrays: Mapping[str, np.ndarray]) -> FittedAutoencoder:
    """Rebuild from :meth:`FittedAutoencoder.arrays`."""
    return autoencoder.restore(knobs.plain(), arrays)
