"""Convolutions that are fast on the CPU too, forwards and backwards.

XLA's CPU backend has fast kernels for plain convolutions alone. Dilated inputs, few channels and, inside a loop, the
swapped axes of the gradients that JAX derives fall to slow ones. So each operation spells out its gradients as plain
convolutions or, for few channels, as matrix products of patches. On other devices they are the ordinary convolutions.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

Images = Float[Array, "n y x c"]
Same = Float[Array, "n y x d"]
Fine = Float[Array, "n v u c"]
Halved = Float[Array, "n v//2 u//2 d"]
Coarse = Float[Array, "n y x d"]
Doubled = Float[Array, "n 2*y 2*x d"]
Kernel3 = Float[Array, "3 3 c d"]
Kernel4 = Float[Array, "4 4 c d"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_NARROW = 4  # up to this many channels, products of patches are faster


@jax.custom_vjp
def same(images: Images, kernel: Kernel3) -> Same:
    """Convolution, kernel 3, padding 1: ``(n, y, x, c)`` to ``(n, y, x, d)``."""
    if images.shape[-1] > _NARROW:
        return _plain(images, kernel)
    return _by_platform(_same_narrow, _plain, images, kernel)


def _same_forward(images: Images, kernel: Kernel3) -> tuple[Same, tuple[Images, Kernel3]]:
    return same(images, kernel), (images, kernel)


def _same_backward(saved: tuple[Images, Kernel3], gradient: Same) -> tuple[Images, Kernel3]:
    images, kernel = saved
    to_images = same(gradient, kernel[::-1, ::-1].swapaxes(2, 3))
    narrow = images.shape[-1] <= _NARROW
    on_cpu = _same_weights_narrow if narrow else _same_weights
    return to_images, _by_platform(on_cpu, _same_weights, images, gradient)


same.defvjp(_same_forward, _same_backward)


@jax.custom_vjp
def halve(images: Fine, kernel: Kernel4) -> Halved:
    """Convolution, kernel 4, stride 2, padding 1: ``(n, 2y, 2x, c)`` to ``(n, y, x, d)``."""
    if images.shape[-1] > _NARROW:
        return _strided(images, kernel)
    return _by_platform(_halve_narrow, _strided, images, kernel)


def _halve_forward(images: Fine, kernel: Kernel4) -> tuple[Halved, tuple[Fine, Kernel4]]:
    return halve(images, kernel), (images, kernel)


def _halve_backward(saved: tuple[Fine, Kernel4], gradient: Coarse) -> tuple[Fine, Kernel4]:
    images, kernel = saved
    return double(gradient, kernel.swapaxes(2, 3)), _halve_weights(images, gradient)


halve.defvjp(_halve_forward, _halve_backward)


@jax.custom_vjp
def double(images: Images, kernel: Kernel4) -> Doubled:
    """Transposed convolution, kernel 4, stride 2, padding 1: ``(n, y, x, c)`` to ``(n, 2y, 2x, d)``.

    ``out[2i - 1 + k] += in[i] * kernel[k]`` along y and x: the transpose of :func:`halve` with the kernel's channels
    swapped.
    """
    narrow = kernel.shape[-1] <= _NARROW
    on_cpu = _double_narrow if narrow else _double_phases
    return _by_platform(on_cpu, _dilated, images, kernel)


def _double_forward(images: Images, kernel: Kernel4) -> tuple[Doubled, tuple[Images, Kernel4]]:
    return double(images, kernel), (images, kernel)


def _double_backward(saved: tuple[Images, Kernel4], gradient: Array) -> tuple[Images, Kernel4]:
    images, kernel = saved
    weights = _halve_weights(gradient, images).swapaxes(2, 3)
    return halve(gradient, kernel.swapaxes(2, 3)), weights


double.defvjp(_double_forward, _double_backward)


def _by_platform(
    on_cpu: Callable[..., Array], elsewhere: Callable[..., Array], *arrays: Array
) -> Array:
    """Call one of two ways to the same result, by the device that it is compiled for."""
    result: Array = lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)
    return result


def _plain(images: Images, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        images, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT
    )


def _strided(images: Fine, kernel: Kernel4) -> Halved:
    return lax.conv_general_dilated(
        images, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT
    )


def _dilated(images: Images, kernel: Kernel4) -> Doubled:
    return lax.conv_general_dilated(
        images,
        kernel[::-1, ::-1],
        (1, 1),
        ((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=_LAYOUT,
    )


def _double_phases(images: Images, kernel: Kernel4) -> Doubled:
    """Four plain 2 x 2 convolutions, to even and odd rows and columns of the output, then interleaved."""
    n, height, width, _ = images.shape
    phases = [[_phase(images, kernel[_TAPS[a]][:, _TAPS[b]], a, b) for b in (0, 1)] for a in (0, 1)]
    rows = [jnp.stack(row, axis=3) for row in phases]
    return jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, -1)


def _phase(images: Images, kernel: Array, a: int, b: int) -> Array:
    padding = ((1 - a, a), (1 - b, b))
    return lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)


_TAPS = (slice(3, None, -2), slice(2, None, -2))  # kernel taps of even and of odd output pixels


def _halve_weights(fine: Fine, coarse: Coarse) -> Kernel4:
    """Gradient of the kernel of :func:`halve`, of its input and its output's gradient."""
    narrow = fine.shape[-1] <= _NARROW
    on_cpu = _halve_weights_narrow if narrow else _halve_weights_plain
    return _by_platform(on_cpu, _halve_weights_plain, fine, coarse)


def _halve_weights_plain(fine: Fine, coarse: Coarse) -> Kernel4:
    """Channels as images, images as channels: a plain convolution, its kernel dilated."""
    return lax.conv_general_dilated(
        fine.transpose(3, 1, 2, 0),
        coarse.transpose(1, 2, 0, 3),
        (1, 1),
        ((1, 1), (1, 1)),
        rhs_dilation=(2, 2),
        dimension_numbers=_LAYOUT,
    ).transpose(1, 2, 0, 3)


def _same_weights(images: Images, gradient: Same) -> Kernel3:
    turned = _plain(images.transpose(3, 1, 2, 0), gradient.transpose(1, 2, 0, 3))  # (c, 3, 3, d)
    return turned.transpose(1, 2, 0, 3)


# Few channels: products with patches of (n, y, x) places.


def _halve_narrow(images: Fine, kernel: Kernel4) -> Halved:
    return _quarters(images) @ _matrix(kernel)


def _halve_weights_narrow(fine: Fine, coarse: Coarse) -> Kernel4:
    product = jnp.tensordot(coarse, _quarters(fine), ((0, 1, 2), (0, 1, 2)))  # (d, 16 c)
    out, channels = coarse.shape[-1], fine.shape[-1]
    blocks = product.reshape(out, 2, 2, 2, 2, channels).transpose(1, 3, 2, 4, 5, 0)
    return blocks.reshape(4, 4, channels, out)


def _double_narrow(images: Images, kernel: Kernel4) -> Doubled:
    """Every place gives its 4 x 4 patch, as four blocks of 2 x 2 that overlap with its neighbours'."""
    n, height, width, _ = images.shape
    out = kernel.shape[-1]
    patches = images @ _matrix(kernel.swapaxes(2, 3)).T
    quarters = patches.reshape(n, height, width, 2, 2, 4 * out)
    shifted = [
        jnp.pad(quarters[:, :, :, a, b], ((0, 0), (a, 1 - a), (b, 1 - b), (0, 0)))
        for a in (0, 1)
        for b in (0, 1)
    ]
    pixels = (
        sum(shifted, start=jnp.zeros((), images.dtype))
        .reshape(n, height + 1, width + 1, 2, 2, out)
        .transpose(0, 1, 3, 2, 4, 5)
    )
    return pixels.reshape(n, 2 * height + 2, 2 * width + 2, out)[:, 1:-1, 1:-1]


def _quarters(images: Fine) -> Float[Array, "n v//2 u//2 16*c"]:
    """Padded 4 x 4 patches at every second place, each as four blocks of 2 x 2 pixels."""
    n, height, width, channels = images.shape
    height, width = height // 2, width // 2
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = padded.reshape(n, height + 1, 2, width + 1, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    blocks = blocks.reshape(n, height + 1, width + 1, 4 * channels)
    parts = [blocks[:, a : a + height, b : b + width] for a in (0, 1) for b in (0, 1)]
    return jnp.concatenate(parts, -1)


def _matrix(kernel: Kernel4) -> Float[Array, "16*c d"]:
    """Kernel as a matrix, in the order of :func:`_quarters`."""
    channels, out = kernel.shape[2:]
    blocks = kernel.reshape(2, 2, 2, 2, channels, out).transpose(0, 2, 1, 3, 4, 5)
    return blocks.reshape(16 * channels, out)


def _same_narrow(images: Images, kernel: Kernel3) -> Same:
    return _ninths(images) @ kernel.reshape(-1, kernel.shape[-1])


def _same_weights_narrow(images: Images, gradient: Same) -> Kernel3:
    product = jnp.tensordot(gradient, _ninths(images), ((0, 1, 2), (0, 1, 2)))  # (d, 9 c)
    return product.T.reshape(3, 3, images.shape[-1], -1)


def _ninths(images: Images) -> Float[Array, "n y x 9*c"]:
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, a : a + height, b : b + width] for a in range(3) for b in range(3)]
    return jnp.concatenate(taps, -1)


def convolve(layer: nnx.Conv, images: Images) -> Array:
    """Apply a layer of kernel 4 and stride 2 by :func:`halve`, or of kernel 3 by :func:`same`."""
    kernel, bias = layer.kernel[...], layer.bias
    result = halve(images, kernel) if len(kernel) == 4 else same(images, kernel)
    return result if bias is None else result + bias[...]


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
