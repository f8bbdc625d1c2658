"""The whole line on small arrays: who is held out, what is promised, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_anomaly.core import calibrating, fitting
from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.data.normals import source
from napari_anomaly.core.data.split import split
from napari_anomaly.core.errors import CalibrationError, DataError, ImageError, RecipeError
from napari_anomaly.core.fitting import fit, fit_steps
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.linear import PatchPCA
from napari_anomaly.core.methods.presets import RECIPES, recipe_of
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.preprocess import Colour, Preprocessing, Resize
from napari_anomaly.core.progress import finished
from napari_anomaly.core.regions import regions
from napari_anomaly.core.scoring import Look, pooled
from napari_anomaly.core.standardise import Moments
from napari_anomaly.core.types import Sample

RECIPE = changed(
    Recipe(
        Linear(patch=4, scales=(1, 2), components=3),
        Preprocessing((Colour(), Resize(size=(32, 32)))),
    ),
    {"smooth": 1.0},
)


def weave(seed, height=40, width=48, channels=None):
    """A grey or coloured texture, uint8, a little different each time."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = 128 + 40 * np.sin(x / 2 + rng.uniform(0, 6)) + 30 * np.sin(y / 3 + rng.uniform(0, 6))
    if channels == 3:
        grey = np.stack([grey, 0.8 * grey, 0.5 * grey], axis=-1)
    return np.clip(grey + rng.normal(0, 6, grey.shape), 0, 255).astype(np.uint8)


NORMALS = [weave(seed) for seed in range(40)]


@pytest.fixture(scope="module")
def detector():
    return fit(NORMALS, RECIPE)


# -- fitting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.001, r"found 10 held-out.*0\.001 needs 999\..*accept 0\.0909"),
        (0.09, r"needs 11\."),
        (0.0, "expected a share between 0 and 1"),
        (1.5, "found the false-alarm rate 1.5"),
    ],
)
def test_a_rate_that_cannot_be_had_is_refused_before_anything_is_read(rate, words):
    steps = fit_steps(NORMALS, RECIPE, false_alarm=rate)

    with pytest.raises(CalibrationError, match=words):
        next(steps)


def test_the_rate_is_the_usual_one_or_what_the_normals_support(detector):
    assert detector.calibration.n == 10
    assert detector.calibration.false_alarm == 1 / 11
    assert detector.provenance.n_train == 30
    assert detector.provenance.n_calibration == 10


def test_what_was_asked_for_and_learned_is_kept(detector):
    colour, resize = detector.recipe.preprocess.steps
    images = [resize.apply(image[..., None] / np.float32(255))[0] for image in NORMALS]

    assert colour == Colour(to="grey")
    assert detector.recipe.preprocess.grid == (32, 32, 1)
    # of 30 of these 40 images
    assert detector.recipe.preprocess.normalise.mean[0] == pytest.approx(np.mean(images), abs=0.01)
    assert (detector.provenance.method, detector.provenance.seed) == ("linear", 0)
    assert detector.provenance.data == "arrays"


def held_out(seed=0):
    samples = [Sample(Path(str(k)), f"image {k}") for k in range(40)]
    return [int(one.path.name) for one in split(samples, calibration=0.25, seed=seed).calibration]


def test_nothing_is_learned_from_held_out_images():
    strange = list(NORMALS)
    for k in held_out():
        strange[k] = 255 - strange[k][::-1]

    usual, other = fit(NORMALS, RECIPE), fit(strange, RECIPE)

    assert usual.recipe == other.recipe
    for name, array in usual.fitted.arrays().items():
        np.testing.assert_array_equal(array, other.fitted.arrays()[name])
    assert not np.array_equal(usual.calibration.scores, other.calibration.scores)


def test_the_seed_decides_the_split(detector):
    other = fit(NORMALS, RECIPE, seed=3)

    assert held_out(0) != held_out(3)
    assert not np.array_equal(other.calibration.scores, detector.calibration.scores)


def test_images_of_a_group_stay_together():
    steps = fit_steps(NORMALS, RECIPE, group=r"(\d)$", calibration=0.2)
    stages = {one.stage: one.total for one in steps}

    assert stages["calibrating"] == 2 * 8  # read, then scored: image 7, 17, 27, 37 and another four
    with pytest.raises(DataError, match="group='lot'"):
        next(fit_steps(NORMALS, RECIPE, group="lot"))


def test_lists_and_stacks_mean_the_same(detector):
    stacked = fit(np.stack(NORMALS), RECIPE)

    np.testing.assert_array_equal(stacked.calibration.scores, detector.calibration.scores)


def test_progress_reaches_its_totals():
    last = {}
    for one in fit_steps(NORMALS, RECIPE):
        assert one.step <= one.total
        last[one.stage] = one.step / one.total

    assert last == {"reading": 1, "training": 1, "calibrating": 1}


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (NORMALS[0], DataError, r"one array of shape \(40, 48\); expected several images"),
        ([], DataError, "0 normal image"),
        (NORMALS[:1], DataError, "at least 2"),
        ([*NORMALS[:9], np.full((40, 48), np.nan)], ImageError, r"image 9: found 1920 NaN"),
        ([*NORMALS[:9], np.zeros((2, 40, 48, 3))], ImageError, r"image 9: found an array of shape"),
        ([np.float32(200) + one for one in NORMALS], ImageError, r"image \d+: .*Give data_range"),
    ],
)
def test_unusable_images_are_told_by_name(data, error, words):
    with pytest.raises(error, match=words):
        fit(data, RECIPE)


def test_unknown_methods_are_told():
    with pytest.raises(RecipeError, match=r"found the method 'lineal'; expected one of linear, "):
        fit(NORMALS, "lineal")


def test_knobs_alone_take_the_rest_from_the_recipe_of_their_method():
    steps = fit_steps(NORMALS, Linear(support="image"))

    assert next(steps).stage == "reading"
    assert recipe_of(Linear(components=3)) == replace(
        RECIPES["linear"], method=Linear(components=3)
    )


# -- calibrating ----------------------------------------------------------------------------------


def test_another_rate_needs_no_images(detector):
    other = detector.calibrate(false_alarm=0.3, review=0.5)

    in_order = np.sort(detector.calibration.scores)
    assert other.calibration.threshold == in_order[-3]  # floor(.3 * 11) = 3
    assert other.calibration.review_threshold == in_order[-5]
    assert detector.calibration.false_alarm == 1 / 11
    with pytest.raises(CalibrationError, match=r"found 10 held-out.*needs 99"):
        detector.calibrate(false_alarm=0.01)


def test_calibrating_with_the_held_out_images_changes_nothing(detector):
    again = detector.calibrate([NORMALS[k] for k in held_out()])

    np.testing.assert_array_equal(again.calibration.scores, detector.calibration.scores)
    np.testing.assert_array_equal(again.standardisation.mean, detector.standardisation.mean)


def test_calibrating_with_more_normals_supports_a_lower_rate(detector):
    more = detector.calibrate([weave(seed) for seed in range(100, 124)], false_alarm=0.04)

    assert more.calibration.n == more.provenance.n_calibration == 24
    assert more.calibration.threshold == more.calibration.scores.max()
    with pytest.raises(CalibrationError, match="no normal images"):
        detector.calibrate([])
    with pytest.raises(ImageError, match="image 1: found 1920 NaN"):
        detector.calibrate([NORMALS[0], np.full((40, 48), np.nan)])


def test_a_single_held_out_normal_is_measured_as_new_images_are():
    lone = fit(NORMALS[:8], RECIPE, calibration=0.1)

    (k,) = [k for k in range(8) if lone.inspect(NORMALS[k]).score == lone.calibration.scores[0]]
    assert lone.calibration.n == 1
    assert lone.inspect(NORMALS[k]).p_value == 1


FITTED = PatchPCA((), (), (), 4)  # its image score is the pooled map


def seen_as_it_is(recipe, fitted, image, space):
    """An image that is its own residual."""
    return Look(image, np.zeros((64, 64, 1), np.float32), None, lambda pixels: pixels)


def false_alarm_rate(kind, monkeypatch, n=9, trials=120):
    """Share of new normals that fail at a wanted rate of .1; each normal has a fold somewhere."""
    monkeypatch.setattr(calibrating, "look", seen_as_it_is)
    rng = np.random.default_rng(0)

    def normal():
        y, x = rng.integers(0, 48, 2)
        residuals = rng.gamma(2, 0.02, (1, 64, 64)).astype(np.float32)
        residuals[0, y : y + 16, x : x + 16] += 1
        return residuals

    recipe, fails = Recipe(standardise=kind), 0
    for _ in range(trials):
        samples, read = source([normal() for _ in range(n)])
        standardisation, calibration = finished(
            calibrating.calibrating(recipe, FITTED, samples, read, false_alarm=0.1)
        )
        score = standardisation.apply(normal()).max()
        fails += calibration.verdict(float(score)) == "fail"
    return fails / trials


@pytest.mark.parametrize("kind", ["place", "texture", "none"])
def test_new_normals_fail_as_rarely_as_promised(kind, monkeypatch):
    assert false_alarm_rate(kind, monkeypatch) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 120)


def test_scoring_normals_by_their_own_statistics_would_break_the_promise(monkeypatch):
    monkeypatch.setattr(Moments, "without", lambda self, residuals: self)

    assert false_alarm_rate("place", monkeypatch) > 0.3


# -- inspecting -----------------------------------------------------------------------------------


def scratched(image):
    image = image.copy()
    image[12:20, 30:38] = 255
    return image


def test_a_scratch_is_found_where_it_is(detector):
    result = detector.inspect(scratched(weave(200)))

    y, x = np.unravel_index(result.anomaly_map.argmax(), result.anomaly_map.shape)
    assert 10 <= y < 22
    assert 28 <= x < 40
    assert result.verdict == "fail"
    assert result.p_value == 1 / 11
    assert result.labels[16, 34] == 1
    assert result.regions[0].bbox[0] < 16 < result.regions[0].bbox[2]


def test_an_inspection_agrees_with_itself(detector):
    for image in (weave(201), scratched(weave(202)), weave(203) // 2):
        result = detector.inspect(image)

        assert (
            result.reconstruction.shape
            == result.anomaly_map.shape
            == result.labels.shape
            == (40, 48)
        )
        assert result.reconstruction.dtype == result.anomaly_map.dtype == np.float32
        assert result.labels.dtype == np.int32
        assert 0 <= result.reconstruction.min() <= result.reconstruction.max() <= 1
        assert result.score == result.anomaly_map.max()
        assert result.p_value == detector.calibration.p_value(result.score)
        assert (result.verdict == "fail") == (result.score > result.threshold)
        assert (result.verdict == "fail") == (result.p_value <= 1 / 11)
        assert result.threshold == detector.calibration.threshold
        labels, found = regions(
            result.anomaly_map, result.map_threshold, detector.calibration.map_p_value, min_area=4
        )
        np.testing.assert_array_equal(result.labels, labels)
        assert result.regions == found


def test_an_image_means_the_same_in_every_dtype(detector):
    image = scratched(weave(204))
    expected = detector.inspect(image)

    for same in (
        image.astype(np.uint16) * 257,
        image / 255,
        (image / 255).astype(np.float32),
        np.repeat(image[..., None], 3, axis=2),
    ):
        result = detector.inspect(same)
        np.testing.assert_allclose(result.anomaly_map, expected.anomaly_map, atol=1e-3)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((2, 40, 48, 3)), r"shape \(2, 40, 48, 3\)"),
        (np.full((40, 48), np.nan), "1920 NaN"),
        (np.zeros((1, 1)), "1 x 1 pixels"),
        (np.full((40, 48), 255.0), "data_range"),
    ],
)
def test_images_that_cannot_be_inspected_are_told(detector, image, words):
    with pytest.raises(ImageError, match=words):
        detector.inspect(image)


@pytest.mark.parametrize(
    ("preprocess", "image", "words"),
    [
        (
            Preprocessing((Colour(),)),
            weave(0, 41, 48),
            r"\(41, 48\), .* to \(41, 48, 1\); expected \(40, 48, 1\)",
        ),
        (
            Preprocessing(()),
            weave(0, channels=3),
            r"to \(40, 48, 3\); expected \(40, 48, 1\).*Colour step",
        ),
    ],
)
def test_images_of_another_shape_than_the_training_images_are_told(preprocess, image, words):
    made = fit(NORMALS[:8], replace(RECIPE, preprocess=preprocess))

    with pytest.raises(ImageError, match=words):
        made.inspect(image)


def test_outside_the_region_of_interest_nothing_is_found():
    step = {"step": "crop", "box": [4, 4, 36, 28]}
    steps = [{"step": "colour"}, step, {"step": "resize", "size": [32, 32]}]
    made = fit(NORMALS[:16], changed(RECIPE, {"preprocess.steps": steps}))

    result = made.inspect(scratched(weave(205)))  # the scratch lies right of the region

    assert not result.anomaly_map[:, 28:].any()
    assert not result.labels[:, 28:].any()
    assert result.anomaly_map[4:36, 4:28].all()


def test_pooling_by_hand():
    rising = np.arange(4000, dtype=np.float32).reshape(40, 100)

    assert pooled(rising, "max") == 3999
    assert pooled(rising, "mean") == 1999.5
    assert pooled(rising, "top") == 3997.5  # mean of 3996..3999: a thousandth of the pixels
    assert pooled(rising[:2, :5], "top") == 104  # one pixel at least


def test_thresholds_follow_the_calibration(detector):
    strict = replace(detector, calibration=Calibration(np.array([-1e9]), np.array([1e9]), 0.5))

    result = strict.inspect(weave(206))

    assert (result.verdict, result.p_value, result.regions) == ("fail", 0.5, ())


def test_the_time_of_a_fit_includes_calibration(monkeypatch):
    standardised = []
    standardise = calibrating.Standardisation.of

    def counted(*arguments):
        standardised.append(arguments)
        return standardise(*arguments)

    monkeypatch.setattr(fitting.time, "monotonic", lambda: 100 * len(standardised))
    monkeypatch.setattr(calibrating.Standardisation, "of", counted)
    made = fit(NORMALS, RECIPE)

    assert made.provenance.fit_seconds == 100 * (made.calibration.n + 1)
