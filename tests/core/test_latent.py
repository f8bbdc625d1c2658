"""Latent scores, and their combination with the map's, against other implementations and as laws."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from scipy.stats import combine_pvalues
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from napari_anomaly.core.combining import combined, leave_one_out, log_p_value
from napari_anomaly.core.detector import load
from napari_anomaly.core.errors import CalibrationError, CheckpointError, RecipeError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods import latent as room
from napari_anomaly.core.methods.latent import Mahalanobis, Neighbours
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed

RNG = np.random.default_rng(0)
CODES = (RNG.normal(size=(30, 6)) @ RNG.normal(size=(6, 6))).astype(np.float32)
NEW = jnp.asarray(3 * RNG.normal(size=(4, 6)).astype(np.float32))


# -- distances of codes ---------------------------------------------------------------------------


def test_mahalanobis_is_that_of_scipy_with_the_covariance_of_sklearn():
    shrunk = LedoitWolf().fit(CODES.astype(np.float64))
    expected = [
        mahalanobis(one, shrunk.location_, np.linalg.inv(shrunk.covariance_)) for one in NEW
    ]

    np.testing.assert_allclose(Mahalanobis.of(CODES)(NEW), expected, rtol=1e-4)


def test_mahalanobis_of_fewer_codes_than_numbers_and_of_equal_codes():
    few = Mahalanobis.of(CODES[:3])
    assert np.isfinite(few(NEW)).all()
    equal = Mahalanobis.of(np.ones((5, 2), np.float32))
    np.testing.assert_allclose(equal(jnp.float32([[1, 1], [4, 5]])), [0, 5], atol=1e-6)


@pytest.mark.parametrize("neighbours", [1, 5, 99])
def test_neighbours_are_those_of_sklearn(neighbours):
    theirs = NearestNeighbors(n_neighbors=min(neighbours, 30)).fit(CODES)
    expected = theirs.kneighbors(NEW)[0].mean(1)

    np.testing.assert_allclose(Neighbours(jnp.asarray(CODES), neighbours)(NEW), expected, rtol=1e-5)


# -- p-values and their combination ---------------------------------------------------------------


def test_p_values_by_hand():
    """Median 3; excesses 1 and 2 above it: mean 1.5. Of five, two are above: p = 3 / 6 there."""
    normals = np.array([1.0, 2, 3, 4, 5])

    assert log_p_value(normals, 0) == pytest.approx(np.log(6 / 6))
    assert log_p_value(normals, 2) == pytest.approx(np.log(5 / 6))
    assert log_p_value(normals, 6) == pytest.approx(np.log(3 / 6) - 3 / 1.5)
    assert log_p_value(normals[:0], 6) == 0
    assert log_p_value(np.ones(3), 2) == pytest.approx(np.log(1 / 4))


def test_p_values_of_exponential_scores_are_theirs_far_in_the_tail():
    normals = np.random.default_rng(1).exponential(size=100_000)

    for score in (2.0, 8.0, 20.0):
        assert log_p_value(normals, score) == pytest.approx(-score, rel=0.02)


def test_the_combination_is_fishers_of_scipy():
    normals = RNG.normal(size=(20, 2))
    part = (0.7, 2.9)
    p_values = [np.exp(log_p_value(normals[:, k], part[k])) for k in (0, 1)]

    assert combined(part, normals) == pytest.approx(combine_pvalues(p_values).statistic)


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=12),
    st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
    st.integers(0, 9),
)
def test_a_stranger_part_never_lowers_the_score(normals, part, more):
    held_out = np.array(normals, float)

    assert combined((part[0] + more, part[1]), held_out) >= combined(part, held_out) - 1e-9
    assert combined((part[0], part[1] + more), held_out) >= combined(part, held_out) - 1e-9


def test_the_strangest_map_fails_alone_however_usual_the_latent():
    """By ranks alone it could not: p = 1 / 51 and 1 give 7.9, and two p-values of .1 give 9.2."""
    normals = np.random.default_rng(2).normal(size=(50, 2))

    assert combined((40.0, -3.0), normals) > leave_one_out(normals).max()


def test_false_alarms_keep_their_rate_though_map_and_latent_depend():
    """39 normals, rate .1: the fourth largest. A new one exceeds it with probability .1, within 3 deviations."""
    rng = np.random.default_rng(3)
    alarms = []
    for _ in range(600):
        both = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 40) ** 3  # heavy tails
        threshold = np.sort(leave_one_out(both[1:]))[-4]
        alarms.append(combined(tuple(both[0]), both[1:]) > threshold)

    assert np.mean(alarms) < 0.1 + 3 * np.sqrt(0.09 / 600)
    assert np.mean(alarms) > 0.05


# -- in a recipe ----------------------------------------------------------------------------------

SMALL = {"widths": [4, 8], "size": [32, 32], "duration": 40, "batch": 4, "learning_rate": 5e-3}


def disc(seed, x):
    """A bright disc at column x: where it lies is all that is unusual."""
    rng = np.random.default_rng(seed)
    y, across = np.mgrid[:32, :32]
    inside = (y - 16) ** 2 + (across - x) ** 2 < 36
    return np.clip(60 + 120 * inside + rng.normal(0, 3, (32, 32)), 0, 255).astype(np.uint8)


NORMALS = [disc(k, 8 + k % 3) for k in range(24)]


@pytest.fixture(scope="module", params=["autoencoder", "vae"])
def recipe(request):
    latent = {"latent": 6} if request.param == "vae" else {}
    return changed(RECIPES[request.param], SMALL | latent)


@pytest.mark.parametrize("measure", ["mahalanobis", "knn"])
def test_a_score_of_both_is_the_same_from_a_file_and_that_of_the_parts(recipe, measure, tmp_path):
    detector = fit(NORMALS, changed(recipe, {"score": "both", "latent_score": measure}))
    moved = disc(50, 22)

    result = detector.inspect(moved)

    assert result.verdict == "fail"
    again = load(detector.save(tmp_path / "a.anomaly"))
    assert again.inspect(moved).score == result.score
    looser = again.calibrate(false_alarm=0.5)
    assert looser.inspect(moved).score == result.score
    pixels = (
        detector.recipe.preprocess.apply(moved)[0] - detector.recipe.preprocess.normalise.mean[0]
    )
    pixels = pixels / detector.recipe.preprocess.normalise.std[0]
    code = detector.space(detector.fitted.encode(jnp.asarray(pixels[None])))
    part = (float(result.anomaly_map.max()), float(code[0]))
    assert result.score == pytest.approx(combined(part, detector.calibration.parts), rel=1e-3)


def test_the_code_of_a_convolutional_autoencoder_is_the_mean_over_places():
    detector = fit(NORMALS[:8], changed(RECIPES["autoencoder"], SMALL))

    assert detector.fitted.encode(jnp.zeros((3, 32, 32, 1))).shape == (3, 8)
    assert detector.space is None  # not asked for, not kept


def test_scores_of_held_out_normals_are_by_the_others():
    detector = fit(NORMALS, changed(RECIPES["autoencoder"], SMALL | {"score": "both"}))
    parts = detector.calibration.parts

    assert parts.shape == (6, 2)
    expected = [combined(tuple(parts[k]), np.delete(parts, k, axis=0)) for k in range(6)]
    np.testing.assert_array_equal(detector.calibration.scores, expected)


@pytest.mark.parametrize(
    ("name", "knobs", "words"),
    [
        (
            "linear",
            {},
            "found latent_score=mahalanobis; expected, for the method linear, score=map",
        ),
        ("autoencoder", {"latent_score": "own"}, "for the method autoencoder, mahalanobis or knn"),
    ],
)
def test_a_latent_score_that_a_method_has_not_is_told(name, knobs, words):
    with pytest.raises(RecipeError, match=words):
        changed(RECIPES[name], knobs | {"score": "latent"})


def test_rescoring_by_codes_that_were_not_kept_is_refused():
    detector = fit(NORMALS[:8], changed(RECIPES["autoencoder"], SMALL))

    with pytest.raises(RecipeError, match=r"needs the codes of the training images; .*Fit anew"):
        detector.rescore(NORMALS[8:], {"score": "both"})


def test_arrays_that_do_not_fit_are_told():
    recipe = changed(RECIPES["autoencoder"], {"score": "latent"})
    good = Mahalanobis.of(CODES).arrays()

    with pytest.raises(CheckpointError, match="found whitening with shape"):
        room.restore(recipe, {**good, "whitening": good["whitening"][:2]})
    with pytest.raises(CheckpointError, match="expected"):
        room.restore(RECIPES["autoencoder"], good)
    with pytest.raises(CalibrationError, match=r"parts of shape \(6, 1\); expected \(6, 2\)"):
        detector = fit(NORMALS, changed(RECIPES["autoencoder"], SMALL | {"score": "both"}))
        type(detector.calibration)(
            detector.calibration.scores, detector.calibration.peaks, 0.2, None, np.zeros((6, 1))
        )
