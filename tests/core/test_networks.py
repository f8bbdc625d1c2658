"""Networks: the blocks' shapes, weights as arrays, the VAE's bound in closed form."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from napari_anomaly.core.errors import CheckpointError, RecipeError
from napari_anomaly.core.methods import autoencoder, vae
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.nn.blocks import Decoder, Encoder, bottom
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays

LAYOUT = ("NHWC", "HWIO", "NHWC")
TINY = {"widths": (3, 5), "down": "stride"}
GRID = (8, 12, 1)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


# -- blocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", ["stride", "pool"])
@pytest.mark.parametrize(("outputs", "code"), [(None, (2, 2, 3, 5)), (7, (2, 7))])
def test_codes_and_images_have_their_shapes(down, outputs, code):
    def shapes():
        encoded = Encoder(GRID, (3, 5), down, outputs, rngs=nnx.Rngs(0))(jnp.zeros((2, *GRID)))
        return encoded, Decoder(GRID, (3, 5), outputs, rngs=nnx.Rngs(0))(encoded)

    encoded, image = nnx.eval_shape(shapes)

    assert encoded.shape == code
    assert image.shape == (2, *GRID)


def test_pooling_keeps_the_highest_of_four():
    encoder = Encoder((8, 8, 1), (1,), "pool", None, rngs=nnx.Rngs(0))
    kernel = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)  # identity
    encoder.convolutions[0].kernel[...] = kernel
    image = jnp.abs(normal(1, 8, 8, 1))

    expected = image.reshape(4, 2, 4, 2).max((1, 3))
    np.testing.assert_allclose(encoder(image)[0, ..., 0], expected)


def test_sides_that_cannot_be_halved_are_told():
    assert bottom((64, 32, 3), (8, 16, 24)) == (8, 4, 24)
    with pytest.raises(RecipeError, match=r"60 x 64 pixels; a network of 3 levels.*divisible by 8"):
        bottom((60, 64, 3), (8, 16, 24))


# -- networks from seeds and from arrays ----------------------------------------------------------

ARCHITECTURES = [
    (autoencoder.Network, Autoencoder(**TINY)),
    (vae.Network, VAE(**TINY, latent=6)),
]


@cache
def network_of(architecture, knobs):
    return fresh(architecture, knobs, GRID, 0)


def vae_of(beta):
    network = nnx.clone(network_of(*ARCHITECTURES[1]))
    network.beta = beta
    return network


def arrays_of(network):
    return to_arrays(nnx.state(network, nnx.Param), GRID)


@pytest.mark.parametrize(("architecture", "knobs"), ARCHITECTURES)
def test_the_seed_alone_decides_fresh_weights(architecture, knobs):
    one, same, other = (arrays_of(fresh(architecture, knobs, GRID, seed)) for seed in (3, 3, 4))

    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("architecture", "knobs"), ARCHITECTURES)
def test_networks_survive_being_named_arrays(architecture, knobs):
    network = network_of(architecture, knobs)

    graph, weights, grid = from_arrays(architecture, knobs, arrays_of(network))
    again = nnx.merge(graph, weights)

    assert grid == GRID
    assert arrays_of(again).keys() == arrays_of(network).keys()
    for name, one in arrays_of(network).items():
        np.testing.assert_array_equal(arrays_of(again)[name], one)


FIRST = "encoder.convolutions.0.kernel"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda a: a.pop("grid"), "no usable 'grid'"),
        (lambda a: a.update(grid=np.float32([8, 12])), "no usable 'grid'"),
        (lambda a: a.update(grid=np.float32([8, np.nan, 1])), "no usable 'grid'"),
        (
            lambda a: a.update(grid=np.float32([1e9, 1e9, 1])),
            r"the grid \(1000000000, 1000000000, 1\)",
        ),
        (lambda a: a.update(grid=np.float32([8, 12, 2])), "1 or 3 channels"),
        (lambda a: a.update(grid=np.float32([8, 14, 1])), "divisible by 4"),
        (lambda a: a.pop(FIRST), f"differing: {FIRST}"),
        (lambda a: a.update(extra=np.zeros(3, np.float32)), "differing: extra"),
        (
            lambda a: a.update({FIRST: a[FIRST][..., :-1]}),
            rf"{FIRST} with shape \(4, 4, 1, 2\).*expected \(4, 4, 1, 3\)",
        ),
        (lambda a: a.update({FIRST: a[FIRST].astype(np.float64)}), "float64; expected"),
        (lambda a: a.update({FIRST: np.full_like(a[FIRST], np.nan)}), "finite float32"),
    ],
)
def test_arrays_that_do_not_fit_are_told(damage, words):
    arrays = arrays_of(network_of(*ARCHITECTURES[0]))
    damage(arrays)

    with pytest.raises((CheckpointError, RecipeError), match=words):
        from_arrays(autoencoder.Network, ARCHITECTURES[0][1], arrays)


@pytest.mark.parametrize("latent", [None, 10**6])
def test_a_huge_recipe_is_refused_without_huge_arrays(latent):
    arrays = arrays_of(network_of(*ARCHITECTURES[0]))
    huge = Autoencoder(widths=(10**9, 10**9), latent=latent)

    with pytest.raises(CheckpointError, match="found"):
        from_arrays(autoencoder.Network, huge, arrays)


# -- losses ---------------------------------------------------------------------------------------


def test_squared_error_by_hand():
    class Half(autoencoder.Network):
        def __init__(self):
            pass

        def __call__(self, images):
            return images / 2

    images = jnp.stack([jnp.full((8, 8, 1), 2.0), jnp.zeros((8, 8, 1))])

    np.testing.assert_array_equal(
        autoencoder.squared_error(Half(), images, jax.random.key(0)), [1, 0]
    )


def test_kl_by_hand():
    mean, log_variance = (
        jnp.float32([[0, 0], [3, 0], [0, 0]]),
        jnp.float32([[0, 0], [0, 0], [0, np.log(4)]]),
    )

    # N(0, 1): nothing; mean 3: 9 / 2; variance 4: (4 - 1 - ln 4) / 2
    np.testing.assert_allclose(vae.divergence(mean, log_variance), [0, 4.5, 0.8068528], atol=1e-6)


def test_kl_is_what_samples_say():
    mean, log_variance = normal(1, 5), normal(1, 5, seed=1)
    noise = normal(200_000, 5, seed=2)
    z = mean + jnp.exp(log_variance / 2) * noise

    # log q(z) - log p(z); the constants cancel
    sampled = 0.5 * (z**2 - noise**2 - log_variance).sum(-1)
    np.testing.assert_allclose(vae.divergence(mean, log_variance)[0], sampled.mean(), rtol=0.02)


def test_the_bound_is_half_the_squared_error_plus_kl_per_value():
    network, images = vae_of(beta=3.0), normal(4, *GRID)
    keys = jax.random.split(jax.random.key(5), 4)
    loss = nnx.jit(vae.negative_elbo)(network, images, keys)

    mean, log_variance = network.encode(images)
    z = mean + jnp.exp(log_variance / 2) * jnp.stack([jax.random.normal(key, (6,)) for key in keys])
    made = np.asarray(network.decoder(z)).reshape(4, -1)
    error = ((made - np.asarray(images).reshape(4, -1)) ** 2).sum(1) / 2
    kl = 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(1)
    np.testing.assert_allclose(loss, (error + 3 * np.asarray(kl)) / (8 * 12), rtol=1e-5)


def test_without_beta_the_kl_term_counts_nothing():
    network, images = vae_of(beta=0.0), normal(4, *GRID)
    weights = nnx.state(network, nnx.Param)
    far = jax.tree.map(lambda one: one, weights)
    bias = far["encoder"]["dense"]["bias"][...]
    # log-variances of -30 leave no noise, means stay: a KL of about 15 for each latent
    far["encoder"]["dense"]["bias"] = nnx.Param(bias.at[6:].set(-30.0))
    far["encoder"]["dense"]["kernel"] = nnx.Param(
        far["encoder"]["dense"]["kernel"][...].at[:, 6:].set(0.0)
    )
    nnx.update(network, far)

    bound = nnx.jit(vae.negative_elbo)
    keys = (jax.random.split(jax.random.key(k), 4) for k in (0, 1))
    one, other = (bound(network, images, of_images) for of_images in keys)

    assert float(vae.divergence(*network.encode(images)).min()) > 80
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert float(one.max()) < 5
