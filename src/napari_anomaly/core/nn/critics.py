"""Generator, and the networks that look at images: critic, discriminator, and encoders built like them.

Two kinds of levels: plain ones, a 4 x 4 (transposed) convolution of stride 2; and the residual blocks of Gulrajani et
al. 2017, appendix F. What is normalised is each image by itself (Ba et al. 2016, arXiv:1607.06450), never
the batch: a gradient penalty is of one image, and so are losses that several devices share.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.nn.blocks import Grid, bottom
from napari_anomaly.core.nn.conv import UpConv, convolve, same

Images = Float[Array, "n y x c"]
Blocks = Literal["plain", "residual"]

_SLOPE = 0.2


def levels_of(widths: Sequence[int], blocks: Blocks) -> Sequence[int]:
    """Channels below each halving; residual blocks start from the first width at full size."""
    return widths if blocks == "plain" else widths[1:]


class Critic(nnx.Module):
    """Halves an image level by level; a dense layer makes numbers of the last one.

    Parameters
    ----------
    widths : sequence of int
        Channels of each level, finest first; with residual blocks those at full size before them.
    outputs : int
    """

    def __init__(
        self, grid: Grid, widths: Sequence[int], blocks: Blocks, outputs: int, *, rngs: nnx.Rngs
    ) -> None:
        self.stem = None if blocks == "plain" else _Conv3(grid[2], widths[0], rngs=rngs)
        ends = [grid[2], *widths] if blocks == "plain" else list(widths)
        level = _Down if blocks == "plain" else _ResidualDown
        self.levels = nnx.List(level(a, b, rngs=rngs) for a, b in pairwise(ends))
        small = prod(bottom(grid, levels_of(widths, blocks)))
        self.dense = nnx.Linear(small, outputs, rngs=rngs)

    def maps(self, images: Images) -> list[Array]:
        """Return what each level makes of images, finest first."""
        x = images if self.stem is None else self.stem(images)
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found

    def features(self, images: Images) -> Float[Array, "n f"]:
        """Return the last level as one vector per image: the ``f`` of f-AnoGAN."""
        return self.maps(images)[-1].reshape(len(images), -1)

    def numbers(self, images: Images) -> Float[Array, "n outputs"]:
        """Return the dense layer's outputs."""
        return self.dense(self.features(images))

    def __call__(self, images: Images) -> Float[Array, " n"]:
        """Return the first output: a critic's only one."""
        return self.numbers(images)[:, 0]


class Generator(nnx.Module):
    """A critic mirrored: dense layer from the latent, doubled level by level, to images in [-1, 1]."""

    def __init__(
        self, grid: Grid, widths: Sequence[int], blocks: Blocks, latent: int, *, rngs: nnx.Rngs
    ) -> None:
        self.latent = latent
        self.small = bottom(grid, levels_of(widths, blocks))
        self.dense = nnx.Linear(latent, prod(self.small), rngs=rngs)
        ends = [*reversed(widths)]
        level = _Up if blocks == "plain" else _ResidualUp
        self.levels = nnx.List(level(a, b, rngs=rngs) for a, b in pairwise(ends))
        self.norm = nnx.LayerNorm(ends[-1], rngs=rngs)
        last = UpConv if blocks == "plain" else _Conv3
        self.last = last(ends[-1], grid[2], rngs=rngs)

    def __call__(self, latent: Float[Array, "n latent"]) -> Images:
        """Draw an image for each latent ``(n, latent)``."""
        x = self.dense(latent).reshape(len(latent), *self.small)
        for level in self.levels:
            x = level(x)
        images: Images = jnp.tanh(self.last(nnx.relu(self.norm(x))))
        return images


def _normed(channels: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Over all places and channels of an image; a scale and a bias for each channel."""
    return nnx.LayerNorm(channels, reduction_axes=(-3, -2, -1), feature_axes=-1, rngs=rngs)


class _Down(nnx.Module):
    """Convolution, kernel 4, stride 2; leaky ReLU. Not normalised, so that it sees how bright an image is."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        he = jax.nn.initializers.he_normal()
        self.convolution = nnx.Conv(inputs, outputs, (4, 4), (2, 2), kernel_init=he, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return nnx.leaky_relu(convolve(self.convolution, x), _SLOPE)


class _Up(nnx.Module):
    """Norm, ReLU, then a transposed convolution, kernel 4, stride 2."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.norm = nnx.LayerNorm(inputs, rngs=rngs)
        self.convolution = UpConv(inputs, outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.convolution(nnx.relu(self.norm(x)))


class _Conv3(nnx.Module):
    """Convolution, kernel 3."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        scale = jnp.sqrt(2.0 / (9 * inputs))
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (3, 3, inputs, outputs)) * scale)
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: Array) -> Array:
        return same(x, self.kernel[...]) + self.bias[...]


class _ResidualDown(nnx.Module):
    """Norm, ReLU, convolution, twice, then the mean of 2 x 2 pixels; added to the input's mean, its channels mixed."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.norms = nnx.List([_normed(inputs, rngs), _normed(inputs, rngs)])
        self.convolutions = nnx.List(
            [_Conv3(inputs, inputs, rngs=rngs), _Conv3(inputs, outputs, rngs=rngs)]
        )
        self.shortcut = nnx.Linear(inputs, outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        y = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(nnx.relu(norm(y)))
        return _mean_of_four(y) + self.shortcut(_mean_of_four(x))


class _ResidualUp(nnx.Module):
    """Norm, ReLU, every pixel as 2 x 2, convolution; norm, ReLU, convolution; added to the input as 2 x 2 pixels."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.norms = nnx.List([nnx.LayerNorm(inputs, rngs=rngs), nnx.LayerNorm(outputs, rngs=rngs)])
        self.convolutions = nnx.List(
            [_Conv3(inputs, outputs, rngs=rngs), _Conv3(outputs, outputs, rngs=rngs)]
        )
        self.shortcut = nnx.Linear(inputs, outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        y = self.convolutions[0](_as_four(nnx.relu(self.norms[0](x))))
        y = self.convolutions[1](nnx.relu(self.norms[1](y)))
        return y + _as_four(self.shortcut(x))


def _mean_of_four(x: Array) -> Array:
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def _as_four(x: Array) -> Array:
    n, height, width, channels = x.shape
    fine = jnp.broadcast_to(x[:, :, None, :, None], (n, height, 2, width, 2, channels))
    return fine.reshape(n, 2 * height, 2 * width, channels)
