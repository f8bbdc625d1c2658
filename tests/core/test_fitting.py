"""Training images are read in one pass, held while they fit, read again where not: the detector is the same."""

import gc
import tracemalloc
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_anomaly.core import calibrating, fitting
from napari_anomaly.core.data import files, reading
from napari_anomaly.core.data.files import write_png
from napari_anomaly.core.data.normals import source
from napari_anomaly.core.data.split import split
from napari_anomaly.core.errors import DataWarning, RecipeError
from napari_anomaly.core.fitting import fit, fit_steps
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.fanogan import FAnoGAN
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.normalise import Intensities, Normalise
from napari_anomaly.core.preprocess import Colour, Preprocessing, Resize
from napari_anomaly.core.progress import finished

RECIPE = Recipe(
    Linear(patch=4, scales=(1, 2), components=3),
    Preprocessing((Colour(), Resize(size=(32, 32)))),
)
ONE = 32 * 32 * 3 * 4  # bytes of one preprocessed image


def picture(seed, side=40):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    grey = 128 + 40 * np.sin(x / 2 + rng.uniform(0, 6)) + 30 * np.sin(y / 3 + rng.uniform(0, 6))
    return np.clip(grey[..., None] * [1, 0.8, 0.5] + rng.normal(0, 6, (side, side, 3)), 0, 255)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("normals")
    for k in range(24):
        write_png(path / f"{k}.png", picture(k).astype(np.uint8))
    return path


def same(one, other):
    assert one.recipe == other.recipe
    for name, array in one.fitted.arrays().items():
        np.testing.assert_array_equal(array, other.fitted.arrays()[name])
    np.testing.assert_array_equal(one.calibration.scores, other.calibration.scores)
    np.testing.assert_array_equal(one.standardisation.std, other.standardisation.std)


@pytest.mark.parametrize(
    "method",
    [
        RECIPE.method,
        Linear(support="image", components=4),
        Autoencoder(widths=(2, 4), training=Training(duration=2, batch=4)),
    ],
)
@pytest.mark.parametrize("held", [0, 7])
def test_images_read_again_give_the_same_detector(folder, method, held, monkeypatch):
    recipe = replace(RECIPE, method=method)
    whole = fit(folder, recipe)
    monkeypatch.setattr(fitting, "cache_bound", lambda: held * ONE + 1)

    same(fit(folder, recipe), whole)


def test_each_training_that_the_budget_ends_is_told(folder, monkeypatch):
    monkeypatch.setattr("napari_anomaly.core.nn.steps._MOST_STEPS", 1)
    knobs = Training(duration=7, batch=4)
    small = FAnoGAN(widths=(2, 4), latent=3, training=knobs, encoding=knobs)
    steps = Preprocessing((Colour(), Resize(size=(16, 16))), Normalise(kind="fixed"))
    recipe = Recipe(small, steps)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(folder, recipe, budget=1e-9, name="mine")

    assert [str(one.message) for one in caught if "budget" in str(one.message)] == [
        f"{folder.name}, mine: the budget ended training the {network} at step 1 of 7"
        for network in ("generator", "encoder")
    ]


class Decodes(Counter):
    """Counts how often each file is decoded."""

    def __init__(self, monkeypatch):
        super().__init__()
        for room in (files, reading):
            monkeypatch.setattr(room, "iter_pages", self.counted(room.iter_pages))

    def counted(self, iter_pages):
        def decode(path, *first):
            self[path.name] += 1
            return iter_pages(path, *first)

        return decode


def test_what_fits_is_decoded_once_and_the_rest_once_for_every_pass(folder, monkeypatch):
    monkeypatch.setattr(fitting, "_LOOKS", 1)  # the first alone is looked at before
    samples, _ = source(folder)
    train = [one.name for one in split(samples, calibration=0.25, seed=0).train]
    decodes = Decodes(monkeypatch)

    fit(folder, RECIPE)
    assert decodes == Counter([train[0]] + [sample.name for sample in samples])

    decodes.clear()
    monkeypatch.setattr(fitting, "cache_bound", lambda: 7 * ONE)
    fit(folder, RECIPE)
    assert decodes == Counter([train[0]] + [sample.name for sample in samples] + train[7:])


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "cache_bound", lambda: 0)
    monkeypatch.setattr(calibrating, "KEPT", 0)
    monkeypatch.setattr(fitting, "_LOOKS", 1)  # else 12 of few and 20 of many
    recipe = replace(RECIPE, preprocess=Preprocessing((Colour(), Resize(size=(96, 96)))))
    peaks = {}
    for n in (16, 16, 80):  # the first compiles
        path = tmp_path / str(n)
        for k in range(n):
            write_png(path / f"{k}.png", picture(k, 96).astype(np.uint8))
        gc.collect()
        tracemalloc.start()
        fit(path, recipe)
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    one = 96 * 96 * 3 * 4
    assert peaks[16] > one  # the count is of what it should be
    # of 48 more to train on and 32 more to calibrate with: only what threads happen to hold
    assert peaks[80] - peaks[16] < 12 * one


def test_an_unreadable_image_is_named_once_and_left_out(tmp_path, folder):
    for k in range(8):
        write_png(tmp_path / f"{k}.png", picture(k).astype(np.uint8))
    (tmp_path / "5.png").write_bytes(b"no image")
    (tmp_path / "3.png").write_bytes((folder / "3.png").read_bytes()[:400])

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = fit(tmp_path, RECIPE, calibration=0.3)

    assert made.provenance.n_train + made.provenance.n_calibration == 6
    messages = sorted(str(one.message) for one in told if one.category is DataWarning)
    assert len(messages) == 2
    assert f"{tmp_path / '3.png'}: damaged" in messages[0]
    assert f"{tmp_path / '5.png'}: not an image" in messages[1]


def test_colour_is_settled_by_what_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "_LOOKS", 1)
    for k in range(8):
        write_png(tmp_path / f"{k}.png", picture(k).astype(np.uint8))
    samples, _ = source(tmp_path)
    first = split(samples, calibration=0.25, seed=0).train[0]
    first.path.write_bytes(b"no image")  # the only one that was to be looked at

    with pytest.warns(DataWarning, match="skipped"):
        made = fit(tmp_path, RECIPE)

    assert made.recipe.preprocess.grid == (32, 32, 3)


def test_pages_of_stacks_are_read_again_as_they_were(tmp_path, monkeypatch):
    for name in "abcd":
        pages = np.stack([picture(ord(name) + 10 * k).astype(np.uint8) for k in range(6)])
        tifffile.imwrite(tmp_path / f"{name}.tif", pages, photometric="rgb")
    whole = fit(tmp_path, RECIPE)
    monkeypatch.setattr(fitting, "cache_bound", lambda: 0)

    same(fit(tmp_path, RECIPE), whole)
    assert whole.provenance.n_train == 18


def test_images_of_several_shapes_are_told_when_the_second_comes(folder, tmp_path):
    for k in range(8):
        write_png(tmp_path / f"{k}.png", picture(k, 40 + k).astype(np.uint8))
    steps = fit_steps(tmp_path, replace(RECIPE, preprocess=Preprocessing((Colour(),))))

    next(steps)
    with pytest.raises(RecipeError, match="2 shapes after preprocessing"):
        next(steps)


# -- what is learned while reading ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["standard", "range"])
def test_normalisation_learned_image_by_image_is_that_of_all_pixels(kind):
    rng = np.random.default_rng(0)
    offsets = rng.uniform(0, 0.5, (20, 1, 1, 3))
    images = (offsets + rng.uniform(0, 0.5, (20, 24, 16, 3))).astype(np.float32)

    learned = Normalise(kind=kind).learned([Intensities.of(image) for image in images])

    wide = images.astype(np.float64)
    low, high = wide.min((0, 1, 2)), wide.max((0, 1, 2))
    mean = wide.mean((0, 1, 2)) if kind == "standard" else low
    std = wide.std((0, 1, 2)) if kind == "standard" else high - low
    np.testing.assert_allclose(learned.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(learned.std, std, rtol=1e-12)


def test_a_small_variance_on_a_large_mean_is_not_lost():
    """Sums of squares would lose it: 0.9 squared has no room for 1e-8 in float32."""
    image = (0.9 + 1e-4 * np.random.default_rng(0).choice([-1, 1], (64, 64, 1))).astype(np.float32)

    learned = Normalise().fit([image, image])

    assert learned.std[0] == pytest.approx(np.std(image, dtype=np.float64), rel=1e-9)


# -- the state of an interrupted training ---------------------------------------------------------


FIXED = replace(RECIPE, preprocess=replace(RECIPE.preprocess, normalise=Normalise(kind="fixed")))


def fingerprint(data, recipe=FIXED, seed=0):  # nothing is learned that would tell images apart
    samples, read = source(data)
    train = split(samples, calibration=0.25, seed=0).train
    recipe, _, _, digest = finished(fitting._read_training(recipe, train, read))
    return fitting._keeper(fitting.Path("x"), recipe, seed, digest).fingerprint


def test_a_state_belongs_to_recipe_seed_and_images(folder, monkeypatch):
    arrays = [files.read_image(folder / f"{k}.png") for k in range(24)]
    used = int(split(source(arrays)[0], calibration=0.25, seed=0).train[0].path.name)
    changed = [one.copy() for one in arrays]
    changed[used][0, 0] ^= 255
    base = fingerprint(folder), fingerprint(arrays)

    assert fingerprint(arrays) == base[1]
    assert fingerprint(changed) != base[1]
    assert fingerprint(arrays[::-1]) != base[1]
    assert fingerprint(folder, seed=1) != base[0]
    assert fingerprint(folder, replace(FIXED, method=Linear())) != base[0]
    monkeypatch.setattr(fitting, "cache_bound", lambda: 0)
    assert fingerprint(folder) == base[0]
