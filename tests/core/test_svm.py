"""One-class support vector machine: features against scikit-image and NumPy, scores against scikit-learn."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from skimage.feature import hog
from sklearn import svm as theirs

from napari_anomaly.core import report
from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.data.folders import open_folder
from napari_anomaly.core.errors import CheckpointError, RecipeError, TrainingError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods import svm as room
from napari_anomaly.core.methods.features import intensities, oriented_gradients
from napari_anomaly.core.methods.knobs.svm import OneClassSVM
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.progress import finished
from napari_anomaly.core.results import inspect_into
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.words import about_detector

RNG = np.random.default_rng(0)


# -- features -------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shape", "cell"), [((32, 48), 8), ((35, 41), 7)])
def test_oriented_gradients_are_those_of_scikit_image(channels, shape, cell):
    images = RNG.normal(size=(2, *shape, channels)).astype(np.float32)

    found = oriented_gradients(jnp.asarray(images), cell)

    for one, image in zip(found, images, strict=True):
        expected = hog(
            image,
            pixels_per_cell=(cell, cell),
            cells_per_block=(2, 2),
            block_norm="L2-Hys",
            channel_axis=-1,
        )
        # theirs orders a block by cell, then orientation, as ours
        np.testing.assert_allclose(one, expected, atol=2e-4)


def test_oriented_gradients_ignore_brightness_and_contrast():
    images = jnp.asarray(RNG.normal(size=(1, 32, 32, 1)), jnp.float32)

    np.testing.assert_allclose(
        oriented_gradients(3 * images + 5, 8), oriented_gradients(images, 8), atol=1e-3
    )


def test_intensities_are_the_histograms_of_numpy():
    images = RNG.uniform(-0.2, 1.2, size=(2, 9, 7, 3)).astype(np.float32)
    low, high = np.float32([0, 0, 0.1]), np.float32([1, 0.9, 1])

    found = np.asarray(intensities(jnp.asarray(images), jnp.asarray(low), jnp.asarray(high), 8))

    for one, image in zip(found, images, strict=True):
        for k, counted in enumerate(one.reshape(3, 8)):
            values = np.clip(image[..., k], low[k], high[k])
            expected, _ = np.histogram(values, 8, (low[k], high[k]))
            np.testing.assert_allclose(counted, expected / 63, atol=1 / 62)


# -- scores ---------------------------------------------------------------------------------------

IMAGES = RNG.normal(size=(40, 32, 32, 1)).astype(np.float32)


@pytest.mark.parametrize("features", ["latent", "hog", "histogram"])
def test_scores_are_the_decision_function_of_sklearn(features):
    knobs = OneClassSVM(features=features, components=5, cell=8, bins=6)
    fitted = finished(room.fit_steps(knobs, Stack.of(IMAGES), seed=0, budget=None))
    new = jnp.asarray(
        np.concatenate([IMAGES[:3], 2 * RNG.normal(size=(4, 32, 32, 1))]), jnp.float32
    )
    raw = [
        np.float64(room._features(knobs, fitted.extractor, one))
        for one in (jnp.asarray(IMAGES), new)
    ]
    spread = raw[0].std(0)
    spread[spread < 1e-6 * spread.max()] = 1
    trained, tested = ((one - raw[0].mean(0)) / spread for one in raw)
    machine = theirs.OneClassSVM(nu=0.1, gamma=1 / trained.shape[1]).fit(trained)

    found = fitted.latent_score(new)

    np.testing.assert_allclose(found, -machine.decision_function(tested), rtol=1e-3, atol=1e-4)
    again = room.restore(knobs, fitted.arrays())
    np.testing.assert_array_equal(again.latent_score(new), found)
    assert (np.asarray(fitted.latent_score(jnp.asarray(IMAGES))) > 2e-3).mean() <= 0.1  # nu


def test_images_too_small_for_a_block_are_told():
    steps = room.fit_steps(
        OneClassSVM(features="hog", cell=20), Stack.of(IMAGES), seed=0, budget=None
    )

    with pytest.raises(TrainingError, match="32 x 32 pixels; expected at least 40, two cells"):
        finished(steps)


def test_arrays_that_do_not_fit_are_refused():
    knobs = OneClassSVM(features="histogram", bins=4)
    fitted = finished(room.fit_steps(knobs, Stack.of(IMAGES), seed=0, budget=None))
    arrays = dict(fitted.arrays())

    with pytest.raises(CheckpointError, match="found vectors with shape"):
        room.restore(knobs, arrays | {"vectors": arrays["vectors"][:, :-1]})
    with pytest.raises(CheckpointError, match="above 0"):
        room.restore(knobs, arrays | {"scale": -arrays["scale"]})


# -- as a detector --------------------------------------------------------------------------------


def plate(seed, hole=False):
    rng = np.random.default_rng(seed)
    image = np.clip(150 + rng.normal(0, 5, (32, 32)), 0, 255).astype(np.uint8)
    if hole:
        image[8:24, 8:24] = 20
    return image


@pytest.fixture(scope="module", params=["latent", "hog", "histogram"])
def detector(request):
    knobs = {"features": request.param, "size": [32, 32], "cell": 8, "components": 4}
    return fit([plate(k) for k in range(40)], changed(RECIPES["one-class-svm"], knobs))


def test_it_says_whether_and_not_where(detector):
    found = detector.inspect(plate(99, hole=True))
    normal = [detector.inspect(plate(k)).verdict for k in range(90, 98)]

    assert found.verdict == "fail"
    assert normal.count("pass") >= 5  # each fails with probability 1 / 11
    assert not found.localises
    assert not found.anomaly_map.any() and not found.labels.any() and found.regions == ()
    np.testing.assert_allclose(found.reconstruction, plate(99, hole=True) / 255, atol=1e-6)
    assert list(about_detector(detector))[-1].startswith("It says whether an image is unusual, not")


def test_pixel_metrics_are_none_and_no_pictures_are_written(detector, tmp_path):
    for k in range(3):
        write_png(tmp_path / f"set/test/good/{k}.png", plate(60 + k))
        write_png(tmp_path / f"set/test/hole/{k}.png", plate(70 + k, hole=True))
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 8:24] = 1
        write_mask(tmp_path / f"set/ground_truth/hole/{k}_mask.png", mask)
    for k in range(2):
        write_png(tmp_path / f"set/train/good/{k}.png", plate(k))

    metrics = report.evaluate(detector, open_folder(tmp_path / "set")).metrics

    assert metrics["image_auroc"] == 1
    pixels = [name for name in metrics if name.startswith(("pixel_", "aupro_"))]
    assert len(pixels) >= 6
    assert {metrics[name] for name in pixels} == {None}
    assert metrics["per_defect"]["hole"]["pixel_auroc"] is None
    finished(inspect_into(tmp_path / "out", detector, [tmp_path / "set/test/hole"]))
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"scores.csv", "regions.csv"}


@pytest.mark.parametrize("score", ["map", "both"])
def test_a_score_by_the_map_that_is_not_there_is_refused(score):
    with pytest.raises(
        RecipeError, match=f"found score={score}; expected latent: the method one-cl"
    ):
        changed(RECIPES["one-class-svm"], {"score": score})


def test_a_method_that_localises_says_so():
    small = {"size": [32, 32], "scales": [1], "patch": 4}
    linear = fit([plate(k) for k in range(8)], changed(RECIPES["linear"], small))

    assert linear.inspect(plate(9)).localises
    assert replace(linear.recipe).localises
