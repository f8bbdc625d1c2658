"""Mixtures against scipy and scikit-learn; DAGMM's loss by hand, and what an autoencoder cannot know."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods import dagmm as room
from napari_anomaly.core.methods.knobs.dagmm import DAGMM
from napari_anomaly.core.methods.mixture import Mixture, energy_of, mixture_of, narrowness
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.nn.build import fresh

RNG = np.random.default_rng(0)
GRID = (16, 16, 1)


def mixture(scale=1.0, d=4, k=3):
    spread = RNG.normal(size=(k, d, d))
    return Mixture(
        jnp.array([0.2, 0.5, 0.3], jnp.float32),
        jnp.asarray(scale * RNG.normal(size=(k, d)), jnp.float32),
        jnp.asarray(scale**2 * (spread @ spread.transpose(0, 2, 1) + np.eye(d)), jnp.float32),
    )


# -- mixtures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("far", [1, 30])  # where densities are 0 in float32, energies go on
def test_energies_are_those_of_scipy_and_sklearn(scale, far):
    some, points = mixture(scale), scale * far * RNG.normal(size=(7, 4))
    logarithms = [
        np.log(w) + multivariate_normal(m, c).logpdf(points)
        for w, m, c in zip(*map(np.float64, some), strict=True)
    ]
    theirs = GaussianMixture(3)
    theirs.weights_, theirs.means_ = np.float64(some.weights), np.float64(some.means)
    inverse = np.linalg.inv(np.float64(some.covariances))
    theirs.precisions_cholesky_ = np.linalg.cholesky(inverse)

    found = np.asarray(energy_of(some, jnp.asarray(points, jnp.float32)))

    np.testing.assert_allclose(found, -logsumexp(logarithms, axis=0), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found, -theirs.score_samples(points), rtol=1e-4, atol=1e-3)


def test_parameters_are_one_step_of_sklearns_expectation_maximisation():
    """Their covariances are without the floor: it is .001, and a ten-thousandth of each variance."""
    points, members = RNG.normal(size=(40, 3)), RNG.dirichlet((1, 1), 40)
    theirs = GaussianMixture(2, reg_covar=0)
    theirs._initialize(points, members)

    found = mixture_of(*map(jnp.float32, (points, members)), lambda values: values.mean(0))

    expected = theirs.covariances_ + np.eye(3) * (0.001 + 0.0001 * theirs.covariances_)
    np.testing.assert_allclose(found.weights, theirs.weights_, rtol=1e-5)
    np.testing.assert_allclose(found.means, theirs.means_, atol=1e-5)
    np.testing.assert_allclose(found.covariances, expected, atol=1e-5)
    assert narrowness(found) == pytest.approx((1 / np.diagonal(expected, 0, 1, 2)).sum(), rel=1e-4)


def test_few_points_and_empty_components_have_energies():
    points = 100 * jnp.asarray(RNG.normal(size=(2, 6)), jnp.float32)
    members = jnp.array([[1.0, 0], [1, 0]])

    found = energy_of(mixture_of(points, members, lambda values: values.mean(0)), points)

    assert np.isfinite(found).all()


# -- the network ----------------------------------------------------------------------------------


def test_errors_by_hand():
    """|x - y| / |x| of (3, 4) and (3, 0): 4 / 5; their cosine: 9 / 15."""
    x, y = (jnp.array(one, jnp.float32).reshape(1, 1, 2, 1) for one in ([3, 4], [3, 0]))

    np.testing.assert_allclose(room.errors(x, y), [[0.8, 0.6]], rtol=1e-6)
    gradient = jax.grad(lambda one: room.errors(x, one).sum())(x)
    assert np.isfinite(gradient).all()


def test_the_loss_is_that_of_the_paper_and_left_out_images_do_not_count():
    knobs = DAGMM(widths=(3, 5), latent=2, dropout=0, energy=0.1, spread=0.005)
    network = fresh(room.Network, knobs, GRID, 0)
    images = jnp.asarray(RNG.normal(size=(5, *GRID)), jnp.float32)
    share, keys = jnp.array([0.25, 0.25, 0.25, 0.25, 0]), jax.random.split(jax.random.key(0), 5)

    one = jax.jit(jax.vmap(partial(room.joint_loss, network), axis_name="images"))
    found = one(images[None], keys[None], share[None])[0]
    two = one(images[:4].reshape(2, 2, *GRID), keys[:4].reshape(2, 2), share[:4].reshape(2, 2))

    points, made = network.points(images[:4])
    members = network.members(points)
    whole = mixture_of(points, members, lambda values: values.mean(0))
    by_hand = (
        ((images[:4] - made) ** 2).sum((1, 2, 3))
        + 0.1 * energy_of(whole, points)
        + 0.005 * (1 / np.diagonal(whole.covariances, 0, 1, 2)).sum()
    )
    np.testing.assert_allclose(256 * found[:4], by_hand, rtol=1e-4)
    np.testing.assert_allclose(two.ravel(), found[:4], rtol=1e-4)  # on two devices


def test_dropout_leaves_out_half_of_the_hidden_units_of_each_image():
    network = fresh(room.Network, DAGMM(widths=(3, 5), hidden=400), GRID, 0)
    points = jnp.ones((6, 10))
    keys = jax.random.split(jax.random.key(0), 6)

    dropped = network.members(points, keys)

    np.testing.assert_allclose(dropped.sum(1), 1, rtol=1e-5)
    assert len(np.unique(np.asarray(dropped)[:, 0])) == 6  # each image by its own key
    assert len(np.unique(np.asarray(network.members(points))[:, 0])) == 1


# -- as a method ----------------------------------------------------------------------------------


def shaded(seed, brightness):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-30, 30, 16)[:, None] * np.ones(16)
    return np.clip(128 + brightness * 60 + ramp + rng.normal(0, 3, (16, 16)), 0, 255).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def detector():
    """Normal images are dark or bright, none is in between; codes of either kind differ little, so no spread."""
    normals = [shaded(k, 1 if k % 2 else -1) for k in range(60)]
    knobs = {"widths": [8, 8], "latent": 2, "size": [16, 16], "duration": 300, "batch": 24}
    knobs |= {"learning_rate": 5e-3, "score": "latent", "spread": 0}
    recipe = changed(RECIPES["dagmm"], knobs)
    return fit(normals, recipe)


def test_an_image_between_two_clusters_is_found_by_its_energy(detector):
    between, dark, bright = shaded(99, 0), shaded(97, -1), shaded(98, 1)

    verdicts = [detector.inspect(one).verdict for one in (between, dark, bright)]

    assert verdicts == ["fail", "pass", "pass"]


def test_one_gaussian_of_the_codes_finds_nothing_between_two_clusters(detector):
    """What an autoencoder and its codes' covariance know: the image in the middle is the most usual of all."""
    steps = detector.recipe.preprocess

    def codes(images):
        normal = [
            (steps.apply(one)[0] - steps.normalise.mean[0]) / steps.normalise.std[0]
            for one in images
        ]
        return detector.fitted.encode(jnp.asarray(np.stack(normal), jnp.float32))

    normals = codes([shaded(k, 1 if k % 2 else -1) for k in range(100, 120)])
    one = mixture_of(normals, jnp.ones((20, 1)), lambda values: values.mean(0))

    assert energy_of(one, codes([shaded(99, 0)]))[0] < energy_of(one, normals).max()


def test_the_energy_is_that_of_the_mixture_of_all_training_images(detector):
    assert detector.fitted.mixture.weights.sum() == pytest.approx(1, rel=1e-5)
    dark, bright = (detector.fitted.mixture.means[k] for k in (0, 1))
    assert np.abs(dark - bright).max() > 0.5


def test_a_damaged_mixture_is_refused(detector):
    arrays = dict(detector.fitted.arrays())
    arrays["mixture.covariances"] = -arrays["mixture.covariances"]

    with pytest.raises(CheckpointError, match="not positive definite"):
        room.restore(detector.recipe.method, arrays)
