"""Linear autoencoders against the long way: cut patches, encode, decode, average the overlaps."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from napari_anomaly.core.errors import TrainingError
from napari_anomaly.core.methods import linear
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

SMALL = Linear(patch=4, scales=(1,), components=3)


def run(steps):
    """The result of a generator."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def fit(knobs, images):
    return run(linear.fit_steps(knobs, Stack.of(images), seed=0, budget=None))


def textures(n=4, height=32, width=40, channels=1, seed=0):
    """Smooth noise of mean 0 and deviation 1 with an offset for each channel."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(n, height, width, channels))
    smooth = (
        rough + np.roll(rough, 1, 1) + np.roll(rough, 1, 2) + 0.5 * rough.mean(-1, keepdims=True)
    )
    return (smooth + 0.3 * np.arange(1, channels + 1)).astype(np.float32)


def patches_of(image, side):
    """All patches, ``(y, x, side * side * c)``."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1))
    windows = windows.transpose(0, 1, 3, 4, 2)
    return windows.reshape(*windows.shape[:2], -1)


def long_way(train, image, side, components):
    """Reconstruct by PCA of all patches of the training images (NumPy), then average what overlaps."""
    flat = np.concatenate([patches_of(one, side) for one in train]).reshape(
        -1, side**2 * train.shape[3]
    )
    mean = flat.mean(0, dtype=np.float64)
    _, vectors = np.linalg.eigh(np.cov(flat.T.astype(np.float64), bias=True))
    basis = vectors[:, -components:]
    total, count = np.zeros(image.shape), np.zeros((*image.shape[:2], 1))
    for y, row in enumerate(patches_of(image, side)):
        for x, patch in enumerate(row):
            made = mean + basis @ (basis.T @ (patch - mean))
            total[y : y + side, x : x + side] += made.reshape(side, side, -1)
            count[y : y + side, x : x + side] += 1
    return total / count


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2])
def test_one_filter_is_as_good_as_all_patches(channels, scale, monkeypatch):
    train, image = textures(channels=channels), textures(1, channels=channels, seed=9)
    # all patches on both sides; which of them are looked at has its own test
    monkeypatch.setattr(
        linear,
        "_positions",
        lambda height, width, every: np.divmod(np.arange(height * width), width),
    )
    linear._patch_sums.clear_cache()  # compiled for other patches

    fitted = fit(replace(SMALL, scales=(scale,)), train)
    linear._patch_sums.clear_cache()
    (pair,) = fitted.pairs(jnp.asarray(image))

    small_train, small = (
        one.reshape(len(one), 32 // scale, scale, 40 // scale, scale, channels).mean((2, 4))
        for one in (train, image)
    )
    expected = long_way(small_train, small[0], 4, 3)
    np.testing.assert_allclose(pair.image[0], small[0], atol=1e-6)
    inner = np.s_[3:-3, 3:-3]  # towards the border fewer patches overlap, or mirrored ones
    np.testing.assert_allclose(
        np.asarray(pair.reconstruction[0])[inner], expected[inner], atol=2e-4
    )


def test_moments_are_those_of_all_patches():
    train = textures(20, 24, 24)

    knobs = Linear(patch=3, scales=(4,))
    ((mean, covariance),) = run(linear._patch_moments(knobs, Stack.of(train)))

    small = train.reshape(20, 6, 4, 6, 4, 1).mean((2, 4))
    flat = np.concatenate([patches_of(one, 3) for one in small]).reshape(-1, 9)
    np.testing.assert_allclose(mean, flat.mean(0), atol=1e-5)
    np.testing.assert_allclose(covariance, np.cov(flat.T, bias=True), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_moments_of_all_scales_are_those_of_the_patches_looked_at(channels):
    """Against patches cut one by one and NumPy's covariance in float64."""
    train = textures(5, 33, 47, channels)  # 2 and 4 do not divide it
    knobs = Linear(patch=3, scales=(1, 2, 4))

    moments = run(linear._patch_moments(knobs, Stack.of(train)))

    for scale, step, (mean, covariance) in zip((1, 2, 4), (17, 5, 1), moments, strict=True):
        small = np.asarray(linear.shrink(jnp.asarray(train), scale), np.float64)
        flat = np.concatenate(
            [patches_of(one, 3).reshape(-1, 9 * channels)[::step] for one in small]
        )
        np.testing.assert_allclose(mean, flat.mean(0), atol=1e-6)
        np.testing.assert_allclose(covariance, np.cov(flat.T, bias=True), atol=2e-6)


def test_fitting_takes_each_image_once_for_all_scales():
    taken = []
    train = textures(6)

    def again(k):
        taken.append(k)
        return train[k]

    fit_again = linear.fit_steps(
        Linear(patch=4, scales=(1, 2, 4)), Stack(train.shape, [], again), seed=0, budget=None
    )
    whole = fit(Linear(patch=4, scales=(1, 2, 4)), train)

    for name, array in run(fit_again).arrays().items():
        np.testing.assert_array_equal(array, whole.arrays()[name])
    assert sorted(taken) == list(range(6))


@pytest.mark.parametrize("period", [2, 3, 4, 8, 16])
def test_a_periodic_texture_is_reconstructed_wherever_it_starts(period):
    """Its patches span as many dimensions as the period; a step of that many pixels would see one of them."""
    y, x = np.mgrid[:64, :64]
    rng = np.random.default_rng(period)
    tile = rng.normal(size=period).astype(np.float32)
    train = np.stack([tile[(x + y) % period]] * 3)[..., None]
    shifted = tile[(x + y + 1) % period][None, ..., None]

    fitted = fit(Linear(patch=8, scales=(1,), components=16), train)
    (pair,) = fitted.pairs(jnp.asarray(shifted))

    np.testing.assert_allclose(
        np.asarray(pair.reconstruction)[0, 7:-7, 7:-7], shifted[0, 7:-7, 7:-7], atol=1e-3
    )


def test_what_was_never_seen_is_left_out():
    _, x = np.mgrid[:48, :48]
    stripes = np.sin(x * 2 * np.pi / 6)[None, ..., None].astype(np.float32)
    fitted = fit(Linear(patch=8, scales=(1,), components=2), np.repeat(stripes, 2, axis=0))
    scratched = stripes.copy()
    scratched[0, 20:28, 24] += 3

    (pair,) = fitted.pairs(jnp.asarray(scratched))
    residual = np.abs(np.asarray(pair.image - pair.reconstruction))[0, ..., 0]

    assert residual[24, 24] > 2
    assert residual[:, 8:16].max() < 0.05  # the mirrored border is another matter


def test_whole_images_are_reconstructed_as_scikit_learn_does():
    train, image = textures(9, 16, 20, 3), textures(2, 16, 20, 3, seed=5)

    fitted = fit(Linear(support="image", components=4), train)
    (pair,) = fitted.pairs(jnp.asarray(image))

    theirs = PCA(4).fit(train.reshape(9, -1).astype(np.float64))
    expected = theirs.inverse_transform(theirs.transform(image.reshape(2, -1).astype(np.float64)))
    np.testing.assert_allclose(pair.reconstruction, expected.reshape(image.shape), atol=1e-4)


@pytest.mark.parametrize("block", [1, 2, 4])
def test_whole_images_in_blocks_give_the_components_of_all_at_once(block, monkeypatch):
    train, image = textures(9, 16, 20, 3), textures(2, 16, 20, 3, seed=5)
    knobs = Linear(support="image", components=4)
    (whole,) = fit(knobs, train).pairs(jnp.asarray(image))
    monkeypatch.setattr(linear, "_BLOCK", block * 16 * 20 * 3 * 8)

    (pair,) = fit(knobs, train).pairs(jnp.asarray(image))

    np.testing.assert_allclose(pair.reconstruction, whole.reconstruction, atol=1e-5)


def test_images_given_several_times_add_no_components():
    distinct = textures(3, 16, 16)
    repeated = np.concatenate([distinct] * 4)
    image = textures(1, 16, 16, seed=5)

    few = fit(Linear(support="image", components=8), distinct)
    many = fit(Linear(support="image", components=8), repeated)

    assert len(many.components) == 2  # three images differ from their mean in two directions
    (a,), (b,) = few.pairs(jnp.asarray(image)), many.pairs(jnp.asarray(image))
    np.testing.assert_allclose(a.reconstruction, b.reconstruction, atol=1e-4)


def test_equal_images_are_reconstructed_as_their_mean():
    same = np.repeat(textures(1, 16, 16), 3, axis=0)

    fitted = fit(Linear(support="image"), same)
    (pair,) = fitted.pairs(jnp.asarray(textures(1, 16, 16, seed=5)))

    np.testing.assert_allclose(pair.reconstruction, same[:1], atol=1e-6)


def test_scales_are_finest_first_on_their_own_grids():
    fitted = fit(Linear(patch=4, scales=(1, 2, 4)), textures(2, 33, 47))

    pairs = fitted.pairs(jnp.asarray(textures(2, 33, 47)))

    assert [pair.image.shape for pair in pairs] == [(2, 33, 47, 1), (2, 17, 24, 1), (2, 9, 12, 1)]
    assert all(pair.reconstruction.shape == pair.image.shape for pair in pairs)


def test_shrinking_by_hand():
    image = jnp.arange(6.0).reshape(1, 2, 3, 1)

    # [[0 1 2], [3 4 5]] with the last column repeated
    np.testing.assert_array_equal(linear.shrink(image, 2)[0, ..., 0], [[2, 3.5]])


@pytest.mark.parametrize("support", ["patch", "image"])
def test_the_seed_and_the_clock_change_nothing(support):
    knobs = Linear(support=support, patch=4, scales=(1, 2))
    train = textures()

    one = fit(knobs, train).arrays()
    other = run(linear.fit_steps(knobs, Stack.of(train), seed=7, budget=0.0)).arrays()

    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_progress_counts_the_images_once_for_all_scales():
    knobs = Linear(patch=4, scales=(1, 2))

    seen = list(linear.fit_steps(knobs, Stack.of(textures(3)), seed=0, budget=None))

    assert seen == [Progress("training", k, 3) for k in (1, 2, 3)]


def test_images_smaller_than_a_patch_are_told_before_any_work():
    steps = linear.fit_steps(Linear(scales=(1, 8)), Stack.of(textures()), seed=0, budget=None)

    with pytest.raises(TrainingError, match=r"32 x 40 pixels.*8 times smaller.*one patch of 8"):
        next(steps)


def test_one_image_has_no_components():
    with pytest.raises(TrainingError, match="found 1 training image; expected at least 2"):
        fit(Linear(support="image"), textures(1))


def test_components_that_would_reconstruct_everything_are_refused():
    knobs = Linear(patch=4, scales=(1,), components=16)

    with pytest.raises(
        TrainingError, match="16 components for patches of 16 values; expected fewer"
    ):
        fit(knobs, np.zeros((3, 16, 16, 1), np.float32))
