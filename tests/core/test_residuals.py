"""Residuals against scikit-image 0.25+, SciPy, and laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from napari_anomaly.core.filters import blur, stretch
from napari_anomaly.core.residuals import (
    absolute,
    dissimilarity,
    residual_map,
    squared,
)


def pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.random(shape, np.float32)
    other = np.clip(image + rng.normal(0, 0.2, shape), 0, 1).astype(np.float32)
    return jnp.asarray(image), jnp.asarray(other)


def test_differences_by_hand():
    image = jnp.full((1, 8, 8, 1), 0.75, jnp.float32)
    other = jnp.full((1, 8, 8, 1), 0.25, np.float32)

    assert np.all(absolute(image, other) == 0.5)
    assert np.all(squared(image, other) == 0.25)


def test_ssim_is_that_of_scikit_image():
    image, other = pair((2, 40, 33, 3))

    ours = 1 - 2 * np.asarray(dissimilarity(image, other))

    for k in range(2):
        _, theirs = structural_similarity(
            np.asarray(image[k], np.float64),
            np.asarray(other[k], np.float64),
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )  # truncated at 3.5 sigma: a window of 11 pixels
        np.testing.assert_allclose(ours[k], theirs, atol=2e-5)  # at the border too: both mirror


def test_ssim_of_two_flat_images_by_hand():
    light = jnp.full((1, 16, 16, 1), 0.8, np.float32)
    dark = jnp.full((1, 16, 16, 1), 0.2, np.float32)

    # no structure, so luminance alone: (2 * .16 + .0001) / (.64 + .04 + .0001)
    np.testing.assert_allclose(dissimilarity(light, dark), (1 - 0.3201 / 0.6801) / 2, atol=5e-5)


@pytest.mark.parametrize("kind", ["absolute", "squared", "ssim"])
@pytest.mark.parametrize("colour", ["channels", "grey"])
@pytest.mark.parametrize("channels", [1, 3])
def test_residuals_vanish_on_equal_images_are_symmetric_and_bounded(kind, colour, channels):
    image, other = pair((3, 17, 24, channels))

    there = np.asarray(residual_map(image, other, kind=kind, colour=colour))
    back = np.asarray(residual_map(other, image, kind=kind, colour=colour))

    assert there.shape == (3, 17, 24)
    np.testing.assert_array_equal(residual_map(image, image, kind=kind, colour=colour), 0)
    np.testing.assert_allclose(there, back, atol=1e-6)
    assert there.mean() > 0.01
    assert there.min() >= 0
    assert there.max() <= 1


def test_opposite_structure_is_the_most_dissimilar():
    waves = 0.5 + 0.5 * np.sin(np.arange(32, dtype=np.float32))
    image = jnp.asarray(np.tile(waves, (32, 1))[None, ..., None])

    worst = np.asarray(dissimilarity(image, 1 - image))

    assert worst.max() > 0.95
    assert worst.max() <= 1 + 1e-6


def test_channels_are_averaged_and_grey_is_luminance():
    image, other = pair((2, 9, 11, 3))

    channels = residual_map(image, other)
    grey = residual_map(image, other, colour="grey")

    np.testing.assert_allclose(channels, np.abs(image - other).mean(-1), atol=1e-6)
    np.testing.assert_allclose(
        grey, np.abs(rgb2gray(np.asarray(image)) - rgb2gray(np.asarray(other))), atol=1e-6
    )


def test_an_image_does_not_depend_on_its_batch():
    image, other = pair((4, 20, 20, 3))

    together = np.asarray(residual_map(image, other, kind="ssim"))
    alone = np.asarray(residual_map(image[2:3], other[2:3], kind="ssim"))

    np.testing.assert_allclose(together[2], alone[0], atol=1e-6)


@pytest.mark.parametrize(
    ("sigma", "height", "width"), [(0.5, 8, 24), (1.5, 17, 9), (4.0, 9, 40), (2.0, 150, 1100)]
)
def test_blur_is_that_of_scipy(sigma, height, width):
    image = np.random.default_rng(height * width).random((2, height, width, 2), np.float32)

    ours = blur(jnp.asarray(image), sigma)

    # sigma 4 reaches 16 pixels: further than small images are wide, so they are mirrored twice
    theirs = gaussian_filter(image.astype(np.float64), (0, sigma, sigma, 0), mode="reflect")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_no_blur_changes_nothing():
    image, _ = pair((1, 8, 8, 1))

    assert blur(image, 0.0) is image


def test_a_coarse_map_is_stretched_about_pixel_centres():
    coarse = jnp.arange(4.0)[None, None].repeat(3, axis=1)  # (1, 3, 4)

    fine = np.asarray(stretch(coarse, (6, 8)))

    # centres of coarse pixels lie at .5, 2.5, 4.5, 6.5 of the fine grid
    np.testing.assert_allclose(fine[0, 2], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)
    np.testing.assert_array_equal(stretch(coarse, (3, 4)), coarse)


@pytest.mark.parametrize(
    ("coarse", "fine"), [((64, 48), (128, 96)), ((5, 7), (18, 25)), ((9, 9), (9, 9))]
)
def test_stretching_and_smoothing_at_once_is_one_after_the_other(coarse, fine):
    maps = np.random.default_rng(0).random((2, *coarse), np.float32)

    at_once = stretch(jnp.asarray(maps), fine, smooth=2.0)

    bilinear = jax.image.resize(maps, (2, *fine), "linear")
    np.testing.assert_allclose(
        at_once, gaussian_filter(np.float64(bilinear), (0, 2.0, 2.0), mode="reflect"), atol=1e-5
    )
