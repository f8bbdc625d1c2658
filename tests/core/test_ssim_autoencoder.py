"""The published layers, a loss that is scikit-image's, crops, sliding windows, and what squared error misses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from skimage.metrics import structural_similarity

import napari_anomaly as na
from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.methods.ssim_autoencoder import Network, cut, slid, structural_loss
from napari_anomaly.core.nn.steps import optimiser_of, take_steps

TEXTURE, OBJECT = (RECIPES[name] for name in ("ssim-autoencoder", "ssim-autoencoder-object"))


def rng(seed):
    return np.random.default_rng(seed)


# -- as published ---------------------------------------------------------------------------------


def shapes_of(knobs, window):
    """Kernels from input to code and from code to output."""
    network = nnx.eval_shape(lambda: Network(knobs, window, rngs=nnx.Rngs(0)))
    return (
        [layer.kernel.shape for layer in network.down],
        (network.encode.kernel.shape, network.decode.kernel.shape),
        [layer.kernel.shape for layer in network.up],
    )


def test_the_layers_are_those_of_table_1():
    down, code, up = shapes_of(TEXTURE.method, (128, 128, 1))

    assert down == [
        (4, 4, 1, 32), (4, 4, 32, 32), (3, 3, 32, 32), (4, 4, 32, 64), (3, 3, 64, 64),
        (4, 4, 64, 128), (3, 3, 128, 64), (3, 3, 64, 32),
    ]  # fmt: skip
    assert code == ((8 * 8 * 32, 100), (100, 8 * 8 * 32))
    assert up == [
        (3, 3, 32, 64), (3, 3, 64, 128), (4, 4, 128, 64), (3, 3, 64, 64), (4, 4, 64, 32),
        (3, 3, 32, 32), (4, 4, 32, 32), (4, 4, 32, 1),
    ]  # fmt: skip


def test_objects_have_one_more_halving_and_a_latent_of_500():
    down, code, up = shapes_of(OBJECT.method, (256, 256, 3))

    assert down[:2] == [(4, 4, 3, 32), (4, 4, 32, 32)]
    assert len(down) == len(up) == 9
    assert code[0] == (8 * 8 * 32, 500)


def test_the_presets():
    """256 pixels a side, crops of 128, a stride of 30, weight decay 1e-5; intensities stay in [0, 1]."""
    method = TEXTURE.method

    assert (method.window, method.stride, method.training.weight_decay) == (128, 30, 1e-5)
    assert OBJECT.method.window is None
    for recipe in (TEXTURE, OBJECT):
        assert recipe.preprocess.steps[1].size == (256, 256)
        assert recipe.preprocess.normalise.kind == "none"
        assert recipe.residual.kind == "ssim"


def test_the_published_training_can_be_set():
    words = {"duration": "15625", "batch": "128", "learning_rate": "2e-4", "clip": None}
    training = changed(TEXTURE, words | {"schedule": "constant", "average": "0"}).method.training

    assert training.duration * training.batch == 200 * 10_000
    assert (training.learning_rate, training.clip) == (2e-4, None)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"window": 64}, "images of 32 x 32 pixels and windows of 64; expected windows no larger"),
        ({"window": 24}, "windows of 24 pixels; 4 halvings need a multiple of 16. Set window or"),
    ],
)
def test_windows_that_do_not_fit_are_told(knobs, words):
    images = [rng(k).integers(0, 255, (32, 32), np.uint8) for k in range(4)]

    with pytest.raises(RecipeError, match=words):
        na.fit(images, changed(TEXTURE, {"size": [32, 32]} | knobs))


# -- loss and optimiser ---------------------------------------------------------------------------


class Given(Network):
    """Makes of any image what it is given."""

    def __init__(self, made):
        self.made = made
        self.window = made.shape[1:3]

    def __call__(self, images):
        return self.made


def test_the_loss_is_that_of_scikit_image():
    images = rng(0).random((2, 40, 33, 3), np.float32)
    made = np.clip(images + rng(1).normal(0, 0.2, images.shape), 0, 1).astype(np.float32)

    loss = structural_loss(
        Given(jnp.asarray(made)), jnp.asarray(images), jax.random.split(jax.random.key(0), 2)
    )

    for image, one, found in zip(images, made, loss, strict=True):
        _, full = structural_similarity(
            np.float64(image), np.float64(one), channel_axis=-1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, data_range=1.0, full=True,
        )  # fmt: skip
        assert found == pytest.approx(1 - full.mean(), abs=2e-5)


def test_weight_decay_is_a_gradient_that_adam_scales():
    """Without any other gradient, Adam's first step is the whole learning rate, towards zero."""
    knobs = Training(weight_decay=1e-5, learning_rate=0.1, schedule="constant", clip=None)
    weights, none = jnp.array([2.0, -3.0, 0.0]), jnp.zeros(3)

    moved = {
        decay: optimiser.update(none, optimiser.init(weights), weights)[0]
        for decay in (1e-5, 0.0)
        for optimiser in [optimiser_of(Training(**(vars(knobs) | {"weight_decay": decay})), 10)]
    }

    np.testing.assert_allclose(moved[1e-5], [-0.1, 0.1, 0], rtol=1e-2)
    np.testing.assert_array_equal(moved[0.0], 0)


# -- crops and windows ----------------------------------------------------------------------------


def test_crops_are_pieces_of_the_image_from_everywhere():
    image = jnp.arange(5 * 7, dtype=jnp.float32).reshape(5, 7, 1)
    keys = jax.random.split(jax.random.key(0), 300)

    crops = np.asarray(jax.jit(jax.vmap(partial(cut, image, shape=(3, 4))))(keys))[..., 0]

    corners = crops[:, 0, 0]
    assert set(corners) == {7 * y + x for y in range(3) for x in range(4)}
    expected = corners[:, None, None] + 7 * np.arange(3)[:, None] + np.arange(4)
    np.testing.assert_array_equal(crops, expected)


def test_a_crop_of_the_whole_image_is_the_image():
    image = jnp.ones((4, 6, 1))
    assert cut(image, jax.random.key(0), shape=(4, 6)) is image


@pytest.mark.parametrize("stride", [1, 3, 5, 8, 100])
def test_overlapping_windows_are_averaged(stride):
    """A network that returns each window's mean; NumPy adds them up window by window."""
    images = rng(2).random((2, 20, 13, 1), np.float32)

    found = slid(
        lambda x: jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape),
        jnp.asarray(images),
        (8, 8),
        stride,
    )

    total, count = np.zeros_like(images), np.zeros_like(images)
    for y in sorted({*range(0, 12, stride), 12}):
        for x in sorted({*range(0, 5, stride), 5}):
            here = np.s_[:, y : y + 8, x : x + 8]
            total[here] += images[here].mean((1, 2), keepdims=True)
            count[here] += 1
    seen = count > 0  # strides beyond the window leave gaps
    np.testing.assert_allclose(
        np.asarray(found)[seen], (total / np.maximum(count, 1))[seen], atol=1e-6
    )


# -- the method -----------------------------------------------------------------------------------


def faint(seed, erased=False):
    """Strong stripes with noise, and beside them a faint weave without, that may be erased."""
    y, x = np.mgrid[:32, :32]
    strong = 0.35 * np.sign(np.sin(y)) + rng(seed).normal(0, 0.05, (32, 32))
    weave = 0.08 * np.sin(x * 1.6) * np.sin(y * 1.6)
    if erased:
        weave[10:22, 18:30] = 0
    grey = 0.5 + np.where(x < 16, strong, weave)
    return np.round(255 * grey).astype(np.uint8)


def test_faint_structure_that_is_missing_is_found_where_squared_error_sees_nothing():
    """Of one training each. An erased weave differs by less than the stripes' noise, but in structure."""
    common = {"size": [32, 32], "batch": 8, "learning_rate": 2e-3, "standardise": "none"}
    ours = changed(OBJECT, common | {"halvings": 4, "latent": 16, "duration": 200})
    plain = changed(RECIPES["autoencoder"], common | {"latent": 16, "duration": 200, "smooth": 0})
    images = [faint(k) for k in range(16)]

    def stands_out(recipe):
        """How much stranger the erased square is than any other place."""
        anomaly_map = na.fit(images, recipe).inspect(faint(50, erased=True)).anomaly_map
        inside = np.zeros_like(anomaly_map, bool)
        inside[12:20, 20:28] = True
        around = np.ones_like(inside)
        around[5:27, 13:32] = False
        return np.median(anomaly_map[inside]) / np.percentile(anomaly_map[around], 90)

    assert stands_out(ours) > 1.5
    assert stands_out(plain) < 1


def test_trainings_of_a_shape_compile_once():
    few = changed(
        TEXTURE,
        {"size": [32, 32], "window": 16, "latent": 4, "stride": 8, "duration": 2, "batch": 2},
    )
    images = [faint(k) for k in range(4)]
    na.fit(images, few, seed=0)
    before = take_steps._cache_size()

    na.fit(images, few, seed=1)

    assert take_steps._cache_size() == before
