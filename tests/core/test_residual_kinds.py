"""Similarities of structure: laws over many images, and scikit-image 0.25+, SciPy and NumPy as second opinions."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, prewitt
from scipy.stats import wasserstein_distance
from skimage.color import rgb2gray
from skimage.measure import block_reduce
from skimage.transform import resize

from napari_anomaly.core.residuals import kind_of, residual_map

KINDS = ["absolute", "squared", "ssim", "ms-ssim", "ms-gms", "ncc", "histogram"]
COMPILED = {kind: jax.jit(partial(residual_map, kind=kind)) for kind in KINDS}
SHAPE = (1, 27, 20, 1)  # sides that no scale divides
SEEDS = st.integers(0, 2**32 - 1)

many = settings(deadline=None, max_examples=25)


def texture(seed, shape=SHAPE, low=0.3, high=0.7):
    """Smooth blobs between two intensities, with some noise."""
    rng = np.random.default_rng(seed)
    blobs = gaussian_filter(rng.normal(size=shape), (0, 1.5, 1.5, 0)) + 0.05 * rng.normal(
        size=shape
    )
    blobs = (blobs - blobs.min()) / (blobs.max() - blobs.min())
    return (low + (high - low) * blobs).astype(np.float32)


def residual(kind, image, other):
    return np.asarray(COMPILED[kind](image, other))


# -- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@many
@given(SEEDS, SEEDS)
def test_it_is_zero_on_equal_images_symmetric_and_lies_in_0_to_1(kind, seed, other_seed):
    image, other = texture(seed, low=0, high=1), texture(other_seed, low=0, high=1)

    there, back = residual(kind, image, other), residual(kind, other, image)

    np.testing.assert_allclose(residual(kind, image, image), 0, atol=2e-5)
    np.testing.assert_allclose(there, back, atol=2e-5)
    assert there.min() >= 0
    assert there.max() <= 1
    if seed != other_seed:
        assert there.mean() > 0.001


@pytest.mark.parametrize("kind", ["ms-gms", "ncc"])
@many
@given(SEEDS, SEEDS, st.floats(-0.3, 0.3))
def test_brightness_changes_nothing(kind, seed, other_seed, brighter):
    image, other = texture(seed), texture(other_seed)

    changed = residual(kind, image + np.float32(brighter), other)

    np.testing.assert_allclose(changed, residual(kind, image, other), atol=2e-4)


@many
@given(SEEDS, SEEDS, st.floats(0.5, 1.4), st.floats(-0.1, 0.0))
def test_contrast_and_brightness_change_no_correlation(seed, other_seed, contrast, brighter):
    image, other = texture(seed), texture(other_seed)

    changed = residual("ncc", np.float32(contrast) * image + np.float32(brighter), other)

    np.testing.assert_allclose(changed, residual("ncc", image, other), atol=2e-4)


@pytest.mark.parametrize("kind", ["absolute", "squared", "ssim", "ms-ssim", "histogram"])
@many
@given(SEEDS, st.floats(0.1, 0.25))
def test_the_others_see_brightness(kind, seed, brighter):
    image = texture(seed)
    assert residual(kind, image + np.float32(brighter), image).mean() > 0.0005


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ncc"])
@many
@given(SEEDS)
def test_all_but_correlation_see_contrast(kind, seed):
    image = texture(seed)
    flatter = np.float32(0.5) + (image - np.float32(0.5)) / 2
    assert residual(kind, flatter, image).mean() > 0.0005


@many
@given(SEEDS, SEEDS)
def test_a_histogram_does_not_know_where_pixels_lie(seed, order):
    """The window of the middle pixel is the whole image."""
    image, other = (texture(one, (1, 21, 21, 1)) for one in (seed, seed + 1))
    shuffled = np.random.default_rng(order).permutation(image.ravel()).reshape(image.shape)

    there, here = (residual("histogram", one, other)[0, 10, 10] for one in (shuffled, image))

    assert there == pytest.approx(here, abs=1e-5)


@many
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_histogram_of_one_intensity_moves_as_far_as_the_intensity(one, other):
    here, there = (np.full(SHAPE, value, np.float32) for value in (one, other))
    np.testing.assert_allclose(residual("histogram", here, there), abs(one - other), atol=1e-5)


# -- by hand --------------------------------------------------------------------------------------


def test_a_turned_contrast_is_the_opposite_and_flat_windows_agree():
    image, flat = texture(0), np.full(SHAPE, 0.4, np.float32)

    np.testing.assert_allclose(residual("ncc", image, 1 - image), 1, atol=1e-3)
    np.testing.assert_array_equal(residual("ncc", flat, flat + np.float32(0.2)), 0)
    np.testing.assert_array_equal(residual("ncc", image, flat), 0.5)


def test_a_lost_edge_by_hand():
    """A ramp of .05 per pixel: the Prewitt gradient is .1, in the next scales .2, .4, .8; a flat image has none."""
    ramp = np.tile(np.float32(0.05) * np.arange(64, dtype=np.float32), (64, 1))[None, ..., None]

    found = residual("ms-gms", ramp, np.zeros_like(ramp))[0, 32, 32]

    steep = np.array([0.1, 0.2, 0.4, 0.8]) ** 2
    assert found == pytest.approx(np.mean(steep / (steep + 0.0026)), abs=1e-4)


def test_gradients_are_always_of_grey_images():
    image, other = (np.repeat(texture(k), 3, -1) * np.float32([1, 0.5, 0.2]) for k in (0, 1))
    grey = [np.float32(rgb2gray(one))[..., None] for one in (image, other)]

    np.testing.assert_allclose(
        residual("ms-gms", image, other), residual("ms-gms", *grey), atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_small_images_have_all_residuals(kind):
    image, other = (np.random.default_rng(k).random((2, 3, 9, 3), np.float32) for k in (0, 1))

    found = residual(kind, image, other)

    assert found.shape == (2, 3, 9)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


# -- second opinions ------------------------------------------------------------------------------


def structural(x, y, with_luminance):
    """Wang et al. 2004, eqs. 6, 9, 10, by SciPy."""

    def mean(one):
        return gaussian_filter(one, 1.5, truncate=3.5, mode="reflect")

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    contrast = 2 * np.sqrt(np.abs(vx * vy)) + 9e-4
    structure = (cov + 4.5e-4) / (np.sqrt(np.abs(vx * vy)) + 4.5e-4)
    both = contrast / (vx + vy + 9e-4) * structure
    return both * (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4) if with_luminance else both


def enlarged(map_, shape):
    return resize(map_, shape, order=1, mode="edge", anti_aliasing=False)


def coarser(one):
    return block_reduce(one, (2, 2), np.mean)


@pytest.mark.parametrize("shape", [(48, 32), (176, 192)])
def test_multiscale_ssim_is_wangs(shape):
    image, other = (texture(k, (1, *shape, 1), 0, 1) for k in (0, 1))
    other = 0.7 * image + 0.3 * other
    x, y = (one[0, ..., 0].astype(np.float64) for one in (image, other))

    expected = np.ones(shape)
    for level, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        factor = enlarged(structural(x, y, level == 4), shape)
        expected *= np.maximum(factor, 0) ** weight
        x, y = coarser(x), coarser(y)

    found = residual("ms-ssim", image, other)[0]
    np.testing.assert_allclose(found, 1 - expected, atol=2e-4)
    assert 0.01 < expected.mean() < 0.99


def test_gradient_similarity_is_xues():
    image, other = (texture(k, (1, 40, 56, 1), 0, 1) for k in (0, 1))
    x, y = (one[0, ..., 0].astype(np.float64) for one in (image, other))

    expected = np.zeros((40, 56))
    for _ in range(4):
        g, h = (np.hypot(prewitt(one, 0) / 3, prewitt(one, 1) / 3) for one in (x, y))
        expected += enlarged(1 - (2 * g * h + 0.0026) / (g**2 + h**2 + 0.0026), (40, 56)) / 4
        x, y = coarser(x), coarser(y)

    found = residual("ms-gms", image, other)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def windows(image, side):
    """``(y, x, side, side)``: what surrounds each pixel, mirrored at the border."""
    padded = np.pad(image, side // 2, mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side))


def test_correlation_is_numpys():
    image, other = texture(0), texture(1)
    pairs = zip(
        *(windows(one[0, ..., 0], 11).reshape(-1, 121) for one in (image, other)), strict=True
    )

    expected = [(1 - np.corrcoef(x, y)[0, 1]) / 2 for x, y in pairs]

    found = residual("ncc", image, other)
    np.testing.assert_allclose(np.ravel(found), expected, atol=1e-4)


def test_the_earth_movers_distance_is_scipys():
    image, other = (texture(k, (1, 23, 22, 1), 0, 1) for k in (0, 1))
    found = residual("histogram", image, other)[0]
    centres = np.linspace(0, 1, 16)

    def histogram(window):
        nearness = 1 - np.abs(window.reshape(-1, 1) - centres) * 15
        return np.maximum(nearness, 0).sum(0)

    for y, x in [(0, 0), (11, 10), (22, 3)]:
        here, there = (histogram(windows(one[0, ..., 0], 21)[y, x]) for one in (image, other))
        assert found[y, x] == pytest.approx(
            wasserstein_distance(centres, centres, here, there), abs=1e-5
        )


# -- how far they look ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_residual_sees_as_far_as_it_says_and_no_further(kind):
    """One pixel is changed, at each place of a step in turn."""
    _, radius, step = kind_of(kind)
    side = 2 * (radius + step) + 16
    side += -side % 16
    image = texture(3, (1, 16, side, 1))
    other = 0.8 * image + 0.2 * texture(4, (1, 16, side, 1))
    before = residual(kind, image, other)

    furthest = 0
    middle = side // 2 // step * step
    for pixel in range(middle, middle + step):
        changed = image.copy()
        changed[0, :, pixel] += 0.05
        moved = np.flatnonzero((residual(kind, changed, other) != before).any((0, 1)))
        furthest = max(furthest, *(abs(int(one) - pixel) for one in moved))

    assert furthest == radius


@pytest.mark.parametrize("kind", KINDS)
def test_moved_by_its_step_a_residual_moves_along(kind):
    _, radius, step = kind_of(kind)
    side = 2 * (radius + step) + 32
    side += -side % 16
    image, other = (texture(k, (1, 16, side + step, 1)) for k in (0, 1))

    here = residual(kind, image[:, :, :side], other[:, :, :side])
    moved = residual(kind, image[:, :, step:], other[:, :, step:])

    inside = slice(radius + 1, side - radius - step - 1)
    np.testing.assert_allclose(here[:, :, step:][:, :, inside], moved[:, :, inside], atol=1e-4)
