"""What a generator draws while it is trained: as a picture, and how varied it is."""

import warnings
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.errors import DataWarning, RecipeError
from napari_anomaly.core.nn.critics import Generator
from napari_anomaly.core.nn.steps import State
from napari_anomaly.core.stack import Stack

Images = Float[Array, "n y x c"]

_SAMPLES, _ROWS = 16, 4
_CHUNK = 32  # images looked at at once
_LEAST = 0.1


@dataclass(frozen=True)
class Painter:
    """Draws the same latents again and again.

    Attributes
    ----------
    graph : nnx.GraphDef
        Of the generator.
    latent : array, ``(16, latent)``
    """

    graph: Any
    latent: Float[Array, "n latent"]

    @classmethod
    def of(cls, generator: Generator, seed: int) -> "Painter":
        """Choose latents by the seed."""
        latent = jax.random.normal(jax.random.key(seed), (_SAMPLES, generator.latent))
        return cls(nnx.graphdef(generator), latent)

    def picture(self, state: State) -> Float[Array, "v u c"]:
        """Draw with the averaged weights of a generator's state, as one picture in [0, 1]."""
        picture: Array = _painted(state, self.latent, self.graph)
        return picture

    def warn_of_collapse(self, weights: Any, images: Stack) -> None:
        """Warn if what is drawn is more alike than a tenth of what training images differ by."""
        drawn = _drawn(weights, self.latent, self.graph)
        ours, theirs = diversity(drawn), diversity(first_of(images))
        if ours < _LEAST * theirs:
            warnings.warn(
                f"the generator has collapsed: two of its images differ by {ours:.2g} on average, two training images "
                f"by {theirs:.2g} (root mean square; the range is 2). Maps show where an image differs from that one "
                "picture. Train longer, with a lower learning rate, or on more images.",
                DataWarning,
                stacklevel=2,
            )


def first_of(images: Stack) -> np.ndarray:
    """Return the first sixteen training images, or all of fewer."""
    return images.take(range(min(_SAMPLES, len(images))))


def diversity(images: Any) -> float:
    """Mean distance of two of the images: the root of the mean squared difference of their values."""
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    if len(flat) < 2:
        return 0.0
    first, second = np.triu_indices(len(flat), 1)
    return float(np.sqrt(((flat[first] - flat[second]) ** 2).mean(1)).mean())


def mosaic(images: Images) -> Float[Array, "v u c"]:
    """Lay 16 images in [-1, 1] out in four rows, as one picture in [0, 1]."""
    n, height, width, channels = images.shape
    columns = n // _ROWS
    rows = images.reshape(_ROWS, columns, height, width, channels).swapaxes(1, 2)
    return jnp.clip(rows.reshape(_ROWS * height, columns * width, channels) / 2 + 0.5, 0, 1)


def check_range(images: Stack) -> None:
    """Check that all training images lie in what a generator draws.

    Raises
    ------
    RecipeError
        Naming the first image that does not.
    """
    chunks = [range(len(images))[k : k + _CHUNK] for k in range(0, len(images), _CHUNK)]
    with closing(images.batches(chunks)) as batches:
        for chunk, some in zip(chunks, batches, strict=True):
            furthest = np.abs(some).max((1, 2, 3))
            wrong = np.flatnonzero(furthest > 1 + 1e-3)
            if len(wrong):
                raise RecipeError(
                    f"found intensities of up to {furthest[wrong[0]]:.3g} after normalisation in training image "
                    f"{chunk[wrong[0]] + 1} of {len(images)}; the generator draws -1 to 1. "
                    "Set preprocess.normalise.kind=fixed"
                )


@partial(jax.jit, static_argnames="graph")
def _painted(state: State, latent: Array, graph: Any) -> Array:
    return mosaic(_drawn(state.averaged(), latent, graph))


@partial(jax.jit, static_argnames="graph")
def _drawn(weights: Any, latent: Array, graph: Any) -> Images:
    generator: Generator = nnx.merge(graph, weights)
    return generator(latent)
