"""Encoder and decoder that every autoencoder here shares."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.nn.conv import UpConv, convolve

Grid = tuple[int, int, int]
"""``(y, x, c)`` of the images a network takes."""

_SLOPE = 0.1


def bottom(grid: Grid, widths: Sequence[int]) -> Grid:
    """Grid below all levels.

    Raises
    ------
    RecipeError
        If the image cannot be halved once for each level.
    """
    factor = 2 ** len(widths)
    if grid[0] % factor or grid[1] % factor:
        raise RecipeError(
            f"found images of {grid[0]} x {grid[1]} pixels; a network of {len(widths)} levels halves them that often "
            f"and needs sides divisible by {factor}. Set preprocess.steps' resize or widths accordingly."
        )
    return grid[0] // factor, grid[1] // factor, widths[-1]


class Encoder(nnx.Module):
    """A convolution per level that halves the image; an optional dense layer to ``outputs`` numbers."""

    def __init__(
        self, grid: Grid, widths: Sequence[int], down: str, outputs: int | None, *, rngs: nnx.Rngs
    ) -> None:
        side, stride = (4, 2) if down == "stride" else (3, 1)
        ends = [grid[2], *widths]
        he = jax.nn.initializers.he_normal()
        self.convolutions = nnx.List(
            nnx.Conv(a, b, (side, side), (stride, stride), kernel_init=he, rngs=rngs)
            for a, b in pairwise(ends)
        )
        self.pool = down == "pool"
        small = prod(bottom(grid, widths))
        self.dense = None if outputs is None else nnx.Linear(small, outputs, rngs=rngs)

    def __call__(self, x: Float[Array, "n y x c"]) -> Array:
        """Images to codes: ``(n, outputs)``, or ``(n, y', x', c')`` without a dense layer."""
        x = x.astype(
            self.convolutions[0].kernel.dtype
        )  # computed as precisely as the weights are kept
        for convolution in self.convolutions:
            x = convolve(convolution, x)
            if self.pool:
                x = _largest_of_four(
                    x
                )  # before the activation: it keeps the order and costs less there
            x = nnx.leaky_relu(x, _SLOPE)
        return x if self.dense is None else self.dense(x.reshape(len(x), -1))


class Decoder(nnx.Module):
    """The encoder mirrored: an optional dense layer from ``inputs``, then a transposed convolution per level."""

    def __init__(
        self, grid: Grid, widths: Sequence[int], inputs: int | None, *, rngs: nnx.Rngs
    ) -> None:
        self.small = bottom(grid, widths)
        self.dense = None if inputs is None else nnx.Linear(inputs, prod(self.small), rngs=rngs)
        ends = [*reversed(widths), grid[2]]
        self.convolutions = nnx.List(UpConv(a, b, rngs=rngs) for a, b in pairwise(ends))

    def __call__(self, code: Array) -> Float[Array, "n y x c"]:
        """Codes to images; the last layer is linear."""
        x = code.astype(self.convolutions[0].kernel.dtype)
        if self.dense is not None:
            x = nnx.leaky_relu(self.dense(x), _SLOPE).reshape(len(x), *self.small)
        for convolution in self.convolutions[:-1]:
            x = nnx.leaky_relu(convolution(x), _SLOPE)
        return self.convolutions[-1](x).astype(np.float32)


def _largest_of_four(x: Float[Array, "n y x c"]) -> Float[Array, "n y/2 x/2 c"]:
    """Max-pooling of 2 x 2 pixels; its gradient is fast on the CPU too."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
