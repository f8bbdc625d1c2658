"""What every method promises, shrunk to seconds; and the presets as their sources print them."""

from dataclasses import dataclass, fields, replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from napari_anomaly.core.detector import Detector, load
from napari_anomaly.core.fitting import fit_steps
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.preprocess import Colour, Equalise, Resize
from napari_anomaly.core.types import Inspection

COLOUR = {
    "linear-image",
    "autoencoder",
    "autoencoder-mvtec",
    "ssim-autoencoder-object",
    "f-anogan",
    "f-anogan-slides",
}
"""Trained on RGB here; the others on grey, so that both are trained."""

ADVERSARIAL = {"f-anogan", "vae-gan"}


SMALL_SSIM = {
    "halvings": 4,
    "latent": 16,
    "stride": 7,
    "duration": 60,
    "batch": 4,
    "learning_rate": 2e-3,
}


def tiny(name):
    """The recipe at 32 x 32 pixels with small networks and few steps; what it is made of stays."""
    recipe = RECIPES[name]
    steps = [
        replace(step, size=(32, 32)) if isinstance(step, Resize) else step
        for step in recipe.preprocess.steps
    ]
    knobs = {"preprocess.steps": steps}
    if recipe.method.name == "linear":
        return changed(recipe, knobs | {"scales": [1, 2]})
    if recipe.method.name in ADVERSARIAL:
        return tiny_adversaries(recipe, knobs)
    if recipe.method.name == "one-class-svm":
        return changed(recipe, knobs | {"components": 4})
    if recipe.method.name == "ssim-autoencoder":
        return changed(recipe, knobs | SMALL_SSIM | {"window": recipe.method.window and 16})
    knobs |= {"widths": [8, 8], "duration": 60, "unit": "steps", "batch": 4, "learning_rate": 5e-3}
    if recipe.method.latent is not None:
        knobs["latent"] = 4 if recipe.method.name == "dagmm" else 16
    return changed(recipe, knobs)


def tiny_adversaries(recipe, knobs):
    """They take turns, so that more steps are needed until an image is drawn."""
    steps = (
        1000 if recipe.method.blocks == "plain" else 300
    )  # residual blocks take longer, and learn faster
    turns = {"duration": steps, "unit": "steps", "batch": 4, "learning_rate": 4e-3, "average": 0.9}
    knobs |= {f"method.training.{name}": value for name, value in turns.items()}
    widths = [8, 8] if recipe.method.blocks == "plain" else [8, 8, 8]
    knobs |= {"widths": widths, "latent": 16}
    if recipe.method.name == "vae-gan":
        return changed(recipe, knobs | {"level": 1, "gamma": 0.1})
    encoding = {"duration": 60, "unit": "steps", "batch": 4, "learning_rate": 4e-3, "average": 0.8}
    return changed(recipe, knobs | {f"method.encoding.{one}": v for one, v in encoding.items()})


def weave(seed, channels, height=32, width=32):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = 128 + 60 * np.sin(x / 2) + 40 * np.sin(y / 3) + rng.normal(0, 4, (height, width))
    image = grey if channels == 1 else np.stack([grey, 0.8 * grey, 200 - 0.5 * grey], axis=-1)
    return np.clip(image, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Trained:
    name: str
    channels: int
    detector: Detector
    losses: list[float]


def run(recipe, channels, seed=0):
    """The detector, and the losses of the last training where there are several."""
    steps = fit_steps([weave(k, channels) for k in range(8)], recipe, seed=seed, calibration=0.5)
    losses = {}
    while True:
        try:
            now = next(steps)
        except StopIteration as end:
            return end.value, list(losses.values())[-1] if losses else []
        if now.loss is not None:
            losses.setdefault(now.stage, []).append(now.loss)


@pytest.fixture(scope="module", params=RECIPES)
def trained(request):
    channels = 3 if request.param in COLOUR else 1
    return Trained(request.param, channels, *run(tiny(request.param), channels))


def equal(one, other):
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Inspection)
    )


def test_few_images_are_learned_by_heart(trained):
    if not trained.losses:  # in closed form
        image = weave(0, trained.channels)
        made = trained.detector.inspect(image).reconstruction
        assert np.abs(made - image / 255).mean() < 0.05
    elif trained.detector.recipe.method.name in ADVERSARIAL:  # their losses rise and fall
        image = weave(0, trained.channels)
        made = trained.detector.inspect(image).reconstruction
        assert (
            np.abs(made - image / 255).mean()
            < 0.8 * np.abs(image / 255 - image.mean() / 255).mean()
        )
    else:
        assert len(trained.losses) == 60
        assert np.mean(trained.losses[-5:]) < 0.5 * trained.losses[0]


def test_the_seed_decides_every_number(trained):
    recipe = tiny(trained.name)
    image = weave(50, trained.channels)
    first = trained.detector.inspect(image)

    assert equal(run(recipe, trained.channels)[0].inspect(image), first)
    assert not equal(run(recipe, trained.channels, seed=1)[0].inspect(image), first)


def test_a_saved_detector_says_the_same_to_the_last_bit(trained, tmp_path):
    again = load(trained.detector.save(tmp_path / "a.anomaly"))

    assert again.recipe == trained.detector.recipe
    for image in (weave(60, trained.channels), weave(61, trained.channels, 45, 33)):
        assert equal(again.inspect(image), trained.detector.inspect(image))


def test_inspecting_is_not_random_and_other_images_change_nothing(trained):
    image = weave(70, trained.channels)
    alone = trained.detector.inspect(image)

    for other in (np.zeros((32, 32), np.uint8), weave(71, 3, 64, 64)):
        trained.detector.inspect(other)

    assert equal(trained.detector.inspect(image), alone)


@pytest.mark.parametrize("shape", [(32, 32), (45, 33), (20, 100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_everything_lies_on_the_images_own_grid(trained, shape, dtype):
    image = weave(
        80, 4 - trained.channels, *shape
    )  # grey where it was trained on colour, and the reverse
    image = (
        image / 255 if dtype == np.float64 else image.astype(dtype) * (np.iinfo(dtype).max // 255)
    )

    result = trained.detector.inspect(image)

    colours = (3,) if trained.channels == 3 else ()
    assert result.anomaly_map.shape == result.labels.shape == shape
    assert result.reconstruction.shape == (*shape, *colours)
    assert (result.anomaly_map.dtype, result.labels.dtype) == (np.float32, np.int32)
    assert np.isfinite(result.anomaly_map).all()
    assert np.isfinite(result.score)


def test_a_hole_is_stranger_than_a_normal_image(trained):
    image = weave(90, trained.channels)
    holed = image.copy()
    holed[10:18, 12:20] = 255 - holed[10:18, 12:20]

    normal, strange = trained.detector.inspect(image), trained.detector.inspect(holed)

    assert strange.score > normal.score
    if strange.localises:
        inside = strange.anomaly_map[10:18, 12:20].mean()
        assert inside > strange.anomaly_map[20:].mean()


# -- what belongs to one method -------------------------------------------------------------------


def test_the_own_latent_score_of_a_vae_is_its_kl_term():
    detector, _ = run(changed(tiny("vae"), {"score": "latent", "latent_score": "own"}), 1)
    image = weave(91, 1)

    assert detector.inspect(image).score == pytest.approx(kl_of(detector, image), rel=1e-3)


def kl_of(detector, image):
    """By the closed form, from what the network encodes."""
    learned = detector.recipe.preprocess
    pixels = (learned.apply(image)[0] - learned.normalise.mean[0]) / learned.normalise.std[0]
    network = nnx.merge(detector.fitted.graph, detector.fitted.weights)
    mean, log_variance = (np.float64(one) for one in network.encode(jnp.asarray(pixels[None])))
    return float((mean**2 + np.exp(log_variance) - 1 - log_variance).sum() / 2)


# -- presets as published -------------------------------------------------------------------------


def test_the_weld_preset():
    """256 x 256 x 1; histogram equalised, normalised; 4 x (convolution, max-pooling), 4 x transposed convolution."""
    recipe = RECIPES["autoencoder-weld"]

    resize, *rest = recipe.preprocess.steps
    assert resize.size == (256, 256)
    assert rest == [Colour(to="grey"), Equalise()]
    assert recipe.method.down == "pool"
    assert len(recipe.method.widths) == 4
    assert list(recipe.method.widths) == sorted(set(recipe.method.widths))  # channels grow
    assert recipe.method.latent is None


def test_the_mvtec_preset():
    """256 RGB; flips; mean .5, deviation .5; 300 epochs; batch 70; Adam 1e-3; latent 1024."""
    recipe = RECIPES["autoencoder-mvtec"]
    training = recipe.method.training

    colour, resize = recipe.preprocess.steps
    assert (colour, resize.size) == (Colour(to="rgb"), (256, 256))
    assert recipe.preprocess.normalise == Normalise(kind="fixed")
    assert (training.duration, training.unit, training.batch) == (300, "epochs", 70)
    assert (training.learning_rate, training.schedule, training.flip) == (1e-3, "constant", True)
    assert recipe.method.latent == 1024


def test_a_vae_is_a_vae_with_a_free_beta():
    assert RECIPES["vae"].method.beta == 1
    assert VAE(beta=0, latent=3).latent == 3
