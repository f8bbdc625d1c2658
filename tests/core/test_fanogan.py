"""f-AnoGAN: what is drawn, what is frozen, and its score by hand."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from napari_anomaly.core.errors import DataWarning, RecipeError
from napari_anomaly.core.methods import fanogan
from napari_anomaly.core.methods.fitted import Fitted
from napari_anomaly.core.methods.knobs.fanogan import FAnoGAN
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.nn import samples
from napari_anomaly.core.nn.shares import bundled
from napari_anomaly.core.nn.steps import take_steps
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.preprocess import Colour
from napari_anomaly.core.progress import finished
from napari_anomaly.core.stack import Stack

RNG = np.random.default_rng(0)
SHADES = RNG.uniform(-0.7, 0.3, 64)
IMAGES = np.tile(SHADES[:, None, None, None], (1, 8, 8, 1)).astype(np.float32)
"""Flat images whose brightness alone differs: mean -.2, deviation .29."""

TRAINING = Training(
    duration=1000,
    batch=16,
    learning_rate=4e-3,
    clip=None,
    beta1=0.0,
    beta2=0.9,
    average=0.98,
)
KNOBS = FAnoGAN(
    widths=(8, 8),
    latent=4,
    search_steps=200,
    training=TRAINING,
    encoding=replace(TRAINING, duration=300, beta1=0.9),
)


class Remembered:
    """Keeps states in memory: the last one, and all that were ever kept."""

    def __init__(self):
        self.all = []

    def load(self):
        return self.all[-1] if self.all else None

    def save(self, arrays):
        self.all.append({name: np.array(one) for name, one in arrays.items()})


def fit(knobs=KNOBS, images=IMAGES, seed=0, keeper=None, seen=None):
    steps = fanogan.fit_steps(knobs, Stack.of(images), seed=seed, budget=None, keeper=keeper)
    return finished(steps, seen)


@pytest.fixture(scope="module")
def kept():
    return Remembered()


@pytest.fixture(scope="module")
def progress():
    return []


@pytest.fixture(scope="module")
def fitted(kept, progress):
    return fit(keeper=kept, seen=progress.append)


@jax.jit
def encoded(fitted, images):
    return fitted.encode(images)


@jax.jit
def decoded(fitted, latent):
    return fitted.decode(latent)


@jax.jit
def paired(fitted, images):
    return fitted.pairs(images)


@jax.jit
def scored(fitted, images):
    return fitted.latent_score(images)


def network(fitted):
    return nnx.merge(fitted.graph, fitted.weights)


# -- what is drawn --------------------------------------------------------------------------------


def test_what_is_drawn_is_distributed_as_the_training_images(fitted):
    latent = jax.random.normal(jax.random.key(1), (256, 4))

    drawn = np.asarray(decoded(fitted, latent))

    brightness = drawn.mean((1, 2, 3))
    assert brightness.mean() == pytest.approx(SHADES.mean(), abs=0.1)
    assert 0.5 < brightness.std() / SHADES.std() < 1.5
    assert drawn.std((1, 2, 3)).mean() < 0.2  # nearly flat, as they are


def test_the_drawn_are_shown_while_the_generator_is_trained(progress, fitted):
    stages = list(dict.fromkeys(one.stage for one in progress))
    pictures = [one for one in progress if one.picture is not None]

    assert stages == ["training the generator", "training the encoder"]
    assert {one.stage for one in pictures} == {"training the generator"}
    assert 10 <= len(pictures) <= 51  # no more than one for each call of the device
    assert pictures[-1].step == 1000
    for one in pictures:
        assert one.picture.shape == (32, 32, 1)
        assert 0 <= one.picture.min() <= one.picture.max() <= 1
    last = np.asarray(decoded(fitted, jax.random.normal(jax.random.key(0), (16, 4))))
    np.testing.assert_allclose(pictures[-1].picture[:8, 8:16], last[1] / 2 + 0.5, atol=1e-5)
    np.testing.assert_allclose(pictures[-1].picture[8:16, :8], last[4] / 2 + 0.5, atol=1e-5)


def test_normal_images_are_found_and_others_are_not(fitted):
    holed = IMAGES[:8].copy()
    holed[:, 2:5, 2:5] = 0.9

    (pair,) = paired(fitted, jnp.asarray(IMAGES[:8]))
    (strange,) = paired(fitted, jnp.asarray(holed))

    assert float(jnp.abs(pair.image - pair.reconstruction).mean()) < 0.08
    assert float(jnp.abs(strange.image - strange.reconstruction)[:, 2:5, 2:5].mean()) > 0.5


# -- the encoder's training -----------------------------------------------------------------------


def test_the_encoder_leaves_generator_and_critic_as_they_are(fitted, kept):
    before = next(one for one in kept.all if "encoder/.step" not in one)
    after = kept.all[-1]
    assert int(before["generator/.step"]) == 1000
    assert int(after["encoder/.step"]) == 300

    critic = [one for name, one in before.items() if name.startswith("generator/.sides[0].weights")]
    for one, leaf in zip(critic, jax.tree.leaves(fitted.weights["critic"]), strict=True):
        assert np.array_equal(one, leaf)
    (flat,) = bundled(fitted.weights["generator"], 1)
    assert np.array_equal(before["generator/.sides[1].mean[0]"], flat)
    frozen = [one for name, one in after.items() if name.startswith("encoder/.sides[1].weights")]
    for one, leaf in zip(frozen, jax.tree.leaves(fitted.weights["generator"]), strict=True):
        assert np.array_equal(one, leaf)


def test_the_generator_moved_once_for_five_critics(fitted, kept):
    assert int(kept.all[0]["generator/.sides[0].step"]) == 1000
    assert int(kept.all[0]["generator/.sides[1].step"]) == 200


def test_interrupted_in_the_second_training_it_ends_as_if_nothing_had_happened(fitted, kept):
    keeper = Remembered()
    keeper.save(next(one for one in kept.all if "encoder/.step" not in one))
    steps = fanogan.fit_steps(KNOBS, Stack.of(IMAGES), seed=0, budget=None, keeper=keeper)
    assert next(steps).stage == "training the encoder"  # the first is done
    steps.close()
    assert 0 < keeper.load()["encoder/.step"] < 300
    assert keeper.load()["generator/.step"] == 1000

    again = fit(keeper=keeper)

    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(fitted), strict=True):
        assert np.array_equal(one, other)


def test_an_encoder_goes_on_against_the_networks_a_budget_had_ended(kept):
    keeper = Remembered()
    steps = fanogan.fit_steps(KNOBS, Stack.of(IMAGES), seed=3, budget=0.0, keeper=keeper)
    while next(steps).stage != "training the encoder":
        pass
    steps.close()
    cut = keeper.load()
    assert 0 < cut["generator/.step"] < 1000  # some are left
    assert 0 < cut["encoder/.step"] < 300

    again = fit(keeper=keeper, seed=3)

    after = keeper.load()
    assert after["generator/.step"] == cut["generator/.step"]
    assert after["encoder/.step"] == 300
    for k, name in ((1, "generator"), (2, "critic")):
        prefix = f"encoder/.sides[{k}].weights"
        frozen = [one for key, one in after.items() if key.startswith(prefix)]
        for one, leaf in zip(frozen, jax.tree.leaves(again.weights[name]), strict=True):
            assert np.array_equal(one, leaf)


def test_both_trainings_compile_once(fitted):
    before = take_steps._cache_size()

    steps = fanogan.fit_steps(KNOBS, Stack.of(IMAGES), seed=5, budget=0.0)
    finished(steps)

    assert take_steps._cache_size() == before


# -- the score ------------------------------------------------------------------------------------


def test_the_score_by_hand(fitted):
    """A = (1/n) |x - G(E(x))|^2 + kappa (1/n_d) |f(x) - f(G(E(x)))|^2."""
    images = jnp.asarray(RNG.uniform(-1, 1, (3, 8, 8, 1)), jnp.float32)
    scoring = replace(fitted, knobs=replace(KNOBS, kappa=0.5))

    drawn = network(fitted).generator(network(fitted).encoder.numbers(images))
    features = [np.float64(network(fitted).critic.features(one)) for one in (images, drawn)]
    residual = ((np.float64(images) - np.float64(drawn)) ** 2).reshape(3, -1).mean(1)
    by_hand = residual + 0.5 * ((features[0] - features[1]) ** 2).mean(1)

    np.testing.assert_allclose(scored(scoring, images), by_hand, rtol=1e-4)
    assert features[0].shape == (3, 2 * 2 * 8)


def test_the_search_finds_what_the_generator_can_draw(fitted):
    """AnoGAN: each image by itself, from the same start, down .9 sum |x - G(z)| + .1 sum |f(x) - f(G(z))|."""
    seeking = replace(fitted, knobs=replace(KNOBS, inversion="search"))
    images = decoded(fitted, jax.random.normal(jax.random.key(7), (3, 4)))

    found = encoded(seeking, images)

    (pair,) = paired(seeking, images)
    first = np.abs(np.asarray(images) - np.asarray(decoded(fitted, fitted.start[None])))
    assert float(jnp.abs(pair.image - pair.reconstruction).mean()) < 0.3 * first.mean()
    np.testing.assert_allclose(encoded(seeking, images[1:2]), found[1:2], atol=0.05)
    drawn = network(fitted).generator(found)
    features = [np.float64(network(fitted).critic.features(one)) for one in (images, drawn)]
    residual = np.abs(np.float64(images) - np.float64(drawn)).reshape(3, -1).sum(1)
    by_hand = 0.9 * residual + 0.1 * np.abs(features[0] - features[1]).sum(1)
    whole = network(fitted)
    loss = fanogan.search_loss(whole.generator, whole.critic, images, found)
    np.testing.assert_allclose(loss, by_hand, rtol=1e-4)
    np.testing.assert_allclose(scored(seeking, images), by_hand, rtol=0.1)


def test_a_level_of_the_critic_can_join_the_map(fitted):
    images = jnp.asarray(IMAGES[:2])
    both = replace(fitted, knobs=replace(KNOBS, feature_level=1))

    pixels, features = paired(both, images)

    assert isinstance(both, Fitted)
    np.testing.assert_allclose(
        pixels.reconstruction, paired(fitted, images)[0].reconstruction, atol=1e-5
    )
    for one, image in zip(features[:2], pixels[:2], strict=True):
        np.testing.assert_allclose(one, network(fitted).critic.maps(image)[0], atol=1e-5)
    assert features.image.shape == (2, 4, 4, 8)


# -- what a user may read -------------------------------------------------------------------------


def test_images_outside_of_what_is_drawn_are_refused():
    last = IMAGES.copy()
    last[-1, 3, 5] = -3

    with pytest.raises(RecipeError, match=r"of up to 3 .*in training image 64 of 64.*kind=fixed"):
        fit(images=last)


def test_a_level_that_is_not_there_is_refused_before_and_after_training(fitted):
    words = "found feature_level 3; expected at most 2"
    with pytest.raises(RecipeError, match=words):
        fit(replace(KNOBS, feature_level=3))
    with pytest.raises(RecipeError, match=words):
        fanogan.restore(replace(KNOBS, feature_level=3), fitted.arrays())


def test_a_generator_that_draws_one_picture_is_told(fitted):
    painter = samples.Painter.of(network(fitted).generator, 0)
    weights = jax.tree.map(jnp.zeros_like, fitted.weights["generator"])

    with pytest.warns(DataWarning, match=r"generator has collapsed: two of its images differ by 0"):
        painter.warn_of_collapse(weights, Stack.of(IMAGES))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        painter.warn_of_collapse(fitted.weights["generator"], Stack.of(IMAGES))


def test_diversity_by_hand():
    """Images 0, 0 and 3 everywhere: distances 0, 3, 3."""
    assert samples.diversity(np.array([0.0, 0, 3])[:, None] * np.ones((3, 5))) == 2


# -- presets as published -------------------------------------------------------------------------


def test_the_slides_preset():
    """64 px; flips; mean .5, deviation .5; 1500 + 200 epochs; batch 32; Adam 2e-4; latent 100; every fifth."""
    recipe = RECIPES["f-anogan-slides"]
    first, second = recipe.method.training, recipe.method.encoding

    assert recipe.preprocess.steps[1].size == (64, 64)
    assert recipe.preprocess.normalise == Normalise(kind="fixed")
    assert (first.duration, first.unit, second.duration, second.unit) == (
        *(1500, "epochs"),
        *(200, "epochs"),
    )
    for one in (first, second):
        assert (one.batch, one.learning_rate, one.flip, one.optimiser) == (32, 2e-4, True, "adam")
    assert (recipe.method.latent, recipe.method.critic_steps) == (100, 5)
    assert (recipe.score, recipe.latent_score) == ("latent", "own")


def test_the_paper_preset():
    """64 px grey; latent 128; Adam 1e-4 (0, .9); batch 64; kappa 1; RMSProp 5e-5 for 50,000 iterations."""
    recipe = RECIPES["f-anogan-paper"]
    method, first, second = recipe.method, recipe.method.training, recipe.method.encoding

    assert recipe.preprocess.steps[0] == Colour(to="grey")
    assert (method.latent, method.kappa, method.penalty, method.critic_steps) == (128, 1, 10, 5)
    assert (first.learning_rate, first.beta1, first.beta2, first.batch) == (1e-4, 0, 0.9, 64)
    assert (second.optimiser, second.learning_rate, second.duration) == ("rmsprop", 5e-5, 50_000)
    shapes = nnx.eval_shape(lambda: fanogan.Network(method, (64, 64, 1), rngs=nnx.Rngs(0)))
    assert shapes.generator.small == (4, 4, 512)
    assert [one.convolutions[1].kernel.shape[-1] for one in shapes.generator.levels] == [
        512, 256, 128, 64,
    ]  # fmt: skip
    assert shapes.critic.dense.kernel.shape == (8192, 1)
    assert [one.convolutions[1].kernel.shape[-1] for one in shapes.critic.levels] == [
        128, 256, 512, 512,
    ]  # fmt: skip
