"""A large image scored by tiles is scored as a whole; in memory that does not grow with it."""

import dataclasses
import subprocess
import sys
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import napari_anomaly as na
from napari_anomaly.cli import main
from napari_anomaly.core import tiling
from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.detector import Detector, Provenance
from napari_anomaly.core.errors import DataError, DataWarning, ImageError, RecipeError
from napari_anomaly.core.methods.fitted import Pair
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.linear import PatchPCA
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.recipes import Recipe, Residual
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.preprocess import Colour, Crop, Preprocessing, Resize
from napari_anomaly.core.regions import regions
from napari_anomaly.core.standardise import Standardisation
from napari_anomaly.core.tiling import scan_steps

FIELD = 64
TINY = {"widths": [4, 8], "duration": 40, "unit": "steps", "batch": 4, "learning_rate": 5e-3}


def weave(seed, height=FIELD, width=FIELD):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = 128 + 60 * np.sin(x / 2) + 40 * np.sin(y / 3) + rng.normal(0, 4, (height, width))
    return np.clip(grey, 0, 255).astype(np.uint8)


def large(height, width):
    """A weave with a black spot over the corner of four fields, and a white one at the border."""
    image = weave(99, height, width)
    image[60:70, 58:72] = 0
    image[-5:, 20:30] = 255
    return image


@cache
def fitted(name, grid=FIELD, **knobs):
    recipe = changed(RECIPES[name], {"size": [grid, grid], "standardise": "texture"})
    if recipe.method.name == "linear" and recipe.method.support == "patch":
        recipe = changed(recipe, {"patch": 4, "components": 4})
    if recipe.method.name != "linear":
        latent = {} if recipe.method.latent is None else {"latent": 8}
        recipe = changed(recipe, TINY | latent)
    knobs = {name.replace("__", "."): value for name, value in knobs.items()}
    knobs = {k: list(v) if isinstance(v, tuple) else v for k, v in knobs.items()}
    return na.fit([weave(k) for k in range(12)], changed(recipe, knobs), false_alarm=0.25)


def whole(detector, image, step):
    """Map of the whole image at once, at the detector's scale, after its edge was repeated to whole steps."""
    (field, _), (grid, _, channels) = (
        detector.recipe.preprocess.field,
        detector.recipe.preprocess.grid,
    )
    ends = [-(-side // step) * step for side in image.shape]
    beyond = [(0, end - side) for end, side in zip(ends, image.shape, strict=True)]
    height, width = (end * grid // field for end in ends)
    steps = (Colour(to="grey" if channels == 1 else "rgb"), Resize(size=(height, width)))
    preprocess = replace(
        detector.recipe.preprocess, steps=steps, grid=(height, width, channels), field=None
    )
    same = replace(
        detector,
        recipe=replace(detector.recipe, preprocess=preprocess),
        standardisation=detector.standardisation.pooled(),
    )
    padded = np.pad(image, beyond, mode="edge")
    return same.inspect(padded).anomaly_map[: image.shape[0], : image.shape[1]]


FINE = {"scales": (1,), "smooth": 0, "standardise": "none"}
SEAMLESS = {  # and the steps, in pixels of the image, that the method and its scale come in
    "linear": (partial(fitted, "linear", standardise="none"), 4),
    "linear, halved": (partial(fitted, "linear", 32, standardise="none"), 8),
    "linear, enlarged": (partial(fitted, "linear", 96, standardise="none", enlarge=True), 8),
    "linear, SSIM": (partial(fitted, "linear", residual__kind="ssim", standardise="none"), 4),
    "linear, MS-SSIM": (partial(fitted, "linear", residual__kind="ms-ssim", **FINE), 16),
    "linear, MS-GMS": (partial(fitted, "linear", residual__kind="ms-gms", **FINE), 8),
    "linear, NCC": (partial(fitted, "linear", residual__kind="ncc", **FINE), 1),
    "linear, histogram": (partial(fitted, "linear", residual__kind="histogram", **FINE), 1),
    "linear, three": (partial(fitted, "linear", scales=(1, 3), smooth=0, standardise="none"), 3),
    "autoencoder": (partial(fitted, "autoencoder", standardise="none"), 4),
    "autoencoder, halved": (partial(fitted, "autoencoder", 32, standardise="none"), 8),
    "autoencoder, pooling": (partial(fitted, "autoencoder", down="pool", standardise="none"), 4),
}


WIDE = {"linear, MS-SSIM": (70, 391)}  # it looks further than a smaller image reaches
ODD = [(name, WIDE.get(name, (151, 203)), 64) for name in SEAMLESS]
EVEN = [(name, (128, 192), 64) for name in ("linear, halved", "autoencoder, halved")]
LARGER = [(name, (200, 333), 128) for name in ("linear", "autoencoder")]


@pytest.mark.parametrize(("name", "shape", "tile"), [*ODD, *EVEN, *LARGER])
def test_there_are_no_seams(name, shape, tile):
    """Residuals lie in [0, 1]; the summation order of other window sizes leaves float32 rounding.

    SSIM divides by variances down to c2 = 9e-4, at five scales, and enlarges it.
    """
    (make, step), image = SEAMLESS[name], large(*shape)
    detector = make()

    found = na.scan(detector, image, tile=tile).anomaly_map

    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, whole(detector, image, step), rtol=0, atol=1e-5 if name in WIDE else 1e-6
    )


def test_statistics_of_places_are_pooled():
    detector, image = fitted("linear", standardise="place"), large(128, 150)
    assert detector.standardisation.mean.shape[1:] == (FIELD, FIELD)

    found = na.scan(detector, image, tile=64)

    np.testing.assert_allclose(found.anomaly_map, whole(detector, image, 4), rtol=0, atol=1e-5)


def test_thresholds_of_pooled_statistics_are_those_of_normals_seen_that_way():
    detector = fitted("linear", standardise="place")
    calibration = detector.calibration
    scores, peaks = calibration.anywhere.T

    found = na.scan(detector, large(128, 150), tile=64)

    assert found.threshold == np.sort(scores)[-1] != calibration.threshold
    assert found.map_threshold == np.sort(peaks)[-1]
    assert found.p_values.min() >= 1 / (len(scores) + 1)


def test_without_such_thresholds_it_warns():
    detector = fitted("linear", standardise="place")
    earlier = replace(detector, calibration=replace(detector.calibration, anywhere=None))

    with pytest.warns(DataWarning, match="left no thresholds for that. Fit or calibrate anew"):
        found = na.scan(earlier, large(128, 150), tile=64)

    assert found.threshold == detector.calibration.threshold


def handmade(fitted_method, recipe, field=(16, 16), threshold=0.5):
    """A detector of given parts, whose map is the residual."""
    preprocess = Preprocessing(
        (Colour(to="grey"),), recipe.preprocess.normalise, grid=(*field, 1), field=field
    )
    none = Standardisation(np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.float32))
    calibration = Calibration(np.full(3, threshold), np.full(3, threshold), 0.25)
    provenance = Provenance("handmade", 0, "", "", 0, 3, 0.0, "")
    return Detector(
        replace(recipe, preprocess=preprocess), fitted_method, none, calibration, provenance
    )


@pytest.mark.parametrize(("scale", "less"), [(1, 1), (2, 2), (3, 3), (4, 8)])
def test_the_margin_is_what_is_needed_and_no_more(scale, less, monkeypatch):
    """A filter of ones sees to the ends of its reach: with the margin no seam, with less there is one.

    Of coarser scales whole steps, as windows come in them.
    """
    patches = PatchPCA((jnp.full((7, 7, 1, 1), 0.02),) * 2, (jnp.zeros(1),) * 2, (1, scale), 4)
    detector = handmade(
        patches, Recipe(Linear(scales=(1, scale), patch=4), residual=Residual(smooth=0))
    )
    image = np.random.default_rng(0).random((96, 108), dtype=np.float32)
    monkeypatch.setattr(tiling, "_TILES", (16, 16))
    expected = whole(detector, image, scale)

    def error(less):
        usual = tiling.margin
        with monkeypatch.context() as patch:
            patch.setattr(tiling, "margin", lambda *given: usual(*given) - less)
            patch.setattr(tiling, "moves", lambda *given: scale)
            return np.abs(na.scan(detector, image, tile=16).anomaly_map - expected).max()

    assert error(0) < 1e-6
    assert error(less) > 1e-3


def equalised():
    steps = [{"step": "equalise"}, {"step": "resize", "size": [32, 32]}]
    recipe = changed(RECIPES["linear"], {"preprocess.steps": steps})
    return na.fit([weave(k) for k in range(12)], recipe)


WINDOWED = {
    "vae": partial(fitted, "vae", score="latent", latent_score="own"),
    "whole-image components": partial(fitted, "linear-image"),
    "equalised": equalised,
}


@pytest.mark.parametrize("name", ["linear", *WINDOWED])
def test_an_image_of_one_field_is_inspected(name):
    detector = fitted("linear") if name == "linear" else WINDOWED[name]()
    image = large(FIELD, FIELD)

    found, alone = na.scan(detector, image), detector.inspect(image)

    np.testing.assert_allclose(found.anomaly_map, alone.anomaly_map, rtol=1e-5, atol=1e-5)
    assert found.scores == pytest.approx(alone.score, rel=1e-5)
    assert (found.verdict, found.p_values.item()) == (alone.verdict, alone.p_value)
    assert [one.bbox for one in found.regions] == [one.bbox for one in alone.regions]


@pytest.mark.parametrize("name", ["vae", "whole-image components"])
def test_a_window_in_the_middle_of_a_field_counts_most(name):
    """Where windows meet, the map is the mean of theirs by the weights; and by hand at one pixel of 1.5 fields."""
    detector, image = WINDOWED[name](), large(FIELD, FIELD + FIELD // 2)

    found = na.scan(detector, image).anomaly_map

    left = detector.inspect(image[:, :FIELD]).anomaly_map
    right = detector.inspect(image[:, FIELD // 2 :]).anomaly_map
    np.testing.assert_allclose(found[:, :32], left[:, :32], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[:, 64:], right[:, 32:], rtol=1e-5, atol=1e-5)
    share = np.cos(np.pi * (40 + 0.5 - 32) / 64) ** 2  # of the left window at column 40
    expected = share * left[:, 40] + (1 - share) * right[:, 8]
    np.testing.assert_allclose(found[:, 40], expected, rtol=1e-4, atol=1e-5)


def test_the_latent_score_of_a_field_is_that_of_its_window():
    detector, image = WINDOWED["vae"](), large(2 * FIELD, 2 * FIELD + 20)

    scores = na.scan(detector, image, tile=64).scores

    assert scores.shape == (2, 3)
    assert scores[1, 1] == pytest.approx(detector.inspect(image[64:, 64:128]).score, rel=1e-4)
    assert scores[0, 2] == pytest.approx(detector.inspect(image[:64, -64:]).score, rel=1e-4)


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class OffByAQuarter:
    """Reconstructs every image a quarter too bright, and looks at all of it."""

    def pairs(self, images):
        return (Pair(images, images + 0.25),)

    def latent_score(self, images):
        return None

    def reach(self):
        return None

    def arrays(self):
        return {}


@pytest.mark.parametrize("shape", [(16, 16), (40, 57), (131, 90)])
def test_a_constant_map_stays_constant_when_windows_are_blended(shape):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)

    found = na.scan(handmade(OffByAQuarter(), Recipe(residual=Residual(smooth=0))), image, tile=64)

    np.testing.assert_allclose(found.anomaly_map, 0.25, rtol=0, atol=1e-6)
    assert found.verdict == "pass"


def test_fields_are_judged_each_and_regions_are_those_of_the_map():
    detector, image = fitted("linear"), large(150, 200)

    found = na.scan(detector, image, tile=64)

    assert found.field == (64, 64)
    assert found.scores.shape == found.verdicts.shape == (3, 4)
    for (row, column), score in np.ndenumerate(found.scores):
        cell = found.anomaly_map[64 * row :, 64 * column :][:64, :64]
        assert score == cell.max()
        assert found.p_values[row, column] == detector.calibration.p_value(score)
        assert found.verdicts[row, column] == detector.calibration.verdict(score)
    assert found.score == found.scores[found.worst] == found.anomaly_map.max()
    assert found.verdict == "fail"
    assert set(zip(*np.nonzero(found.verdicts == "fail"), strict=True)) >= {(0, 0), (0, 1), (1, 0)}
    _, expected = regions(
        found.anomaly_map,
        found.map_threshold,
        detector.calibration.map_p_value,
        min_area=detector.recipe.min_area,
    )
    assert len(expected) >= 2
    for one, other in zip(found.regions, expected, strict=True):
        assert (one.label, one.area, one.bbox) == (other.label, other.area, other.bbox)
        assert (one.max_score, one.p_value) == (other.max_score, other.p_value)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_intensities_are_those_of_inspect(dtype):
    detector, image = fitted("linear"), large(64, 64)
    scale = {np.uint16: 257, np.float32: 1 / 255}[dtype]

    found = na.scan(detector, (image.astype(float) * scale).astype(dtype)).anomaly_map

    np.testing.assert_allclose(found, detector.inspect(image).anomaly_map, rtol=1e-4, atol=1e-4)


def test_the_map_is_written_as_a_whole_or_not_at_all(tmp_path):
    detector, image, out = fitted("linear"), large(150, 200), tmp_path / "maps" / "map.npy"
    inside = na.scan(detector, image, tile=64).anomaly_map

    steps = scan_steps(detector, image, out=out, tile=64)
    assert next(steps) == na.Progress("scanning", 1, 12)
    steps.close()
    assert list(out.parent.iterdir()) == []

    found = na.scan(detector, image, out=out, tile=64).anomaly_map
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, inside)
    assert [one.name for one in out.parent.iterdir()] == ["map.npy"]

    given = np.zeros((150, 200), np.float32)
    assert na.scan(detector, image, out=given, tile=64).anomaly_map is given
    np.testing.assert_array_equal(given, inside)


def test_tables_by_the_command_line(tmp_path, capsys):
    fitted("linear").save(tmp_path / "one.anomaly")
    np.save(tmp_path / "web.npy", large(150, 200))

    files = [str(tmp_path / name) for name in ("one.anomaly", "web.npy", "out")]
    code = main(["scan", *files[:2], "--out", files[2]])

    assert code == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].startswith("fail   score ")
    assert "of 12 fields of 64 x 64 pixels fail" in printed.err
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "fields.csv",
        "map.npy",
        "regions.csv",
    ]
    rows = (tmp_path / "out" / "fields.csv").read_text().splitlines()
    assert rows[0] == "row,column,y0,x0,score,p_value,verdict"
    assert len(rows) == 1 + 12
    assert rows[1 + 4].startswith("1,0,64,0,")


NAN = np.full((128, 128), 0.5, np.float32)
NAN[100, 100] = np.nan

BAD = {
    "too small": (
        np.zeros((32, 500), np.uint8),
        {},
        ImageError,
        r"found 32 x 500 pixels; expected at least the 64 x 64 of the training images. Inspect it",
    ),
    "colour": (
        np.random.default_rng(0).integers(0, 9, (64, 64, 2), np.uint8),
        {},
        ImageError,
        r"found the shape \(64, 64, 2\); expected \(y, x\), \(y, x, 3\) or \(y, x, 4\)",
    ),
    "a pixel that is no number": (
        NAN,
        {"tile": 64},
        ImageError,
        r"the image, rows \d+ to 128, columns \d+ to 128: found 1 NaN or infinite pixels",
    ),
    "another range": (
        np.full((64, 64), 7.0),
        {},
        ImageError,
        r"rows 0 to 64, columns 0 to 64: found floating-point intensities from 7 to 7",
    ),
    "tile": (large(64, 64), {"tile": 63}, DataError, "found tiles of 63 pixels; expected 64 to"),
    "name": (large(64, 64), {"out": "map.tif"}, DataError, "expected a name ending in .npy"),
    "another shape": (
        large(64, 64),
        {"out": np.zeros((64, 65), np.float32)},
        DataError,
        r"found out of shape \(64, 65\); expected \(64, 64\)",
    ),
}


@pytest.mark.parametrize(("image", "options", "error", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_scanned_is_told(image, options, error, words):
    with pytest.raises(error, match=words):
        na.scan(fitted("linear"), image, **options)


def test_a_map_too_large_to_keep_needs_a_place(monkeypatch):
    monkeypatch.setattr(tiling, "LARGEST_KEPT", 4000)
    with pytest.raises(DataError, match="expected at most 4000 where the map stays in memory"):
        na.scan(fitted("linear"), large(64, 64))


def test_a_detector_without_a_scale_is_told():
    sizes = [weave(k, 64, 64 + k % 2) for k in range(12)]
    with pytest.raises(RecipeError, match="its training images differed in size"):
        na.scan(na.fit(sizes), large(128, 128))
    old = fitted("linear")
    preprocess = replace(old.recipe.preprocess, field=None)
    with pytest.raises(RecipeError, match="Fit anew, to images of one size"):
        na.scan(replace(old, recipe=replace(old.recipe, preprocess=preprocess)), large(128, 128))


def test_a_region_of_interest_means_nothing_in_a_larger_image():
    recipe = Recipe(preprocess=Preprocessing((Crop(box=(0, 0, 32, 32)), Resize(size=(32, 32)))))
    detector = na.fit([weave(k) for k in range(12)], recipe)
    with pytest.raises(RecipeError, match="Crop the images beforehand, and fit without that step"):
        na.scan(detector, large(128, 128))


def test_windows_that_are_too_large_are_told(monkeypatch):
    monkeypatch.setattr(tiling, "_LARGEST_WINDOW", 100)
    with pytest.raises(RecipeError, match=r"found windows of 128 x 128 .* Take smaller tiles"):
        na.scan(fitted("linear"), large(128, 128))


MEMORY = """
import resource, sys
import numpy as np
import napari_anomaly as na

detector, tile = na.load(sys.argv[1]), 256

def peak():
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)

na.scan(detector, np.zeros((600, 600), np.uint8), out=sys.argv[3], tile=tile)
before = peak()
na.scan(detector, sys.argv[2], out=sys.argv[3], tile=tile)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="tells the peak memory in another way")
def test_memory_does_not_grow_with_the_image(tmp_path):
    """Of 6,000 x 6,000 pixels the map takes 144 MB and may not be held; nor the image, see the test of mapped files."""
    detector = fitted("linear", 32, scales=(1,), smooth=0)
    detector.save(tmp_path / "one.anomaly")
    np.save(tmp_path / "web.npy", np.tile(weave(0), (94, 94))[:6000, :6000])

    paths = (str(tmp_path / name) for name in ("one.anomaly", "web.npy", "map.npy"))
    run = subprocess.run([sys.executable, "-c", MEMORY, *paths], capture_output=True, check=True)

    assert float(run.stdout) < 30
