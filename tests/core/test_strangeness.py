"""What a VAE finds strange beyond its residual, and the variance of its decoder."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import norm

from napari_anomaly.core.detector import load
from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods import vae
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.methods.strangeness import restored, smooth_gradient
from napari_anomaly.core.nn.build import fresh
from napari_anomaly.core.residuals import residual_map
from napari_anomaly.core.stack import Stack

GRID = (16, 16, 1)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def stripes(seed):
    rng = np.random.default_rng(seed)
    image = 128 + 60 * np.sin(np.arange(32) / 2) + rng.normal(0, 4, (32, 32))
    return np.clip(image, 0, 255).astype(np.uint8)


# -- weighted residuals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"), [("absolute", (2 * 0.5 + 0.5) / 2), ("squared", (4 * 0.25 + 0.25) / 2)]
)
def test_weights_multiply_differences_by_hand(kind, expected):
    image = jnp.zeros((1, 4, 4, 2))
    weight = jnp.broadcast_to(jnp.array([2.0, 1.0]), image.shape)

    np.testing.assert_allclose(
        residual_map(image, image + 0.5, kind=kind, weight=weight), expected, rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["absolute", "squared", "ssim"])
@pytest.mark.parametrize("colour", ["channels", "grey"])
def test_weights_of_one_change_nothing(kind, colour):
    image, other = normal(1, 12, 12, 3), normal(1, 12, 12, 3, seed=1)
    plain = residual_map(image, other, kind=kind, colour=colour)

    weighted = residual_map(image, other, kind=kind, colour=colour, weight=jnp.ones_like(image))

    np.testing.assert_allclose(weighted, plain, rtol=1e-5, atol=1e-6)


# -- the decoder's variance -----------------------------------------------------------------------


def test_the_surprise_is_the_likelihood_of_scipy():
    images, mean, log_variance = (normal(3, *GRID, seed=k) for k in range(3))
    expected = -norm.logpdf(images, mean, np.exp(np.float64(log_variance) / 2)).sum((1, 2, 3))

    found = vae.surprise(images, mean, log_variance)

    constant = np.prod(GRID) * np.log(2 * np.pi) / 2
    np.testing.assert_allclose(found + constant, expected, rtol=1e-5)


def test_log_variances_stay_above_twelve_and_are_themselves_where_large():
    np.testing.assert_allclose(
        vae.bounded(jnp.array([-1e4, -12, 3])), [-12, -11.3069, 3], atol=1e-4
    )


def on_one_device(network, images, keys, share):
    """A joint loss; the axis of devices has one."""
    loss = jax.vmap(partial(vae.calibrated_elbo, network), axis_name="images")
    return jax.jit(loss)(images[None], keys[None], share[None])[0]


def test_a_shared_variance_is_the_best_of_all_for_the_batch():
    """Its loss is the lowest that any one variance gives; images without a share count for nothing."""
    network = fresh(vae.Network, VAE(widths=(3, 5), latent=6), GRID, 0)
    images, keys = normal(4, *GRID), jax.random.split(jax.random.key(1), 4)
    share = jnp.array([0.5, 0.5, 0, 0])

    found = share @ on_one_device(network, images, keys, share)

    (made, _), kl = vae._sampled(network, images, keys)
    error = ((images - made)[:2] ** 2).mean()

    def total(log_variance):
        bound = vae.surprise(images, made, jnp.full((), log_variance)) + kl
        return float(share @ bound) / np.prod(GRID)

    best = float(jnp.log(error))
    assert found == pytest.approx(total(best), rel=1e-4)
    assert total(best) < min(total(best - 0.1), total(best + 0.1))


def test_a_pixel_learns_its_own_variance():
    """Noise of 4 grey levels on the left, of 20 on the right: the decoder's deviations say so."""
    rng = np.random.default_rng(0)
    noise = np.repeat([4.0, 20.0], 8)
    images = [np.clip(128 + noise * rng.normal(size=(16, 16)), 0, 255) for _ in range(24)]
    knobs = {"widths": [8], "latent": 2, "variance": "pixel", "size": [16, 16], "average": 0.9}
    knobs |= {"duration": 300, "batch": 8, "learning_rate": 2e-2}
    detector = fit([one.astype(np.uint8) for one in images], changed(RECIPES["vae"], knobs))

    pair = detector.fitted.pairs(jnp.zeros((1, 16, 16, 1)))[0]

    deviation = detector.recipe.preprocess.normalise.std[0] / np.asarray(pair.weight)[0, ..., 0]
    assert 255 * deviation[:, :8].mean() == pytest.approx(4, rel=0.2)
    assert 255 * deviation[:, 8:].mean() == pytest.approx(20, rel=0.2)


# -- gradients ------------------------------------------------------------------------------------


def test_a_smooth_gradient_by_hand():
    """Of ``sum(a x + x^2 / 2)`` it is ``|a + x + mean noise|``: the same noise for every image."""
    images = normal(2, 4, 4, 1)

    def function(some):
        return (3 * some + some**2 / 2).sum((1, 2, 3))

    found = smooth_gradient(function, images, jnp.float32(2))

    noise = found - (3 + images)
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-5)
    assert 0 < np.abs(noise).mean() < 0.1  # 16 copies of deviation .2
    np.testing.assert_array_equal(found, smooth_gradient(function, images, jnp.float32(2)))


def test_restoration_by_hand():
    """Reconstruction 0, ``L = x^2 / 2``: x' = x - .5 (x + .05 sign(x - x_0)) x^2."""
    images = jnp.array([0.8, -0.4, 0.0]).reshape(1, 3, 1, 1)

    found = restored(lambda x: (x**2 / 2).sum((1, 2, 3)), jnp.zeros_like, images, 2)

    expected = []
    for start in (0.8, -0.4, 0.0):
        now = start - 0.5 * start**3
        expected.append(now - 0.5 * (now + 0.05 * np.sign(now - start)) * now**2)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)


@pytest.fixture(scope="module")
def detector():
    knobs = {"widths": [8, 8], "latent": 8, "duration": 80, "batch": 4, "learning_rate": 5e-3}
    recipe = changed(RECIPES["vae"], knobs | {"size": [32, 32], "rounds": 40, "variance": "shared"})
    return fit([stripes(k) for k in range(12)], recipe)


def test_the_energy_of_a_restoration_is_the_training_loss_but_for_a_factor(detector, monkeypatch):
    """Seen from outside: an image that is a reconstruction of weight 1 everywhere has E = v / span^2 times L."""
    kept = {}

    def keep(energy, reconstruct, images, rounds):
        kept.update(energy=energy, images=images)
        return images

    monkeypatch.setattr(vae, "restored", keep)
    fitted = replace(detector.fitted, knobs=replace(detector.fitted.knobs, map="restoration"))
    images = normal(3, 32, 32, 1)
    fitted.pairs(images)

    span, variance = detector.fitted.seen.span, detector.fitted.seen.variance
    network = fitted.network
    mean, log_variance = network.encode(images)
    made, _ = network.decode(mean)
    loss = vae.surprise(images, made, jnp.log(variance)) + vae.divergence(mean, log_variance)
    constant = jnp.log(variance) * 32 * 32 / 2
    np.testing.assert_allclose(
        kept["energy"](kept["images"]), (loss - constant) * variance / span**2, rtol=1e-4
    )


@pytest.mark.parametrize("kind", ["kl-gradient", "restoration"])
def test_a_trained_vae_is_asked_otherwise_without_training(detector, kind, tmp_path):
    normals = [stripes(k) for k in range(20, 30)]
    defect = stripes(40)
    defect[10:18, 12:20] = 255 - defect[10:18, 12:20]

    other = detector.rescore(normals, {"map": kind})

    before, after = detector.inspect(defect), other.inspect(defect)
    assert other.fitted.arrays().keys() == detector.fitted.arrays().keys()
    assert not np.allclose(before.anomaly_map, after.anomaly_map)
    assert after.verdict == "fail"
    assert other.inspect(stripes(41)).verdict == "pass"
    found = np.unravel_index(after.anomaly_map.argmax(), (32, 32))
    assert 8 <= found[0] < 20 and 10 <= found[1] < 22
    again = load(other.save(tmp_path / "a.anomaly"))
    np.testing.assert_array_equal(again.inspect(defect).anomaly_map, after.anomaly_map)


def test_a_restoration_changes_the_defect_and_keeps_the_rest(detector):
    normals = [stripes(k) for k in range(20, 30)]
    defect = stripes(40)
    defect[10:18, 12:20] = 255 - defect[10:18, 12:20]
    other = detector.rescore(normals, {"map": "restoration", "rounds": 100})

    change = np.abs(other.inspect(defect).reconstruction - defect / 255)

    blurred = np.abs(detector.inspect(defect).reconstruction - defect / 255)
    assert change[10:18, 12:20].mean() > 0.1
    assert change[22:].mean() < 0.2 * blurred[22:].mean()  # fine texture is not lost


def test_a_pixels_variance_weighs_its_residual():
    network = fresh(vae.Network, VAE(widths=(3, 5), latent=6, variance="pixel"), GRID, 0)
    graph, weights = nnx.split(network, nnx.Param)
    seen = vae.Seen(jnp.ones(()), jnp.ones(()))
    fitted = vae.FittedVAE(weights, seen, graph, GRID, VAE(variance="pixel"))
    images = normal(2, *GRID)

    pair = fitted.pairs(images)[0]

    mean, log_variance = network.decode(network.encode(images)[0])
    np.testing.assert_allclose(
        residual_map(images, pair.reconstruction, kind="squared", weight=pair.weight),
        ((images - mean) ** 2 / jnp.exp(log_variance)).mean(-1),
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("variance", "rebuilt", "found"), [("unit", [], 1), ("shared", [32, 8], 0.25)]
)
def test_training_images_are_rebuilt_only_for_a_variance_that_is_learned(
    variance, rebuilt, found, monkeypatch
):
    chunks = []

    def errors(graph, weights, images):
        chunks.append(len(images))
        return np.full(len(images), 0.25)

    monkeypatch.setattr(vae, "_errors", errors)
    images = np.linspace(-1, 2, 40 * 64, dtype=np.float32).reshape(40, 8, 8, 1)
    seen = vae._seen(None, nnx.State({}), Stack.of(images), VAE(variance=variance))

    assert chunks == rebuilt
    assert (float(seen.span), float(seen.variance)) == (3, found)


@pytest.mark.parametrize("knobs", [{"variance": "unit"}, {"batch": 2}, {"size": [16, 16]}])
def test_what_was_trained_cannot_be_changed_afterwards(detector, knobs):
    with pytest.raises(
        RecipeError, match=r"to change after training; expected some of map, rounds, r"
    ):
        detector.rescore([stripes(1)], knobs)
