"""Noise as its sources describe it, and a network that repairs what a plain autoencoder copies."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.ndimage import label

import napari_anomaly as na
from napari_anomaly.core.methods.autoencoder import Network
from napari_anomaly.core.methods.denoising import RepairError
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed, to_plain
from napari_anomaly.core.nn.noise import around, coarsely, masked, noisy, spoilt, stained
from napari_anomaly.core.nn.steps import take_steps

KINDS = ["stain", "coarse", "gaussian", "mask"]
KEYS = jax.random.split(jax.random.key(7), 40)
GREY = jnp.full((64, 96, 1), 0.5)


def drawn(noise, image=GREY, keys=KEYS):
    """The image spoilt by each key, less the image."""
    return np.asarray(jax.jit(jax.vmap(partial(noise, image)))(keys) - image)


# -- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_is_spoilt_by_its_own_key_alone(kind):
    images = jnp.broadcast_to(GREY, (4, *GREY.shape))
    spoil = jax.jit(partial(spoilt, kind=kind, sigma=0.2))

    together = np.asarray(spoil(images, KEYS[:4]))
    swapped = np.asarray(spoil(images, KEYS[:4][::-1]))

    np.testing.assert_allclose(together, swapped[::-1], atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 0.05
    assert np.abs(together - images).max() > 0.05


def test_gaussian_noise_has_its_deviation_and_no_neighbours():
    noise = drawn(partial(noisy, sigma=0.3))

    assert noise.std() == pytest.approx(0.3, rel=0.02)
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.001


def test_coarse_noise_is_that_of_16_cells_a_side():
    """At the centres of cells it has its deviation; within a cell of 4 x 6 pixels neighbours are alike."""
    noise = drawn(partial(coarsely, sigma=0.2))
    height, width = 64 // 16, 96 // 16
    near, far = noise[:, 1:] - noise[:, :-1], noise[:, 3 * height :] - noise[:, : -3 * height]

    # bilinear: of a sum of two cells' halves .5, on average over places 2 / 3, along both axes
    assert noise.std() == pytest.approx(0.2 * 2 / 3, rel=0.1)
    assert near.std() < 0.5 * far.std()
    spectrum = np.abs(np.fft.fft(noise[..., 0], axis=2)).mean((0, 1))
    assert spectrum[: 96 // width].sum() > 3 * spectrum[96 // width : 48].sum()


def test_masks_hide_a_quarter_in_squares():
    hidden = drawn(masked) == -0.5

    assert hidden.mean() == pytest.approx(0.25, abs=0.03)
    side = 64 // 8
    # a border between hidden and shown: twice .25 * .75 of the rows at which squares may end
    changes = (hidden[:, 1:] != hidden[:, :-1]).mean()
    assert changes == pytest.approx(2 * 0.25 * 0.75 / side, rel=0.15)


def test_a_stain_is_one_grey_spot_of_its_published_size():
    white = jnp.zeros((128, 128, 1))
    stains = drawn(stained, white)[..., 0]
    greys = stains.max((1, 2))

    for stain, grey in zip(stains, greys, strict=True):
        inside = stain > 0.5 * grey
        _, pieces = label(inside)
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        assert pieces <= 2  # the thinnest may break between pixels
        # half axes of up to 12 % of 128 pixels, a tenth rougher
        assert max(np.ptp(rows), np.ptp(columns)) <= 2 * 1.1 * 0.12 * 128 + 1
    areas = np.array([(s > 0.5 * g).sum() for s, g in zip(stains, greys, strict=True)])
    expected = np.pi * (0.065 * 128) ** 2  # independent half axes of 1 to 12 %, 6.5 on average
    assert areas.mean() == pytest.approx(expected, rel=0.35)
    assert greys.min() < 0.3
    assert greys.max() > 0.7


def test_the_outline_is_scipys_periodic_spline():
    values = np.random.default_rng(0).uniform(-1, 1, 20)
    angles = np.linspace(-np.pi, 2 * np.pi, 50)
    knots = np.linspace(0, 2 * np.pi, 21)

    expected = CubicSpline(knots, np.append(values, values[0]), bc_type="periodic")(angles)

    found = around(jnp.float32(values), jnp.float32(angles)[None])
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


# -- the method -----------------------------------------------------------------------------------


def test_the_target_is_the_clean_image():
    class Given(Network):
        def __init__(self, made):
            self.made = made

        def __call__(self, images):
            return images if self.made is None else self.made

    images = jnp.stack([GREY, GREY + 0.25])

    assert np.all(RepairError("mask", 0.2)(Given(images), images, KEYS[:2]) == 0)
    loss = RepairError("gaussian", 0.2)(Given(None), images, KEYS[:2])
    np.testing.assert_allclose(loss, 0.04, rtol=0.1)  # a copy keeps the noise


def weave(seed, height=32, width=32):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = 128 + 60 * np.sin(x / 2) + 40 * np.sin(y / 3) + rng.normal(0, 4, (height, width))
    return np.clip(grey, 0, 255).astype(np.uint8)


TINY = {
    "widths": [16, 32, 32],
    "duration": 800,
    "batch": 8,
    "learning_rate": 3e-3,
    "size": [32, 32],
}


def fitted(method, **knobs):
    recipe = changed(RECIPES["denoising"], TINY | knobs)
    if method == "autoencoder":
        recipe = changed(recipe, {"method": to_plain(recipe.method.plain())})
    return na.fit([weave(k) for k in range(32)], recipe)


@pytest.fixture(scope="module")
def repaired():
    return {method: fitted(method) for method in ("denoising", "autoencoder")}


def test_a_stain_is_repaired_and_not_copied(repaired):
    """The same network, images, steps and intensities; the stain was drawn by hand, not by the training's noise."""
    clean = weave(50)
    spoilt = clean.copy()
    spoilt[12:17, 10:15] = 250

    def error(method):
        made = repaired[method].inspect(spoilt).reconstruction
        return np.abs(made - clean / 255)[12:17, 10:15].mean()

    assert error("denoising") < 0.7 * error("autoencoder")


def test_inspecting_spoils_nothing(repaired):
    made = repaired["denoising"].inspect(weave(51)).reconstruction
    assert np.abs(made - weave(51) / 255).mean() < 0.06


def test_equal_noise_compiles_once_and_other_noise_anew():
    few = {"duration": 2, "noise": "coarse"}
    fitted("denoising", **few)
    before = take_steps._cache_size()

    fitted("denoising", **few)
    assert take_steps._cache_size() == before

    fitted("denoising", **few, sigma=0.1)
    assert take_steps._cache_size() == before + 1
