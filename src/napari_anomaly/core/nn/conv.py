"""Transposed convolution that is fast on the CPU, forwards and backwards."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

Images = Float[Array, "n y x c"]
Kernel = Float[Array, "4 4 c d"]
Doubled = Float[Array, "n 2*y 2*x d"]
Fine = Float[Array, "n v u d"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def double(images: Images, kernel: Kernel) -> Doubled:
    """Transposed convolution, kernel 4, stride 2, padding 1: ``(n, y, x, c)`` to ``(n, 2y, 2x, d)``.

    ``out[2i - 1 + k] += in[i] * kernel[k]`` along y and x. Computed as one plain 2 x 2 convolution to the four phases
    of the output. Its gradients are those of the strided convolution it transposes: XLA's CPU backend has no fast
    weight gradient for a dilated input.
    """
    n, height, width, _ = images.shape
    out = kernel.shape[-1]
    phases = [kernel[_TAPS[a]][:, _TAPS[b]] for a in (0, 1) for b in (0, 1)]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    both = lax.conv_general_dilated(
        padded, jnp.concatenate(phases, -1), (1, 1), "VALID", dimension_numbers=_LAYOUT
    ).reshape(n, height + 1, width + 1, 2, 2, out)
    rows = [
        jnp.stack([both[:, a : a + height, b : b + width, a, b] for b in (0, 1)], axis=3)
        for a in (0, 1)
    ]
    return jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, out)


_TAPS = (slice(3, None, -2), slice(2, None, -2))  # kernel taps of even and of odd output pixels


def _halve(images: Fine, kernel: Kernel) -> Images:
    """Apply the convolution that ``double`` is the transpose of: ``(n, 2y, 2x, d)`` to ``(n, y, x, c)``."""
    return lax.conv_general_dilated(
        images, kernel.swapaxes(2, 3), (2, 2), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT
    )


def _forward(images: Images, kernel: Kernel) -> tuple[Doubled, tuple[Images, Kernel]]:
    return double(images, kernel), (images, kernel)


def _backward(saved: tuple[Images, Kernel], gradient: Fine) -> tuple[Images, Kernel]:
    images, kernel = saved
    to_images, weights = jax.vjp(lambda k: _halve(gradient, k), kernel)
    return to_images, weights(images)[0]


double.defvjp(_forward, _backward)


class UpConv(nnx.Module):
    """Layer of :func:`double` with a bias; He-normal weights for the four taps that meet in each output pixel."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        scale = jnp.sqrt(2.0 / (4 * inputs))
        weights = jax.random.normal(rngs.params(), (4, 4, inputs, outputs)) * scale
        self.kernel = nnx.Param(weights)
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, images: Images) -> Doubled:
        """``(n, y, x, c)`` to ``(n, 2y, 2x, d)``."""
        return double(images, self.kernel[...]) + self.bias[...]
