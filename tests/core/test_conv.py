"""Convolutions against JAX's own, with many and with few channels, alone and in a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from napari_anomaly.core.nn.conv import UpConv, convolve, double, halve, same

LAYOUT = ("NHWC", "HWIO", "NHWC")


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def plain(images, kernel):
    return lax.conv_general_dilated(
        images, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=LAYOUT
    )


def strided(images, kernel):
    return lax.conv_general_dilated(
        images, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT
    )


def dilated(images, kernel):
    """A plain convolution of the input spread out with zeros, kernel turned by 180 degrees."""
    return lax.conv_general_dilated(
        images,
        kernel[::-1, ::-1],
        (1, 1),
        ((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=LAYOUT,
    )


# JAX 0.8+: what each is by definition, and how much larger its input is than its smallest
OPERATIONS = {
    "same": (same, plain, 3, 1),
    "halve": (halve, strided, 4, 2),
    "double": (double, dilated, 4, 1),
}
CHANNELS = [(1, 1), (3, 8), (8, 3), (4, 5), (5, 4), (6, 7)]  # few are four or less


def pulled(operation, images, kernel, pull):
    """Value and both gradients."""
    value, back = jax.vjp(operation, images, kernel)
    return value, *back(pull(value))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("c", "d"), CHANNELS)
@pytest.mark.parametrize(("n", "y", "x"), [(2, 1, 5), (3, 4, 2)])
def test_values_and_gradients_are_those_of_jax(name, c, d, n, y, x):
    ours, theirs, side, times = OPERATIONS[name]
    images, kernel = normal(n, times * y, times * x, c), normal(side, side, c, d, seed=1)

    def pull(value):
        return normal(*value.shape, seed=2)

    mine = jax.jit(lambda *arrays: pulled(ours, *arrays, pull))(images, kernel)
    for one, other in zip(mine, pulled(theirs, images, kernel, pull), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_of_gradients_are_those_of_jax(name):
    ours, theirs, side, times = OPERATIONS[name]
    images, kernel = normal(2, 4 * times, 2 * times, 5), normal(side, side, 5, 6, seed=1)

    def penalty(operation, kernel):
        """As the gradient penalty of a critic: the squared norm of the gradient with respect to the images."""
        gradient = jax.grad(lambda one: jnp.tanh(operation(one, kernel)).sum())(images)
        return (gradient**2).sum()

    mine, their = (jax.grad(penalty, 1)(one, kernel) for one in (ours, theirs))
    np.testing.assert_allclose(mine, their, atol=1e-4 * np.abs(their).max())


def test_one_pixel_becomes_the_kernel():
    kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
    image = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(1.0)

    out = double(image, kernel)[0, ..., 0]

    # out[2i - 1 + k] += in[i] * kernel[k], so rows and columns 1..4
    np.testing.assert_array_equal(out[1:5, 1:5], kernel[..., 0, 0])
    assert jnp.abs(out).sum() == kernel.sum()


@pytest.mark.parametrize("channels", [2, 6])
def test_doubling_is_the_transpose_of_halving(channels):
    kernel = normal(4, 4, channels, 5)
    fine, coarse = normal(2, 8, 6, 5, seed=1), normal(2, 4, 3, channels, seed=2)

    left = (double(coarse, kernel) * fine).sum()
    right = (coarse * halve(fine, kernel.swapaxes(2, 3))).sum()

    np.testing.assert_allclose(left, right, rtol=1e-4)


def test_it_is_the_transpose_of_lax_conv_transpose_padding():
    images, kernel = normal(1, 4, 6, 2), normal(4, 4, 2, 3, seed=1)

    # transpose_kernel=False correlates, so the kernel is turned beforehand
    theirs = lax.conv_transpose(
        images, kernel[::-1, ::-1], (2, 2), "SAME", dimension_numbers=LAYOUT
    )

    np.testing.assert_allclose(double(images, kernel), theirs, atol=1e-5)


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (4, 2)])
def test_layers_are_those_of_flax(side, stride):
    layer = nnx.Conv(3, 5, (side, side), (stride, stride), rngs=nnx.Rngs(0))
    layer.bias[...] = normal(5, seed=3)
    images = normal(2, 8, 6, 3)

    np.testing.assert_allclose(convolve(layer, images), layer(images), atol=1e-5)


def test_a_layer_of_it_keeps_the_variance_of_its_input():
    layer = UpConv(32, 32, rngs=nnx.Rngs(0))

    out = layer(nnx.relu(normal(2, 24, 24, 32)))

    assert (
        0.85 < float((out[:, 2:-2, 2:-2] ** 2).mean()) < 1.15
    )  # He et al. 2015: that of the signal before the relu


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_every_device_has_its_way(name, platform):
    """Dilated inputs are left to cuDNN; the CPU, which has no fast kernel for them, never sees one."""
    ours, _, side, times = OPERATIONS[name]
    images, kernel = normal(2, 4 * times, 4 * times, 6), normal(side, side, 6, 7)

    def both(images, kernel):
        return jax.grad(lambda *arrays: ours(*arrays).sum(), (0, 1))(images, kernel)

    lowered = jax.jit(both).trace(images, kernel).lower(lowering_platforms=(platform,)).as_text()
    dilations = [line for line in lowered.splitlines() if "lhs_dilate = [2, 2]" in line]
    assert bool(dilations) == (platform == "cuda" and name == "halve")
