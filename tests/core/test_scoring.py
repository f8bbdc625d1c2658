"""Many images are inspected as one is, in order; what is compiled is compiled once."""

import threading
from collections import Counter
from dataclasses import replace

import jax
import jax.monitoring
import numpy as np
import pytest
from flax import nnx
from scipy.ndimage import gaussian_filter

from napari_anomaly.core.detector import load
from napari_anomaly.core.errors import ImageError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods import fanogan, vaegan
from napari_anomaly.core.methods.knobs.fanogan import FAnoGAN
from napari_anomaly.core.methods.knobs.vaegan import VAEGAN
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.recipes import Recipe, Residual
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.nn.build import fresh, to_arrays
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.preprocess import Preprocessing
from napari_anomaly.core.scoring import TOGETHER, look
from napari_anomaly.core.threads import workers

SMALL = {
    "linear": {"patch": 4, "scales": (1, 2), "components": 3, "size": (32, 32)},
    "linear-image": {"components": 3, "size": (32, 32)},
    "autoencoder": {"widths": (4, 8), "duration": 3, "size": (32, 32)},
    "vae": {"widths": (4, 8), "latent": 5, "duration": 3, "size": (32, 32)},
    "dagmm": {"widths": (4, 8), "latent": 2, "duration": 3, "size": (32, 32), "score": "latent"},
    "one-class-svm": {"features": "hog", "cell": 8, "size": (32, 32)},
}


def texture(seed, shape=(32, 32)):
    noise = np.random.default_rng(seed).random(shape)
    return np.uint8(255 * np.clip(gaussian_filter(noise, 1) + 0.1 * noise, 0, 1))


IMAGES = [texture(seed) for seed in range(12)]


@pytest.fixture(scope="module", params=SMALL)
def detector(request):
    return fit(IMAGES, changed(RECIPES[request.param], SMALL[request.param]))


def same(one, other):
    """Whether all that two inspections say is equal, bit for bit."""
    return one.score == other.score and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("anomaly_map", "reconstruction", "labels")
    )


# -- many -----------------------------------------------------------------------------------------


def test_many_are_inspected_bit_for_bit_as_one_and_in_order(detector):
    images = [texture(seed, (24 + seed // 30, 40)) for seed in range(20, 34)]  # groups of 8, 2, 4

    alone = [detector.inspect(image) for image in images]
    together = list(detector.inspect_all(images))

    assert len({one.score for one in alone}) == len(images)
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


def test_an_image_that_cannot_be_used_is_told_by_its_number_after_those_before_it(detector):
    inspected = detector.inspect_all([*IMAGES[:3], np.zeros((2, 2)), *IMAGES[3:]])

    assert [next(inspected).score for _ in range(3)] == [
        detector.inspect(image).score for image in IMAGES[:3]
    ]
    with pytest.raises(ImageError, match=r"^image 3: found an image of 2 x 2 pixels"):
        next(inspected)


def test_endless_images_are_drawn_few_at_a_time_and_threads_end(detector):
    drawn = []
    before = threading.active_count()

    def endless():
        while True:
            drawn.append(len(drawn))
            yield IMAGES[0]

    inspected = detector.inspect_all(endless())
    for _ in range(3):
        next(inspected)
    inspected.close()

    assert len(drawn) <= 2 * workers() * TOGETHER + 1
    assert threading.active_count() == before


# -- one function ---------------------------------------------------------------------------------


def test_the_compiled_map_is_the_look_standardised_on_the_own_grid(detector):
    image = texture(50, (40, 36))
    shown = look(detector.recipe, detector.fitted, image)

    standardised = detector.standardisation.apply(shown.residuals)

    found = detector.inspect(image).anomaly_map
    assert found.shape == (40, 36)
    np.testing.assert_allclose(
        found, shown.undo(standardised[..., None])[..., 0], rtol=1e-4, atol=1e-4
    )


def test_what_is_found_may_be_written_to(detector):
    found = detector.inspect(IMAGES[0])

    for array in (found.anomaly_map, found.reconstruction, found.labels):
        assert array.flags.writeable


class Compiled:
    """Counts what XLA compiles, by function."""

    def __enter__(self):
        jax.clear_caches()
        self.names = Counter()
        jax.monitoring.register_event_duration_secs_listener(self._count)
        return self

    def _count(self, event, _, *, fun_name="?", **__):
        if event == "/jax/core/compile/backend_compile_duration":
            self.names[fun_name] += 1

    def since(self):
        """Return the names since the last call."""
        names, self.names = self.names, Counter()
        return dict(names)

    def __exit__(self, *_):
        jax.monitoring.unregister_event_duration_listener(self._count)


def test_a_first_map_compiles_one_function_and_later_ones_none(detector, tmp_path):
    path = detector.save(tmp_path / "one.anomaly")

    with Compiled() as compiled:
        loaded = load(path)
        assert compiled.since() == {}
        loaded.inspect(IMAGES[0])
        assert compiled.since() == {"jit(_scored)": 1}
        for shape in [(32, 32), (24, 40), (63, 31)]:
            loaded.inspect(texture(1, shape))
        load(path).inspect(IMAGES[1])  # another detector of one shape
        assert compiled.since() == {}
        list(replace(loaded).inspect_all(IMAGES))  # a loop around it, once for any number of images
        list(loaded.inspect_all(IMAGES[:11]))
        assert compiled.since() == {"jit(_one_by_one)": 1}


def test_a_fit_compiles_little_whatever_the_number_of_images():
    """Initial weights, a step, a look, and a dozen small ones: no second step for a last batch of another size."""
    knobs = {"widths": (4,), "size": (32, 32), "duration": 2, "unit": "epochs", "batch": 4}
    recipe = changed(RECIPES["autoencoder"], knobs)

    counts = []
    for number in (12, 15):  # 9 and 11 to train with: batches of 4 leave 1 and 3 over
        with Compiled() as compiled:
            fit((IMAGES * 2)[:number], recipe)
            counts.append(sum(compiled.since().values()))

    assert counts[0] == counts[1] <= 25


# -- features -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f-anogan", "vae-gan"])
@pytest.mark.parametrize(("kind", "channels"), [("absolute", 3), ("squared", 1), ("ncc", 3)])
def test_features_are_compared_as_they_are(name, kind, channels):
    """The mean over the channels of |a - b|, or of its square, whatever moved and scaled the intensities."""
    method = replace(RECIPES[name].method, widths=(4, 8), latent=3, feature_level=1)
    judge = {FAnoGAN: fanogan, VAEGAN: vaegan}[type(method)]
    method = method if judge is fanogan else replace(method, level=2)
    network = fresh(judge.Network, method, (16, 16, channels), 0)
    weights = nnx.state(network, nnx.Param)
    extra = {"start": np.zeros(3, np.float32)} if judge is fanogan else {}
    fitted = judge.restore(method, to_arrays(weights, (16, 16, channels)) | extra)
    learned = Normalise(
        "normalise", "range", (0.1, 0.2, 0.3)[:channels], (0.5, 0.6, 0.8)[:channels]
    )
    recipe = Recipe(
        method, Preprocessing((), learned), Residual(kind=kind, colour="grey", smooth=0.0)
    )
    image = np.random.default_rng(3).random((16, 16, channels), np.float32)

    residuals = look(recipe, fitted, image).residuals

    mean, std = learned.moments()
    pair = jax.jit(fitted.pairs)((image[None] - mean) / std)[1]
    apart = np.abs(np.float64(pair.image) - np.float64(pair.reconstruction))[0]
    by_hand = (apart**2 if kind == "squared" else apart).mean(-1)
    assert (residuals.shape, apart.shape) == ((2, 16, 16), (8, 8, 4))
    np.testing.assert_allclose(residuals[1].mean(), by_hand.mean(), rtol=1e-3)
