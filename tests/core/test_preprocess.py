"""Steps that change images, and the way back onto the image's own pixels."""

import json
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import skimage.color
import skimage.exposure
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_anomaly.core.errors import ImageError, RecipeError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import from_plain, to_plain
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.preprocess import (
    ChannelOrder,
    Colour,
    Crop,
    Equalise,
    FalseColour,
    Preprocessing,
    Resize,
    to_unit,
)


def coordinates(height, width):
    """Each pixel's own centre as a share of the image, ``(y, x, 2)``: a linear ramp along each axis."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([y / height, x / width], axis=-1).astype(np.float32)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


# -- intensities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (bool, (False, True), (0, 1)),
        (np.uint8, (0, 51, 255), (0, 0.2, 1)),
        (np.uint16, (0, 13107, 65535), (0, 0.2, 1)),
        (np.int16, (-32768, 32767), (0, 1)),
        (np.uint32, (0, 2**32 - 1), (0, 1)),
        (np.int64, (-(2**63), 0, 2**63 - 1), (0, 0.5, 1)),
        (np.float16, (0, 0.25, 1), (0, 0.25, 1)),
        (np.float64, (0, 0.25, 1), (0, 0.25, 1)),
    ],
)
def test_the_dtype_gives_the_range(dtype, values, expected):
    image = np.resize(np.array(values, dtype), (8, 9))

    unit = to_unit(image)

    assert unit.dtype == np.float32
    assert unit.shape == (8, 9, 1)
    np.testing.assert_allclose(unit[0, : len(values), 0], expected, atol=1e-6)


def test_an_image_of_few_grey_levels_is_not_stretched():
    assert to_unit(np.full((8, 8), 100, np.uint8)).max() == np.float32(100 / 255)


def test_a_given_range_scales_and_clips():
    image = np.resize(np.array([90, 100, 150, 200, 300], np.uint16), (8, 8))

    unit = to_unit(image, data_range=(100, 200))

    np.testing.assert_array_equal(unit[0, :5, 0], [0, 0, 0.5, 1, 1])


def test_a_narrow_range_far_from_zero_keeps_its_levels():
    image = np.resize(np.arange(10**9, 10**9 + 11, dtype=np.int32), (8, 11))

    unit = to_unit(image, data_range=(10**9, 10**9 + 10))

    np.testing.assert_allclose(unit[0, :, 0], np.arange(11) / 10, atol=1e-6)


def test_alpha_is_dropped():
    image = noise(8, 8, 4)

    np.testing.assert_array_equal(to_unit(image), image[..., :3])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((2, 8, 8, 3)), r"found an array of shape \(2, 8, 8, 3\).*one by one"),
        (np.zeros((8, 8, 2)), r"shape \(8, 8, 2\); expected \(y, x\)"),
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((1, 1)), r"1 x 1 pixels; expected at least 8 x 8"),
        (np.zeros((0, 20)), r"0 x 20 pixels"),
        (np.zeros((8, 8), complex), r"dtype complex128; expected real numbers"),
        (np.full((8, 8), "a"), r"expected real numbers"),
        (np.full((8, 8), None), r"dtype object"),
        (np.where(np.eye(8), np.nan, 0), r"found 8 NaN or infinite pixels"),
        (np.where(np.eye(8), -np.inf, 0), r"found 8 NaN or infinite pixels"),
        (
            np.full((8, 8), 200.0),
            r"from 200 to 200; expected \[0, 1\]\. Give data_range=\(low, high\)",
        ),
        (np.full((8, 8), -0.1), r"from -0.1 to -0.1"),
    ],
)
def test_unusable_pixels_are_told(image, words):
    with pytest.raises(ImageError, match=words):
        to_unit(image)


# -- geometry and its undo ------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    before=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    size=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    keep_aspect=st.booleans(),
)
def test_coordinates_survive_resizing_and_back(before, size, keep_aspect):
    ramp = coordinates(*before)

    small, undo = Resize(size=size, keep_aspect=keep_aspect).apply(ramp)
    back = undo(small)

    assert small.shape == (*size, 2)
    assert back.shape == ramp.shape
    ratio = np.divide(size, before)
    filled = np.maximum(1, np.multiply(before, ratio.min()).round()) if keep_aspect else size
    pixel = 1 / np.minimum(before, filled)  # of the coarser grid
    # near the border the kernel is cut, which flattens the ramp
    inner = ((ramp > 2.5 * pixel) & (ramp < 1 - 2.5 * pixel)).all(-1)
    assert (np.abs(back - ramp)[inner] < 0.15 * pixel).all()


@pytest.mark.parametrize("before", [(64, 64), (61, 47), (33, 128)])
def test_a_stretched_pixel_shows_what_lies_at_its_centre(before):
    small, _ = Resize(size=(32, 32)).apply(coordinates(*before))

    np.testing.assert_allclose(small[4:-4, 4:-4], coordinates(32, 32)[4:-4, 4:-4], atol=1e-3)


def test_shrinking_weighs_all_pixels():
    stripes = np.tile(np.float32([0, 0, 0, 1]), (32, 16))[..., None]  # every fourth column is white

    small, _ = Resize(size=(8, 16)).apply(stripes)

    np.testing.assert_allclose(small[:, 2:-2], 0.25, atol=1e-6)


@pytest.mark.parametrize("step", [Resize(size=(32, 32)), Resize(size=(32, 48), keep_aspect=True)])
@pytest.mark.parametrize(("y", "x"), [(10, 70), (0, 0), (90, 119), (45, 60)])
def test_a_spot_comes_back_where_it_was(step, y, x):
    image = np.zeros((91, 120, 1), np.float32)
    image[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 1
    rows, columns = np.nonzero(image[..., 0])

    small, undo = step.apply(image)
    back = undo(small)[..., 0]

    weight = np.where(back > 0.1 * back.max(), back, 0)
    centre = np.array([(weight * axis).sum() for axis in np.mgrid[:91, :120]]) / weight.sum()
    np.testing.assert_allclose(centre, (rows.mean(), columns.mean()), atol=0.75)


def test_keeping_the_aspect_fills_with_the_edge():
    image = coordinates(40, 80)

    small, undo = Resize(size=(64, 64), keep_aspect=True).apply(image)

    # scale .8: 32 x 64 pixels in the middle, 16 rows above and below
    np.testing.assert_array_equal(small[:16], np.broadcast_to(small[16], (16, 64, 2)))
    np.testing.assert_array_equal(small[48:], np.broadcast_to(small[47], (16, 64, 2)))
    np.testing.assert_allclose(small[18:46, :, 0], coordinates(32, 64)[2:-2, :, 0], atol=2e-3)
    poisoned = small.copy()
    poisoned[:16], poisoned[48:] = 1e6, 1e6
    np.testing.assert_array_equal(undo(poisoned), undo(small))


def test_the_same_size_changes_nothing():
    image = noise(24, 40, 3)

    small, undo = Resize(size=(24, 40)).apply(image)

    np.testing.assert_array_equal(small, image)
    np.testing.assert_array_equal(undo(small), image)


def test_a_box_is_cut_out_and_put_back():
    image = noise(12, 20, 1)

    inside, undo = Crop(box=(2, 3, 10, 17)).apply(image)
    back = undo(inside + 1)

    np.testing.assert_array_equal(inside, image[2:10, 3:17])
    np.testing.assert_array_equal(back[2:10, 3:17], image[2:10, 3:17] + 1)
    back[2:10, 3:17] = 0
    assert not back.any()


def test_a_polygon_takes_what_lies_outside_from_its_mean():
    image = coordinates(16, 16)
    triangle = Crop(polygon=((1.5, 1.5), (1.5, 11.7), (11.7, 1.5)))  # right angle at the upper left

    inside, undo = triangle.apply(image)
    back = undo(np.full_like(inside, 7))[..., 0]

    y, x = np.mgrid[:16, :16]
    held = (y > 1.5) & (x > 1.5) & (y + x < 13.2)
    np.testing.assert_array_equal(back, 7 * held)
    window = held[2:12, 2:12]
    np.testing.assert_array_equal(inside[window], image[held])
    np.testing.assert_allclose(inside[~window] - image[held].mean(0), 0, atol=1e-5)


def test_a_defect_is_found_inside_a_polygon():
    # around it a black surround would be so strong an edge that nothing inside it counted
    rng = np.random.default_rng(0)
    images = [rng.normal(0.5, 0.03, (32, 32)).clip(0, 1).astype(np.float32) for _ in range(13)]
    images[-1][10:16, 8:14] -= 0.3
    triangle = Crop(polygon=((2, 2), (2, 30), (30, 2)))
    recipe = Recipe(Linear(patch=4, scales=(1,), components=2), Preprocessing((triangle,)))

    result = fit(images[:12], recipe).inspect(images[-1])

    assert result.score > result.threshold
    assert result.labels[12, 10] == 1


@pytest.mark.parametrize(
    ("step", "shape"),
    [
        (Crop(box=(0, 0, 20, 10)), "16 x 16"),
        (Crop(box=(20, 20, 30, 30)), "16 x 16"),
        (Crop(polygon=((2, 2), (2, 30), (9, 2))), "16 x 16"),
        (Crop(polygon=((-3, 2), (2, 9), (9, 2))), "16 x 16"),
        (Crop(polygon=((2.1, 2.1), (2.1, 2.2), (2.2, 2.1))), "16 x 16"),  # holds no pixel
    ],
)
def test_a_region_outside_the_image_is_told(step, shape):
    with pytest.raises(ImageError, match=rf"does not lie inside an image of {shape} pixels"):
        step.apply(np.zeros((16, 16, 1), np.float32))


def test_steps_are_undone_last_first():
    steps = Preprocessing(
        (Crop(box=(5, 8, 45, 72)), Resize(size=(32, 32), keep_aspect=True), Colour(to="rgb"))
    )
    image = coordinates(50, 77)[..., 1]

    pixels, undo = steps.apply(image)
    back = undo(pixels)

    assert pixels.shape == (32, 32, 3)
    assert back.shape == (50, 77, 3)
    np.testing.assert_allclose(back[9:41, 12:68, 0], image[9:41, 12:68], atol=2e-3)
    outside = np.ones((50, 77), bool)
    outside[5:45, 8:72] = False
    assert not back[outside].any()


# -- colour and contrast --------------------------------------------------------------------------


def test_colours_by_hand():
    red = np.zeros((8, 8, 3), np.float32)
    red[..., 0] = 1

    grey, _ = Colour(to="grey").apply(red)
    swapped, _ = ChannelOrder().apply(red)
    back, _ = Colour(to="rgb").apply(grey)

    np.testing.assert_allclose(grey, np.full((8, 8, 1), 0.2125), atol=1e-6)  # ITU-R BT.709
    np.testing.assert_array_equal(swapped[0, 0], [0, 0, 1])
    np.testing.assert_array_equal(back, np.repeat(grey, 3, axis=2))


def test_false_colours_are_those_of_matplotlib():
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1)

    coloured, _ = FalseColour(colormap="viridis").apply(grey)

    # the ends of viridis as its authors print them: #440154 and #fde725
    np.testing.assert_allclose(coloured[0, 0] * 255, [0x44, 0x01, 0x54], atol=0.5)
    np.testing.assert_allclose(coloured[7, 7] * 255, [0xFD, 0xE7, 0x25], atol=0.5)
    np.testing.assert_allclose(coloured, matplotlib.colormaps["viridis"](grey[..., 0])[..., :3])


def test_false_colours_of_a_colour_image_follow_its_luminance():
    rgb = noise(9, 9, 3)

    coloured, _ = FalseColour().apply(rgb)

    expected = matplotlib.colormaps["inferno"](skimage.color.rgb2gray(rgb))[..., :3]
    np.testing.assert_allclose(coloured, expected, atol=1e-6)


def test_global_equalisation_flattens_the_histogram():
    dark = noise(64, 64, 2) ** 2

    flat, _ = Equalise().apply(dark)

    for channel in range(2):
        counts, _ = np.histogram(flat[..., channel], bins=4, range=(0, 1))
        np.testing.assert_allclose(
            counts, 1024, rtol=0.3
        )  # the dark quarter alone held half of them
        order = np.argsort(dark[..., channel], axis=None)
        assert (np.diff(flat[..., channel].ravel()[order]) >= -1e-6).all()


def test_clahe_is_that_of_scikit_image_for_each_channel():
    image = noise(32, 48, 3)

    result, _ = Equalise(kind="clahe", clip=0.03).apply(image)

    for channel in range(3):
        expected = skimage.exposure.equalize_adapthist(image[..., channel], clip_limit=0.03)
        np.testing.assert_allclose(result[..., channel], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["global", "clahe"])
@pytest.mark.parametrize("level", [0, 0.3, 1])
def test_an_image_without_contrast_can_be_equalised(kind, level):
    flat, _ = Equalise(kind=kind).apply(np.full((16, 16, 1), level, np.float32))

    assert np.isfinite(flat).all()
    assert np.ptp(flat) == 0
    assert 0 <= flat.min() <= flat.max() <= 1


# -- what is learned from the training images -----------------------------------------------------


def test_normalisation_learns_from_each_channel_by_hand():
    images = np.zeros((2, 8, 8, 3), np.float32)
    images[0, ..., 0], images[1, ..., 0] = 0.2, 0.6  # mean .4, deviation .2
    images[:, :4, :, 1] = 0.5  # mean .25, deviation .25
    images[..., 2] = 0.7  # constant

    standard = Normalise().fit(images)
    extremes = Normalise(kind="range").fit(images)
    fixed = Normalise(kind="fixed").fit(images)
    none = Normalise(kind="none").fit(images)

    np.testing.assert_allclose(standard.mean, [0.4, 0.25, 0.7], atol=1e-6)
    np.testing.assert_allclose(standard.std, [0.2, 0.25, 1], atol=1e-6)
    np.testing.assert_allclose(extremes.mean, [0.2, 0, 0.7], atol=1e-6)
    np.testing.assert_allclose(extremes.std, [0.4, 0.5, 1], atol=1e-6)
    assert (fixed.mean, fixed.std) == ((0.5,), (0.5,))
    assert (none.mean, none.std) == ((0.0,), (1.0,))
    assert standard.moments()[0].dtype == np.float32


def test_nothing_learned_changes_nothing():
    mean, std = Normalise().moments()

    np.testing.assert_array_equal([*mean, *std], [0, 1])


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([np.zeros((8, 8), np.uint8)], "grey"),
        ([np.repeat(noise(8, 8, 1), 3, axis=2)], "grey"),  # RGB files of grey scenes
        ([np.zeros((8, 8), np.uint8), noise(8, 8, 3)], "rgb"),
        (
            [np.dstack([noise(8, 8, 1)] * 3 + [noise(8, 8, 1, seed=1)])],
            "grey",
        ),  # alpha is no colour
    ],
)
def test_keep_settles_on_what_the_training_images_hold(images, expected):
    settled = Preprocessing().settle(images)

    assert settled.steps == (Colour(to=expected), Resize(size=(32, 32)))


def test_a_chosen_colour_is_left_alone():
    chosen = Preprocessing((Colour(to="grey"), Resize(enlarge=True)))

    assert chosen.settle([noise(8, 8, 3)]) == chosen


@pytest.mark.parametrize(
    ("shapes", "wanted", "expected"),
    [
        ([(100, 300)], (256, 256), (128, 256)),
        ([(64, 64), (65, 40)], (256, 256), (96, 64)),
        ([(640, 480)], (128, 128), (128, 128)),
        ([(33, 33)], (20, 20), (20, 20)),
    ],
)
def test_small_images_make_a_small_grid(shapes, wanted, expected):
    images = [np.zeros(shape, np.uint8) for shape in shapes]

    settled = Preprocessing((Resize(size=wanted),)).settle(images)

    assert settled.steps == (Resize(size=expected),)


def test_the_grid_is_that_of_the_region_of_interest():
    crop = Crop(box=(0, 0, 60, 90))

    settled = Preprocessing((crop, Resize())).settle([np.zeros((500, 500), np.uint8)])

    assert settled.steps == (crop, Resize(size=(64, 96)))


def test_an_unusable_image_is_passed_over_when_settling():
    unusable = np.full((400, 400), np.nan)

    settled = Preprocessing().settle([unusable, np.zeros((64, 64), np.uint8)])

    assert settled.steps == (Colour(to="grey"), Resize(size=(64, 64)))


def test_images_of_several_shapes_need_a_step():
    with pytest.raises(RecipeError, match=r"2 shapes.*\(8, 8, 1\) and \(8, 9, 1\).*Add a Resize"):
        Preprocessing().common_grid({(8, 9, 1), (8, 8, 1)})
    with pytest.raises(RecipeError, match=r"found images of 4 x 9 pixels.*sides of 8 to 8192"):
        Preprocessing().common_grid({(4, 9, 1)})


# -- knobs ----------------------------------------------------------------------------------------

EVERY_STEP = (
    Colour(to="grey"),
    FalseColour(colormap="magma"),
    ChannelOrder(),
    Equalise(kind="clahe", clip=0.02),
    Crop(box=(1, 2, 30, 40)),
    Crop(polygon=((1.5, 2), (20, 2), (20, 25.25))),
    Resize(size=(32, 64), keep_aspect=True),
)


@pytest.mark.parametrize(
    "preprocess",
    [
        *(Preprocessing((step,)) for step in EVERY_STEP),
        Preprocessing(EVERY_STEP, Normalise(kind="range", mean=(0.1,), std=(0.7,)), (-5.0, 12.5)),
    ],
)
def test_steps_survive_json(preprocess):
    recipe = Recipe(Linear(), preprocess)

    assert from_plain(json.loads(json.dumps(to_plain(recipe)))) == recipe


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            {"step": "colour", "to": "mauve"},
            r"found 'mauve'; input should be 'keep', 'grey' or 'rgb'",
        ),
        ({"step": "false colour", "colormap": "nope"}, r"no colormap 'nope'"),
        ({"step": "equalise", "clip": 0}, r"clip: found 0; .*greater than 0"),
        ({"step": "resize", "size": [4, 64]}, r"size\.0: found 4; .*greater than or equal to 8"),
        ({"step": "resize", "size": [10**9, 64]}, r"size\.0: found 1000000000; .*less than"),
        ({"step": "resize", "size": [64]}, r"size.*found \[64\]"),
        ({"step": "resize", "siez": [64, 64]}, r"siez: found \[64, 64\]; unexpected"),
        ({"step": "crop"}, r"either a box .* or a polygon"),
        (
            {"step": "crop", "box": [0, 0, 9, 9], "polygon": [[0, 0], [0, 9], [9, 0]]},
            r"either a box",
        ),
        ({"step": "crop", "box": [9, 0, 9, 9]}, r"the box \(9, 0, 9, 9\); expected 0 <= y0 < y1"),
        (
            {"step": "crop", "polygon": [[0, 0], [9, 9]]},
            r"polygon of 2 corners; expected at least 3",
        ),
        ({"step": "crop", "polygon": [[0, 0], [9, 9], [float("nan"), 3]]}, r"finite"),
        ({"step": "blur"}, r"'blur'.*'colour', 'false colour', 'channel order'"),
    ],
)
def test_impossible_steps_are_told(step, words):
    plain = to_plain(Recipe())
    plain["preprocess"]["steps"] = [step]

    with pytest.raises(RecipeError, match=words):
        from_plain(plain)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("data_range", [2, 1], r"data_range \(2.0, 1.0\); expected \(low, high\), low < high"),
        ("data_range", [0, float("inf")], r"data_range.1: found inf; .*finite"),
        (
            "normalise",
            {"kind": "standard", "mean": [0], "std": [0]},
            r"std\.0: found 0; .*greater than 0",
        ),
    ],
)
def test_impossible_ranges_are_told(part, value, words):
    plain = to_plain(Recipe())
    plain["preprocess"][part] = value

    with pytest.raises(RecipeError, match=words):
        from_plain(plain)


def test_steps_written_in_python_are_checked_too():
    with pytest.raises(ValidationError, match="at least 3"):
        Crop(polygon=((0, 0), (9, 9)))
    with pytest.raises(ValidationError, match="low < high"):
        replace(Preprocessing(), data_range=(1.0, 1.0))
