"""Where the object is: aligned, turned, with a shadow, at the border; and that textures fill the frame."""

import numpy as np
import pytest
from scipy import ndimage

from napari_anomaly.core.data.defects.foreground import foreground_of, has_background
from napari_anomaly.core.data.synthetic import fabric, plate


def ground(seed, shape, level=0.85, tilt=0.05):
    """Draw a plain background: light that falls off to one side, and noise."""
    rng = np.random.default_rng(seed)
    y, x = (np.linspace(-1, 1, side) for side in shape)
    light = level + tilt * rng.uniform(-1, 1) * y[:, None] + tilt * rng.uniform(-1, 1) * x
    return light[..., None] + rng.normal(0, 0.008, (*shape, 1))


def bar(shape, angle, centre=None):
    """Tell where a bar of 0.7 x 0.2 of the shorter side lies."""
    y, x = np.indices(shape)
    cy, cx = centre or (shape[0] / 2, shape[1] / 2)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    side = min(shape)
    return (np.abs(along) < 0.35 * side) & (np.abs(across) < 0.1 * side)


def pictured(seed, there, *, shadow=0.0, colour=(1.0,)):
    """Picture a textured thing on the ground, with a soft shadow around."""
    rng = np.random.default_rng((seed, 1))
    below = ground(seed, there.shape)
    below = below - shadow * ndimage.gaussian_filter(there.astype(float), 8)[..., None]
    surface = 0.4 + 0.15 * ndimage.gaussian_filter(rng.standard_normal(there.shape), 1.5)
    image = np.where(there[..., None], surface[..., None], below) * np.array(colour)
    return np.clip(image, 0, 1).astype(np.float32)


def within(pixels, found, there):
    """Tell whether two outlines keep within so many pixels of each other."""
    grown = [ndimage.binary_dilation(mask, iterations=pixels) for mask in (found, there)]
    return not (found & ~grown[1]).any() and not (there & ~grown[0]).any()


@pytest.mark.parametrize("shape", [(64, 64), (128, 96), (300, 300), (700, 530)])
def test_a_turned_object(shape):
    pieces = [bar(shape, angle) for angle in np.linspace(0, np.pi, 6, endpoint=False)]
    images = [pictured(k, there, colour=(1, 0.9, 0.8)) for k, there in enumerate(pieces)]
    assert has_background(images)
    for image, there in zip(images, pieces, strict=True):
        found = foreground_of(image)
        assert found.shape == shape
        assert within(max(2, max(shape) // 100), found, there)


def test_a_shadow_is_no_part_of_it():
    pieces = [bar((200, 200), angle) for angle in (0.2, 1.0, 2.0)]
    images = [pictured(k, there, shadow=0.25) for k, there in enumerate(pieces)]
    assert has_background(images)
    for image, there in zip(images, pieces, strict=True):
        assert within(2, foreground_of(image), there)


def test_highlights_belong_to_an_aligned_object_and_its_hole_does_not():
    y, x = np.indices((128, 128))
    far, glint = np.hypot(y - 64, x - 64), np.hypot(y - 40, x - 90) < 5
    washer = (far < 55) & (far > 20)
    images = [pictured(k, washer & ~glint) for k in range(4)]
    assert has_background(images)
    assert all(within(2, foreground_of(image), washer) for image in images)


def test_an_object_may_touch_the_border_in_some_images():
    pieces = [bar((128, 128), k, centre=(64, 64 + 20 * (k % 3))) for k in range(6)]
    images = [pictured(k, there) for k, there in enumerate(pieces)]
    assert sum(there[:, -1].any() for there in pieces) == 2  # of 6
    assert has_background(images)
    for image, there in zip(images, pieces, strict=True):
        assert within(2, foreground_of(image), there)


def noise(seed):
    return np.random.default_rng(seed).normal(0.5, 0.1, (96, 96, 1))


def flecks(seed):
    """Draw a stone: smooth ground with dark dots, some of them at the border."""
    dots = ndimage.binary_dilation(np.random.default_rng(seed).random((96, 96)) > 0.995)
    return ground(seed, (96, 96)) - 0.4 * dots[..., None]


def vignetted(seed):
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    return ground(seed, (96, 96), level=0.7) - 0.25 * (y**2 + x**2)[..., None]


FILLED = {
    "noise": noise,
    "flecks": flecks,
    "light from the middle": vignetted,
    "nothing at all": lambda seed: np.full((32, 32, 3), 0.5),
    "cloth": lambda seed: fabric(seed, (128, 128))[..., None] / 255,
    "a seam across": lambda seed: plate(seed, (128, 128)) / 255,
}


@pytest.mark.parametrize("name", FILLED)
def test_textures_fill_the_frame(name):
    images = [np.clip(FILLED[name](k), 0, 1).astype(np.float32) for k in range(8)]
    assert not has_background(images)


def test_where_no_object_stands_out_it_is_everywhere():
    empty = np.clip(ground(0, (64, 64)), 0, 1).astype(np.float32)
    assert foreground_of(empty).all()
