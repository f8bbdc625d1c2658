"""VAE-GAN: which network goes down which loss, each computed by hand; and its encoder and decoder by themselves."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import napari_anomaly as na
from napari_anomaly.core.errors import DataError, RecipeError
from napari_anomaly.core.methods import vaegan
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.knobs.vaegan import VAEGAN
from napari_anomaly.core.methods.latent import decoded, encoded
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.nn.build import fresh
from napari_anomaly.core.nn.compiling import QUICKLY
from napari_anomaly.core.nn.critics import Critic
from napari_anomaly.core.nn.steps import take_steps
from napari_anomaly.core.progress import finished
from napari_anomaly.core.stack import Stack

RNG = np.random.default_rng(0)
SHADES = RNG.uniform(-0.7, 0.3, 32)
IMAGES = np.tile(SHADES[:, None, None, None], (1, 8, 8, 1)).astype(np.float32)
KNOBS = VAEGAN(
    widths=(4, 8),
    latent=3,
    level=2,
    gamma=0.1,
    training=Training(
        duration=600, batch=16, learning_rate=3e-3, clip=None, beta1=0.5, average=0.9
    ),
)
NAMES = ("encoder", "decoder", "discriminator")


@pytest.fixture(scope="module")
def networks():
    whole = fresh(vaegan.Network, KNOBS, (8, 8, 1), 0)
    return {name: getattr(whole, name) for name in NAMES}


@pytest.fixture(scope="module")
def parts(networks):
    """What Larsen's algorithm 1 computes of three images, in NumPy from what the networks return."""
    images = jnp.asarray(RNG.uniform(-1, 1, (3, 8, 8, 1)), jnp.float32)
    keys = jax.random.split(jax.random.key(3), 3)
    of_posterior, of_prior = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
    draw = jax.vmap(lambda key: jax.random.normal(key, (3,)))
    graphs, weights = nnx.split(networks)

    @partial(jax.jit, compiler_options=QUICKLY)
    def seen(weights):
        encoder, decoder, discriminator = (nnx.merge(graphs, weights)[name] for name in NAMES)
        outputs = encoder.numbers(images)
        z = outputs[:, :3] + jnp.exp(outputs[:, 3:] / 2) * draw(of_posterior)
        shown = images, decoder(z), decoder(draw(of_prior))
        return outputs, [(discriminator(one), discriminator.maps(one)[1]) for one in shown]

    outputs, judged = seen(weights)
    mean, log_variance = np.float64(outputs[:, :3]), np.float64(outputs[:, 3:])
    real, fake, prior = (1 / (1 + np.exp(-np.float64(one))) for one, _ in judged)
    ours, theirs = (np.float64(one) for _, one in judged[:2])
    return {
        "images": images,
        "keys": keys,
        "prior": (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1) / 2,
        "likeness": ((ours - theirs) ** 2).reshape(3, -1).sum(1) / 2,
        "gan": np.log(real) + np.log(1 - fake) + np.log(1 - prior),
        "made": np.log(1 - fake) + np.log(1 - prior),
    }


def test_the_encoder_goes_down_kl_term_and_feature_error(networks, parts):
    found = vaegan.EncoderLoss(2)(networks, parts["images"], parts["keys"])

    np.testing.assert_allclose(found, parts["prior"] + parts["likeness"], rtol=1e-4)


def test_the_decoder_goes_down_the_feature_error_and_deceives(networks, parts):
    found = vaegan.DecoderLoss(2, 0.5)(networks, parts["images"], parts["keys"])

    np.testing.assert_allclose(found, 0.5 * parts["likeness"] + parts["made"], rtol=1e-4)


def test_the_discriminator_tells_real_from_rebuilt_and_from_drawn(networks, parts):
    found = vaegan.discriminator_loss(networks, parts["images"], parts["keys"])

    np.testing.assert_allclose(found, -parts["gan"], rtol=1e-4)


def test_likeness_is_of_features_not_of_pixels():
    """A discriminator blind to the first columns calls images alike that differ there, and only there."""

    class Blind(Critic):
        def maps(self, images):
            return super().maps(images.at[:, :, :4].set(0.0))

    seeing = Blind((8, 8, 1), (4, 8), "plain", 1, rngs=nnx.Rngs(0))
    images = jnp.zeros((2, 8, 8, 1))

    at_left = vaegan.feature_error(seeing, images, images.at[:, :, :4].set(1.0), 2)
    at_right = vaegan.feature_error(seeing, images, images.at[:, :, 6:].set(1.0), 2)

    np.testing.assert_array_equal(at_left, 0)
    assert (np.asarray(at_right) > 0.1).all()


# -- trained --------------------------------------------------------------------------------------


def fit(seed=0, budget=None, knobs=KNOBS, images=IMAGES, seen=None):
    return finished(
        vaegan.fit_steps(knobs, Stack.of(images), seed=seed, budget=budget, keeper=None), seen
    )


@pytest.fixture(scope="module")
def fitted():
    return fit()


def test_images_are_rebuilt_and_new_ones_drawn(fitted):
    (pair,) = jax.jit(fitted.pairs)(jnp.asarray(IMAGES))
    rebuilt = np.asarray(pair.reconstruction)
    drawn = np.asarray(jax.jit(fitted.decode)(jax.random.normal(jax.random.key(1), (256, 3))))

    assert np.corrcoef(rebuilt.mean((1, 2, 3)), SHADES)[0, 1] > 0.8
    brightness = drawn.mean((1, 2, 3))
    assert brightness.mean() == pytest.approx(SHADES.mean(), abs=0.25)
    assert 0.25 < brightness.std() / SHADES.std() < 2


def test_all_move_in_every_step_and_compile_once(fitted):
    before = take_steps._cache_size()
    pictures = []

    other = fit(seed=1, budget=0.0, seen=lambda now: pictures.append(now.picture))

    assert take_steps._cache_size() == before
    assert pictures[-1].shape == (32, 32, 1)
    for name in NAMES:
        ours, theirs = (
            jax.flatten_util.ravel_pytree(one.weights[name])[0] for one in (fitted, other)
        )
        assert not np.array_equal(ours, theirs)


def test_levels_that_are_not_there_and_wrong_ranges_are_refused():
    with pytest.raises(RecipeError, match=r"found level 3 and feature_level 0; expected at most 2"):
        fit(knobs=replace(KNOBS, level=3))
    with pytest.raises(RecipeError, match="kind=fixed"):
        fit(images=2 * np.ones_like(IMAGES))


def test_a_level_that_is_not_there_is_refused_after_training_too(fitted):
    words = r"found level 2 and feature_level 9; expected at most 2"
    with pytest.raises(RecipeError, match=words):
        vaegan.restore(replace(KNOBS, feature_level=9), fitted.arrays())


# -- encoder and decoder by themselves ------------------------------------------------------------


@pytest.fixture(scope="module")
def detector():
    knobs = {
        "preprocess.steps.1.size": [16, 16],
        "widths": [4, 8],
        "level": 2,
        "latent": 3,
        "duration": 100,
    }
    images = [np.full((16, 16), 255 * (shade + 1) / 2, np.uint8) for shade in SHADES]
    return na.fit(images, changed(RECIPES["vae-gan"], knobs))


def test_images_to_numbers_and_back(detector):
    images = [np.full((20, 24), 100, np.uint8), np.full((16, 16), 180, np.uint8)]

    latent = na.encode(detector, images)
    drawn = na.decode(detector, latent)

    assert (latent.shape, drawn.shape) == ((2, 3), (2, 16, 16, 1))
    assert latent.dtype == drawn.dtype == np.float32
    assert 0 <= drawn.min() <= drawn.max() <= 1
    shown = detector.inspect(images[1]).reconstruction
    np.testing.assert_allclose(drawn[1, ..., 0], shown, atol=1e-4)
    np.testing.assert_allclose(na.encode(detector, images[1:]), latent[1:], atol=1e-5)


def test_encoder_and_decoder_compile_once_for_all_detectors_of_a_shape(detector):
    def use(one):
        na.decode(one, na.encode(one, [np.full((16, 16), 90, np.uint8)] * 2))
        return encoded._cache_size(), decoded._cache_size()

    weights = jax.tree.map(lambda one: one + 1, detector.fitted.weights)
    other = replace(detector, fitted=replace(detector.fitted, weights=weights))

    first = use(detector)
    assert min(first) >= 1
    assert use(detector) == use(other) == first


def test_no_images_are_told(detector):
    with pytest.raises(DataError, match="found no images; expected at least 1"):
        na.encode(detector, [])


def test_methods_and_latents_that_do_not_fit_are_refused(detector):
    linear = na.fit([np.full((16, 16), k, np.uint8) for k in range(8)], "linear-image")

    with pytest.raises(RecipeError, match=r"method 'linear', which has no encoder.*vae-gan"):
        na.encode(linear, [])
    with pytest.raises(RecipeError, match=r"latents of shape \(2, 5\); expected \(n, 3\)"):
        na.decode(detector, np.zeros((2, 5), np.float32))
