"""Residuals in deviations of held-out normals: by hand and by laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_anomaly.core.standardise import Moments, Standardisation


def residuals(n, s=2, y=12, x=10, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 0.05, (n, s, y, x)).astype(np.float32)


def moments_of(stack):
    moments = Moments.none(stack.shape[1:])
    for one in stack:
        moments = moments.add(one)
    return moments


def test_sums_by_hand():
    moments = moments_of(np.float32([[[[1.0, 2.0]]], [[[3.0, -4.0]]]]))

    assert moments.count == 2
    np.testing.assert_array_equal(moments.first, [[[4, -2]]])
    np.testing.assert_array_equal(moments.second, [[[10, 20]]])


@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 9), seed=st.integers(0, 99))
def test_taking_an_image_out_is_as_never_having_added_it(n, seed):
    stack = residuals(n, seed=seed)
    for k in range(n):
        without = moments_of(stack).without(stack[k])
        never = moments_of(np.delete(stack, k, axis=0))

        assert without.count == never.count
        np.testing.assert_allclose(without.first, never.first, rtol=0, atol=1e-14)
        np.testing.assert_allclose(without.second, never.second, rtol=0, atol=1e-14)


def test_none_leaves_residuals_as_they_are():
    stack = residuals(5)

    fitted = Standardisation.of(moments_of(stack), "none")

    np.testing.assert_allclose(fitted.apply(stack[0]), stack[0].mean(0), rtol=1e-6)


def test_texture_uses_one_mean_and_deviation_per_scale():
    stack = residuals(6)
    stack[:, 1] *= 7  # a scale with larger residuals counts no more than the other

    fitted = Standardisation.of(moments_of(stack), "texture")

    mean = stack.mean((0, 2, 3))[:, None, None]
    std = 1.1 * stack.std((0, 2, 3))[:, None, None]  # a tenth on top
    assert fitted.mean.shape == fitted.std.shape == (2, 1, 1)
    np.testing.assert_allclose(fitted.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(fitted.std, std, rtol=1e-5)
    np.testing.assert_allclose(fitted.apply(stack[0]), ((stack[0] - mean) / std).mean(0), rtol=1e-4)


def test_place_smooths_and_shrinks_by_the_stated_formula():
    stack = residuals(30)
    stack[..., 5:] += 1  # a constant edge is no variance

    fitted = Standardisation.of(moments_of(stack), "place")

    wide = stack.astype(np.float64)
    for s in range(2):
        local = gaussian_filter(wide[:, s].mean(0), 4)
        variance = gaussian_filter((wide[:, s] ** 2).mean(0), 4) - local**2
        usual = variance.mean()
        weight = 30 / 40
        mean = weight * local + (1 - weight) * wide[:, s].mean()
        std = np.sqrt(weight * variance + (1 - weight) * usual) + 0.1 * np.sqrt(usual)
        np.testing.assert_allclose(fitted.mean[s], mean, rtol=1e-5)
        np.testing.assert_allclose(fitted.std[s], std, rtol=1e-5)


def test_a_constant_edge_is_no_news_but_a_new_spot_is():
    stack = residuals(40, s=1, y=40, x=60, seed=3)
    stack[:, :, :, 30:] += 1.0  # the right half is always badly reconstructed
    spot = stack[0].copy()
    spot[0, 20, 10] += 0.8

    by_place = Standardisation.of(moments_of(stack[1:]), "place").apply(spot)
    raw = Standardisation.of(moments_of(stack[1:]), "none").apply(spot)

    assert np.unravel_index(by_place.argmax(), by_place.shape) == (20, 10)
    assert raw.argmax() != 20 * 60 + 10


@pytest.mark.parametrize("kind", ["place", "texture"])
def test_scaling_all_residuals_changes_no_map(kind):
    stack = residuals(8)
    one = Standardisation.of(moments_of(stack), kind).apply(stack[3])
    thousand = Standardisation.of(moments_of(1000 * stack), kind).apply(1000 * stack[3])

    np.testing.assert_allclose(one, thousand, atol=1e-4)


@pytest.mark.parametrize("kind", ["place", "texture", "none"])
def test_normals_without_any_residual_divide_by_nothing(kind):
    fitted = Standardisation.of(moments_of(np.zeros((4, 1, 8, 8), np.float32)), kind)

    assert np.isfinite(fitted.apply(np.ones((1, 8, 8), np.float32))).all()


@pytest.mark.parametrize("kind", ["place", "texture", "none"])
def test_maps_are_float32_for_the_file_and_the_image(kind):
    fitted = Standardisation.of(moments_of(residuals(4)), kind)

    assert {one.dtype for one in fitted.arrays().values()} == {np.dtype(np.float32)}
    assert fitted.apply(residuals(1)[0]).dtype == np.float32
    assert fitted.apply(residuals(1)[0]).shape == (12, 10)


def test_pooled_statistics_by_hand():
    """Of places with mean 1 or 3 and deviation 1 or 2: mean variance 2.5, and 1 between the means."""
    fitted = Standardisation(np.float32([[[1, 3]]]), np.float32([[[1, 2]]]))

    pooled = fitted.pooled()

    assert pooled.mean.tolist() == [[[2.0]]]
    np.testing.assert_allclose(pooled.std, [[[np.sqrt(3.5)]]], rtol=1e-7)
    np.testing.assert_array_equal(pooled.pooled().std, pooled.std)
