"""Augmentation: what must hold for any key, and averages over many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.transform

from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.nn import augment
from napari_anomaly.core.nn.augment import augmented

KEYS = jax.random.split(jax.random.key(0), 64)


def smooth(side=32):
    """Image ``(side, side, 2)`` without detail, so that resampling loses nothing."""
    y, x = np.mgrid[:side, :side] / side
    return np.stack([np.sin(3 * y) + x, np.cos(4 * x) * y], -1).astype(np.float32)


def of(image, **knobs):
    images = jnp.broadcast_to(image, (len(KEYS), *image.shape))
    return np.asarray(augmented(images, KEYS, Training(**knobs)))


def test_without_knobs_nothing_changes():
    np.testing.assert_array_equal(of(smooth()), np.broadcast_to(smooth(), (64, 32, 32, 2)))


def test_an_image_depends_on_its_own_key_alone():
    knobs = Training(flip=True, rotate=20, crop=0.2, brightness=0.5)
    images = jnp.stack([jnp.asarray(smooth())] * 4)

    together = augmented(images, KEYS[:4], knobs)
    alone = augmented(images[:1], KEYS[2:3], knobs)

    np.testing.assert_allclose(together[2], alone[0], atol=1e-6)
    assert not np.allclose(together[0], together[1])


def test_half_are_mirrored():
    image = smooth()

    mirrored = [np.array_equal(one, image[:, ::-1]) for one in of(image, flip=True)]

    assert all(
        flipped or np.array_equal(one, image)
        for flipped, one in zip(mirrored, of(image, flip=True), strict=True)
    )
    assert 16 <= sum(mirrored) <= 48  # 32 +- 4 deviations of Binomial(64, .5)


def test_brightness_adds_one_number_within_its_bound():
    change = of(smooth(), brightness=0.3) - smooth()

    np.testing.assert_allclose(
        change, np.broadcast_to(change[:, :1, :1, :1], change.shape), atol=1e-6
    )
    assert 0.25 < np.abs(change).max() <= 0.3 + 1e-6
    assert abs(change.mean()) < 0.09  # 4 deviations of the mean of 64


def test_turning_is_that_of_scikit_image():
    image, turn = smooth(), KEYS[0]
    degrees = float(jax.random.uniform(turn, minval=-1.0)) * 30

    ours = augment._window(jnp.asarray(image), turn, KEYS[1], Training(rotate=30))
    theirs = skimage.transform.rotate(image, degrees, order=1, mode="reflect")

    assert abs(degrees) > 5
    np.testing.assert_allclose(ours[8:24, 8:24], theirs[8:24, 8:24], atol=1e-4)


def test_cutting_enlarges_what_stays_and_shows_nothing_new():
    side = 64
    ramp = np.tile(np.arange(side, dtype=np.float32)[:, None, None], (1, side, 1))

    rows = of(ramp, crop=0.5)[:, :, side // 2, 0]

    inner = np.diff(rows[:, 4:-4], axis=1)
    assert (inner > 0.49).all()  # at most twice as large
    assert (inner < 1.01).all()  # never smaller
    assert inner.mean() == pytest.approx(0.75, abs=0.08)
    assert rows.min() >= 0
    assert rows.max() <= side - 1


@pytest.mark.parametrize("knobs", [{"rotate": 180}, {"crop": 0.9}, {"rotate": 45, "crop": 0.5}])
def test_values_stay_within_those_of_the_image(knobs):
    image = smooth()

    changed = of(image, **knobs)

    assert changed.min() >= image.min() - 1e-5
    assert changed.max() <= image.max() + 1e-5
