"""How far methods look, followed by hand and by changing single pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from napari_anomaly.core.methods.autoencoder import FittedAutoencoder, Network
from napari_anomaly.core.methods.fitted import Reach
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.linear import PatchPCA
from napari_anomaly.core.nn.reach import radius


def autoencoder(levels, down="stride", latent=None, side=64):
    knobs = Autoencoder(widths=(4,) * levels, down=down, latent=latent)
    network = Network(knobs, (side, side, 1), rngs=nnx.Rngs(0))
    return FittedAutoencoder(nnx.state(network, nnx.Param), nnx.graphdef(network), (side, side, 1))


def test_one_level_by_hand():
    """Pixel 1 takes cells 0 and 1, which take pixels -1 to 2 and 1 to 4; pixel 0 takes cells -1 and 0: -3 to 2."""
    assert radius(1) == 3


@pytest.mark.parametrize("down", ["stride", "pool"])
@pytest.mark.parametrize(("levels", "side"), [(1, 16), (2, 32), (3, 64)])
def test_a_network_sees_as_far_as_it_says_and_no_further(levels, side, down):
    """The gradient of each output pixel of one period, in the middle, reaches the radius, and is 0 beyond."""
    fitted = autoencoder(levels, down, side=side)
    (reach,) = fitted.reach()
    image = jax.random.normal(jax.random.key(1), (1, side, side, 1))
    start = side // 2 // 2**levels * 2**levels

    @jax.jit
    @jax.grad
    def gradient(x, pixel):
        return fitted.pairs(x)[0].reconstruction[0, :, pixel, 0].sum()

    furthest = 0
    for pixel in range(start, start + 2**levels):
        seen = np.flatnonzero(np.abs(gradient(image, pixel)[0, ..., 0]).sum(0))
        furthest = max(furthest, *(abs(int(one) - pixel) for one in seen))

    assert reach == Reach(1, radius(levels), 2**levels)
    assert furthest == reach.radius


def test_a_dense_latent_is_of_the_whole_image():
    assert autoencoder(2, latent=8).reach() is None


def test_patches_reach_a_patch_less_one_pixel_at_each_scale():
    kernel, offset = jnp.ones((7, 7, 1, 1)), jnp.zeros(1)
    fitted = PatchPCA((kernel, kernel), (offset, offset), (1, 4), 4)
    image = jnp.zeros((1, 64, 64, 1)).at[0, 32, 32].set(1)

    seen = [  # Fourier transforms leave rounding everywhere
        np.flatnonzero((np.abs(pair.reconstruction[0, ..., 0]) > 1e-3).any(0))
        for pair in fitted.pairs(image)
    ]

    assert fitted.reach() == (Reach(1, 3, 1), Reach(4, 3, 4))
    assert [(one[0], one[-1]) for one in seen] == [(29, 35), (8 - 3, 8 + 3)]
