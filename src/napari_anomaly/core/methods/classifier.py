"""A small network that tells present from absent."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.nn.blocks import Encoder, Grid
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

Images = Float[np.ndarray, "n y x c"]

_WIDTHS = (16, 32, 64)
_TRAINING = Training(
    duration=200, batch=16, flip=True, rotate=5.0, crop=0.15, brightness=0.5, average=0.95
)


class Classifier(nnx.Module):
    """Convolutions that halve the image, then the mean and the maximum over all places, to one number.

    Neither the mean nor the maximum depends on where something is: few pictures are enough for one weight per channel
    of each. The mean sees what fills the region, the maximum what is in a part of it.
    """

    def __init__(self, knobs: Any, grid: Grid, *, rngs: nnx.Rngs) -> None:
        self.encoder = Encoder(grid, _WIDTHS, "stride", None, rngs=rngs)
        self.dense = nnx.Linear(2 * _WIDTHS[-1], 1, rngs=rngs)

    def __call__(self, images: Float[Array, "n y x c"]) -> Float[Array, " n"]:
        """Normalised images to decision values; above 0 is present."""
        maps = self.encoder(images)
        pooled = jnp.concatenate([maps.mean((1, 2)), maps.max((1, 2))], axis=-1)
        return self.dense(pooled)[:, 0].astype(np.float32)


@dataclass(frozen=True, eq=False)
class FittedClassifier:
    """A trained network as graph and weights, and the normalisation it was trained with."""

    weights: nnx.State[Any, Any]
    graph: Any
    grid: Grid
    mean: Float[np.ndarray, " c"]
    std: Float[np.ndarray, " c"]

    def decide(self, images: Images) -> Float[np.ndarray, " n"]:
        """Return the decision values of images in [0, 1], one by one: the company of others changes nothing."""
        normalised = (images - self.mean) / self.std
        decided = [_decided(self.weights, one[None], graph=self.graph) for one in normalised]
        return np.array([float(one[0]) for one in decided])

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, the grid and the normalisation."""
        return to_arrays(self.weights, self.grid) | {"mean": self.mean, "std": self.std}


@partial(jax.jit, static_argnames="graph")
def _decided(
    weights: nnx.State[Any, Any], images: Float[Array, "n y x c"], *, graph: Any
) -> Float[Array, " n"]:
    network: Classifier = nnx.merge(graph, weights)
    return network(images)


def describe(images: Images) -> Images:
    """Return the images: a network finds its own features."""
    return images


def weighted_cross_entropy(
    network: Any, images: Float[Array, "n y x c"], keys: Array
) -> Float[Array, " n"]:
    """``w log(1 + exp(-t f))`` for each image: t = 1 present, -1 absent; f the decision; w the class's weight.

    Both come along as the last two channels of the images: see :func:`_labelled`.
    """
    signed = images[:, 0, 0, -2] - images[:, 0, 0, -1]
    decision: Array = network(images[..., :-2])
    return jnp.abs(signed) * jax.nn.softplus(-jnp.sign(signed) * decision)


def _labelled(images: Images, present: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n y x d"]:
    """Add two even channels whose difference is an image's label times its class's weight.

    They go through the training loop with the image. Turning, cutting and mirroring leave an even channel as it is;
    brightening adds the same to both.
    """
    weight = len(present) / 2 / np.where(present, present.sum(), (~present).sum())
    signed = np.stack([np.where(present, weight, 0), np.where(present, 0, weight)], axis=-1)
    planes = np.broadcast_to(signed[:, None, None], (*images.shape[:3], 2))
    return np.concatenate([images, planes], axis=-1).astype(np.float32)


def fit_steps(
    images: Images, present: Bool[np.ndarray, " n"], *, channels: int, seed: int
) -> Generator[Progress, None, FittedClassifier]:
    """Train on images in [0, 1], of which some show what is looked for.

    Mean and deviation of the intensities, and the classes' weights n / (2 n_class), come from these images alone.
    Each step shows 16 images, mirrored, turned by up to 5 degrees, cut by up to 15 % and brightened by up to half a
    standard deviation at random. Fewer images than that are shown several times in a step.

    References
    ----------
    Lin, Chen and Yan 2014, arXiv:1312.4400, section 3.2 (the mean over all places instead of dense layers).
    """
    grid: Grid = (images.shape[1], images.shape[2], channels)
    mean, std = Normalise().fit(images).moments()
    repeated = -(-_TRAINING.batch // len(images))  # one size of batch: compiled once for all folds
    stack = Stack.of(np.tile(_labelled((images - mean) / std, present), (repeated, 1, 1, 1)))
    network = fresh(Classifier, _TRAINING, grid, seed)
    weights = yield from train(network, weighted_cross_entropy, stack, _TRAINING, seed=seed)
    return FittedClassifier(weights, nnx.graphdef(network), grid, mean, std)


def restore(arrays: Mapping[str, np.ndarray], grid: Grid) -> FittedClassifier:
    """Rebuild from :meth:`FittedClassifier.arrays` for images of a shape ``(y, x, c)``.

    Raises
    ------
    CheckpointError
        An array is missing, superfluous, of another shape or type, or not finite.
    """
    moments = {name: arrays[name] for name in ("mean", "std") if name in arrays}
    for name in ("mean", "std"):
        one = moments.get(name)
        if one is None or one.shape != (grid[2],) or not np.isfinite(one).all():
            raise CheckpointError(f"found no usable {name!r}; expected {grid[2]} finite number(s)")
    if (moments["std"] <= 0).any():
        raise CheckpointError("found a deviation 'std' that is not positive; expected one above 0")
    weights_only = {name: one for name, one in arrays.items() if name not in moments}
    graph, weights, found = from_arrays(Classifier, _TRAINING, weights_only)
    if found != grid:
        raise CheckpointError(f"found a network for images of {found}; expected {grid}")
    return FittedClassifier(weights, graph, grid, **moments)
