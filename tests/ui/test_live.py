"""What is seen of a training while it runs is true, thin, and changes nothing."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from superqt.utils import WorkerBase

import napari_anomaly.core.fitting as core
from napari_anomaly.core.errors import ImageError
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.preprocess import Preprocessing, Resize
from napari_anomaly.core.types import Progress, Running
from napari_anomaly.ui.losses import Losses
from napari_anomaly.ui.normals import LayerNormals
from napari_anomaly.ui.watching import pictured, side_by_side
from napari_anomaly.ui.widgets.live import RECONSTRUCTIONS
from napari_anomaly.ui.widgets.train import TrainWidget

SECONDS = 60_000
NORMALS = (np.random.default_rng(0).random((8, 16, 16)) * 255).astype(np.uint8)
TINY = replace(
    RECIPES["autoencoder"],
    method=Autoencoder(widths=(4,), latent=4, training=Training(duration=6, batch=2)),
    preprocess=Preprocessing((Resize(size=(16, 16)),)),
)


def ended(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


def test_a_long_curve_is_thinned_to_means():
    losses = Losses()
    for step in range(1, 4001):
        losses.add(Progress("training", step, 4000, float(step)))
    losses.add(Progress("calibrating", 1, 2, 5.0))
    steps, means = losses.curves()["training"]
    assert list(losses.curves()) == ["training"]
    assert 500 <= len(steps) < 1000
    assert np.array_equal(steps, means)
    assert steps[0] == 4.5  # the first eight steps
    assert losses.count == 4000


def test_pictures_come_only_when_somebody_looks():
    asked, looks = [], [False, True, True]

    def rebuild(image):
        asked.append(image)
        return np.stack([np.full((2, 3, 1), image, np.float32), np.zeros((2, 3, 1), np.float32)])

    def steps():
        for k in range(3):
            yield Progress("training", k, 3, running=Running(lambda: None, rebuild=rebuild))

    _, seen = ended(pictured(steps(), lambda: [0.25, 0.5], lambda: looks.pop(0)))
    assert [one.picture is None for one in seen] == [True, False, True]  # no sooner than a second
    assert asked == [0.25, 0.5]
    assert seen[1].picture[..., 0].tolist() == [[0.25] * 3 + [0.5] * 3] * 2 + [[0] * 6] * 2


def test_an_image_that_cannot_be_used_is_left_out():
    def rebuild(image):
        raise ImageError("too small")

    running = Running(lambda: None, rebuild=rebuild)
    _, seen = ended(
        pictured(iter_of(Progress("training", 1, 1, running=running)), lambda: [1], lambda: True)
    )
    assert seen[0].picture is None


def iter_of(*reports):
    yield from reports


def test_pairs_of_another_shape_do_not_fit_a_picture():
    small, large = np.zeros((2, 2, 2, 1)), np.zeros((2, 3, 3, 1))
    assert side_by_side([small, large, small]).shape == (4, 4, 1)


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_looking_at_a_training_changes_no_bit(name):
    steps = Preprocessing((Resize(size=(16, 16)),), RECIPES[name].preprocess.normalise)
    recipe = replace(TINY, method=_tiny(RECIPES[name].method), preprocess=steps)
    plain, _ = ended(core.fit_steps(list(NORMALS), recipe))
    looked, seen = ended(
        pictured(core.fit_steps(list(NORMALS), recipe), lambda: NORMALS[:2], lambda: True)
    )
    picture = next(one.picture for one in seen if one.picture is not None)
    assert picture.shape == (32, 32, 1)
    assert np.allclose(picture[:16, :16, 0], NORMALS[0] / 255, atol=1e-6)
    for one, other in zip(
        plain.fitted.arrays().values(), looked.fitted.arrays().values(), strict=True
    ):
        assert np.array_equal(one, other)
    assert np.array_equal(plain.calibration.scores, looked.calibration.scores)


def _tiny(method):
    small = {"training": Training(duration=6, batch=2), "latent": 4}
    if hasattr(method, "window"):
        return replace(method, window=None, halvings=4, **small)
    return replace(method, widths=(4,), **small)


def test_the_last_look_is_what_the_detector_shows():
    steps, seen = core.fit_steps(list(NORMALS), TINY), []
    while True:
        try:
            now = next(steps)
        except StopIteration as end:
            detector = end.value
            break
        if now.running is not None and now.step == now.total:
            seen.append(now.running.rebuild(NORMALS[0]))
    assert np.allclose(seen[0][1, ..., 0], detector.inspect(NORMALS[0]).reconstruction, atol=1e-6)


def test_the_slice_on_screen_is_looked_at_first_and_no_defect():
    layer = ViewerModel().add_image(
        NORMALS, metadata={"defect": ["crack", "good", "good", *["good"] * 5]}
    )
    assert [one[0, 0] for one in LayerNormals.of(layer, 3).some()] == [
        NORMALS[k, 0, 0] for k in (3, 1, 2, 4)
    ]
    assert LayerNormals.of(layer, 0).some()[0][0, 0] == NORMALS[1, 0, 0]


@pytest.fixture
def train(qtbot):
    viewer = ViewerModel()
    layer = viewer.add_image(NORMALS, name="normals")
    widget = TrainWidget(viewer)
    qtbot.addWidget(widget)
    widget.reset_choices()
    widget.source.choose(layer)
    yield widget
    widget.panel.cancel()
    WorkerBase.await_workers(SECONDS)


def slowly(monkeypatch, total, result=None):
    """A training that ends when it is told to."""
    enough = []

    def steps(*arguments, **choices):
        running = Running(lambda: enough.append(1), rebuild=lambda image: np.ones((2, 4, 4, 1)))
        for step in range(1, total):
            yield Progress("training", step, total, 1 / step, running=running)
            if enough:
                break
            threading.Event().wait(0.002)  # a step leaves the window its share of the interpreter
        return result

    monkeypatch.setattr(core, "fit_steps", steps)


def test_loss_and_reconstructions_are_shown(train, qtbot, monkeypatch):
    slowly(monkeypatch, 300)
    train.panel.press()
    qtbot.waitUntil(lambda: not train.panel.running, timeout=SECONDS)
    (curve,) = train.live.plot.axes.lines
    assert np.allclose(curve.get_ydata(), 1 / np.arange(1, 300))
    assert train._viewer.layers[RECONSTRUCTIONS].data.shape == (8, 16)
    assert train.live.keep.isHidden()
    train.live.log.setChecked(True)
    assert train.live.plot.axes.get_yscale() == "log"


def test_stop_and_keep_makes_a_detector(train, qtbot, monkeypatch):
    detector = core.fit(list(NORMALS), TINY)
    slowly(monkeypatch, 10**9, detector)
    train.panel.press()
    qtbot.waitUntil(lambda: not train.live.keep.isHidden(), timeout=SECONDS)
    train.live.keep.click()
    qtbot.waitUntil(lambda: not train.panel.running, timeout=SECONDS)
    assert train.session.detector is detector


def test_pause_holds_the_bar_and_cancel_works_while_paused(train, qtbot, monkeypatch):
    slowly(monkeypatch, 10**9)
    train.panel.press()
    qtbot.waitUntil(lambda: "loss" in train.panel.state.text(), timeout=SECONDS)
    train.panel.pause.click()
    assert not train.panel.pause.isEnabled()
    qtbot.waitUntil(lambda: train.panel.pause.text() == "Resume", timeout=SECONDS)
    assert train.panel.time.text().startswith("paused after")
    train.panel.pause.click()
    qtbot.waitUntil(lambda: train.panel.pause.text() == "Pause", timeout=SECONDS)
    train.panel.pause.click()
    qtbot.waitUntil(lambda: train.panel.pause.text() == "Resume", timeout=SECONDS)
    train.panel.button.click()
    assert not train.panel.running
    assert train.panel.pause.isHidden()
