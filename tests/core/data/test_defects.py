"""Planted defects: laws that hold for every kind, on grey and colour, small and oblong images."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from napari_anomaly.core.data.defects.kinds import KINDS
from napari_anomaly.core.data.defects.masks import blot, box, cloud, ribbon, side_of
from napari_anomaly.core.data.defects.noise import noise_of
from napari_anomaly.core.data.defects.perlin import perlin
from napari_anomaly.core.data.defects.planting import (
    TOLERANCE,
    Planting,
    Stock,
    plant,
    stock_of,
)
from napari_anomaly.core.errors import DataError, ImageError

SHAPES = {"colour": (64, 64, 3), "grey": (64, 64, 1), "oblong": (48, 130, 3), "small": (16, 16, 3)}
CASES = [(kind, name) for name in SHAPES for kind in KINDS if (kind, name) != ("colour", "grey")]


def cloth(seed, shape):
    """Draw soft random texture with a little noise."""
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(rng.standard_normal(shape), (1.5, 1.5, 0))
    noise = rng.normal(0, 0.004, shape)
    return np.clip(0.5 + 0.12 * soft / soft.std() + noise, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def stocks():
    return {name: stock_of([cloth(k, shape) for k in range(4)]) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def examples(stocks):
    """Three images of each kind and shape, drawn once."""
    return cache(lambda kind, name: [planted(kind, name, stocks, seed) for seed in range(3)])


def planted(kind, name, stocks, seed=0, **settings):
    image = cloth(100 + seed, SHAPES[name])
    settings = Planting(kinds=(kind,), **settings)
    return image, plant(image, np.random.default_rng(seed), stocks[name], settings)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_mask_is_exactly_what_a_screen_shows_as_changed(kind, name, examples):
    for image, one in examples(kind, name):
        assert one.kind == kind
        assert (one.image.dtype, one.image.shape) == (np.float32, image.shape)
        assert one.image.min() >= 0
        assert one.image.max() <= 1
        change = np.abs(one.image - image).max(axis=2)
        assert change[~one.mask].max(initial=0) == 0
        assert change[one.mask].min() > TOLERANCE
        as_file = np.round(255 * one.image) != np.round(255 * image)
        np.testing.assert_array_equal(as_file.any(axis=2), one.mask)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_sizes_keep_their_bounds_and_changes_their_strength(kind, name, stocks, examples):
    for image, one in examples(kind, name):
        longest = max(np.ptp(np.nonzero(one.mask), axis=1) + 1)
        assert 3 <= longest <= max(3, 0.25 * min(image.shape[:2]))
        strength = np.sqrt(np.mean(np.abs(one.image - image).max(axis=2)[one.mask] ** 2))
        assert strength >= (0.5 if kind == "blur" else 2) * stocks[name].noise


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_planted_off_the_object(kind, stocks):
    image = cloth(7, SHAPES["colour"])
    there = np.zeros((64, 64), bool)
    there[20:50, 10:34] = True
    settings = Planting(kinds=(kind,))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        mask = plant(image, rng, stocks["colour"], settings, foreground=there).mask
        assert mask.any()
        assert not (mask & ~there).any()


def test_defects_lie_anywhere_if_wanted():
    """A disc on grey ground: kept to the disc by default, on the ground as well without."""
    y, x = np.mgrid[:64, :64]
    disc = np.hypot(y - 32, x - 32) < 14
    image = np.where(disc[..., None], cloth(0, (64, 64, 1)), np.float32(0.95))
    stock = stock_of([image] * 3)
    assert stock.background

    def on_ground(settings):
        masks = [plant(image, np.random.default_rng(k), stock, settings).mask for k in range(12)]
        return [bool((mask & ~ndimage.binary_dilation(disc, iterations=2)).any()) for mask in masks]

    settings = Planting(kinds=("speck", "brightness"))
    assert not any(on_ground(settings))
    assert sum(on_ground(replace(settings, on_object=False))) > 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_defect_in_any_thread(kind, stocks):
    def one(seed):
        return planted(kind, "colour", stocks, seed)[1]

    with ThreadPoolExecutor(4) as pool:
        both = list(pool.map(one, [0, 1, 2, 0, 1, 2]))
    for k in range(3):
        np.testing.assert_array_equal(both[k].image, both[k + 3].image)
        np.testing.assert_array_equal(both[k].mask, both[k + 3].mask)
    assert len({each.mask.tobytes() for each in both}) == 3


def test_the_image_is_left_alone(stocks):
    image = cloth(0, SHAPES["colour"])
    before = image.copy()
    plant(image, np.random.default_rng(0), stocks["colour"])
    np.testing.assert_array_equal(image, before)


def test_contrast_is_the_root_mean_square_over_the_defect(stocks):
    strengths = []
    for seed in range(20):
        image, one = planted("brightness", "colour", stocks, seed, contrast=(0.1, 0.1), smallest=8)
        strengths.append(np.sqrt(np.mean((one.image - image)[one.mask] ** 2)))
    assert np.median(strengths) == pytest.approx(0.1, rel=0.15)


def test_noise_sets_the_faintest_contrast(stocks):
    noisy = replace(stocks["colour"], noise=0.05)
    for seed in range(8):
        image = cloth(seed, SHAPES["colour"])
        settings = Planting(kinds=("stain", "scar", "twist"), contrast=(0, 0.01))
        one = plant(image, np.random.default_rng(seed), noisy, settings)
        assert np.sqrt(np.mean(np.abs(one.image - image).max(axis=2)[one.mask] ** 2)) >= 0.1


@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_noise_is_measured_beside_shading_and_edges(sigma):
    y, x = np.mgrid[:128, :128]
    image = 0.3 + 0.3 * (x > 60) + 0.1 * np.sin(y / 9)
    noisy = image + np.random.default_rng(0).normal(0, sigma, image.shape)
    assert noise_of(noisy[..., None]) == pytest.approx(sigma, rel=0.05)


def test_perlin_noise_is_that_of_a_loop_over_pixels():
    """Written out for single pixels from Perlin 2002, with the same slopes."""
    found = perlin((12, 20), (3, 4), np.random.default_rng(5))
    bearing = np.random.default_rng(5).uniform(0, 2 * np.pi, (4, 5))
    for py, px in [(0, 0), (4, 5), (1, 2), (7, 13), (11, 19)]:
        y, x = py * 3 / 12, px * 4 / 20
        total = 0.0
        for cy in (int(y), int(y) + 1):
            for cx in (int(x), int(x) + 1):
                dy, dx = y - cy, x - cx
                fade = np.prod([1 - abs(d) ** 3 * (6 * d * d - 15 * abs(d) + 10) for d in (dy, dx)])
                total += fade * (np.sin(bearing[cy, cx]) * dy + np.cos(bearing[cy, cx]) * dx)
        assert found[py, px] == pytest.approx(np.sqrt(2) * total, abs=1e-5)
    assert found[::4, ::5] == pytest.approx(0, abs=1e-6)


SHAPES_OF_MASKS = {
    "blot": blot,
    "box": box,
    "cloud": cloud,
    "ribbon": lambda size, rng: ribbon(size, 1.5, rng),
}


@pytest.mark.parametrize("shape", SHAPES_OF_MASKS)
@pytest.mark.parametrize("size", [3.0, 4.4, 17.0, 50.5])
def test_shapes_fit_their_size_with_a_free_margin(shape, size):
    for seed in range(5):
        cover = SHAPES_OF_MASKS[shape](size, np.random.default_rng(seed))
        assert cover.shape == (side_of(size), side_of(size))
        assert 0 <= cover.min() < cover.max() <= 1
        sides = np.ptp(np.nonzero(cover), axis=1) + 1
        assert 0.2 * size < max(sides) <= size
        assert not np.concatenate([cover[0], cover[-1], cover[:, 0], cover[:, -1]]).any()


ERRORS = {
    "unknown kind": ({"kinds": ("scrach",)}, "found kinds of defect scrach; expected one or more"),
    "no kind": ({"kinds": ()}, r"found kinds of defect \(none\)"),
    "no size": ({"smallest": 0}, "found sizes from 0 px"),
    "too large": ({"largest": 1.5}, "1.5 of the image; expected .* at most 0.9"),
    "contrast backwards": ({"contrast": (0.5, 0.1)}, r"found contrast \(0.5, 0.1\); expected"),
}


@pytest.mark.parametrize(("settings", "words"), ERRORS.values(), ids=ERRORS)
def test_impossible_settings(settings, words):
    with pytest.raises(DataError, match=words):
        Planting(**settings)


def test_what_cannot_be_planted_is_said():
    flat = np.full((32, 32, 1), 0.5, np.float32)
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="none of blur could be told from the noise"):
        plant(flat, rng, Stock(), Planting(kinds=("blur",)))
    with pytest.raises(ImageError, match=r"shape \(32, 32, 4\), float32; expected floats"):
        plant(np.repeat(flat, 4, axis=2), rng)
    with pytest.raises(DataError, match="a grey image and the kind colour alone"):
        plant(flat, rng, Stock(), Planting(kinds=("colour",)))
    with pytest.raises(DataError, match="32 x 32 pixels; expected at least 45 a side"):
        plant(flat, rng, Stock(), Planting(smallest=40))
    with pytest.raises(DataError, match="no normal images"):
        stock_of([])
    with pytest.raises(DataError, match="no place for a defect"):
        plant(flat, rng, Stock(), foreground=np.zeros((32, 32), bool))
