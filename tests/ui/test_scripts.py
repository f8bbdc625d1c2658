"""What "Copy as script" copies does again what the pages did, bit for bit."""

from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication, QPushButton
from superqt.utils import WorkerBase

import napari_anomaly as na
import napari_anomaly.ui.widgets.inspect as inspect_module
from napari_anomaly.core.errors import DataError
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed, to_plain
from napari_anomaly.ui.scripts import Action, inspected, loaded, text_of, trained
from napari_anomaly.ui.widgets.copying import CopyButton
from napari_anomaly.ui.widgets.inspect import InspectWidget
from napari_anomaly.ui.widgets.train import TrainWidget

SECONDS = 60_000


@pytest.fixture(scope="module")
def normals():
    rng = np.random.default_rng(0)
    y, x = np.indices((40, 48))
    wave = 120 + 60 * np.sin(y * 0.7) * np.sin(x * 0.7)
    return np.stack([np.uint8(wave + rng.normal(0, 4, wave.shape)) for _ in range(16)])


@pytest.fixture
def viewer(normals):
    viewer = ViewerModel()
    viewer.add_image(normals, name='bob\'s "good" \\ parts')
    return viewer


def run(text, viewer=None):
    names = {} if viewer is None else {"viewer": viewer}
    exec(compile(text, "copied", "exec"), names)
    return names


def same(detector, other):
    arrays, others = detector.fitted.arrays(), other.fitted.arrays()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name])
    np.testing.assert_array_equal(detector.calibration.scores, other.calibration.scores)
    assert detector.calibration.threshold == other.calibration.threshold
    assert detector.calibration.review == other.calibration.review
    assert detector.recipe == other.recipe


def finish(qtbot, widget):
    widget.panel.press()
    qtbot.waitUntil(lambda: not widget.panel.running, timeout=SECONDS)
    WorkerBase.await_workers(SECONDS)


def test_training_thresholds_and_inspection_of_layers_run_again(qtbot, viewer, monkeypatch):
    train = TrainWidget(viewer)
    monkeypatch.setattr(inspect_module, "session_of", lambda _: train.session)
    inspect = InspectWidget(viewer)
    qtbot.addWidget(train)
    qtbot.addWidget(inspect)
    layer = viewer.layers[0]
    button = next(one for one in train.findChildren(QPushButton) if isinstance(one, CopyButton))
    assert not button.isEnabled()
    assert button.toolTip() == "nothing to copy yet: train, load, inspect or compare first"
    train.reset_choices()
    train.source.choose(layer)
    train.form.fields["method.scales"].value = "1,"
    train.seed.value, train.review.value = 3, 0.4
    finish(qtbot, train)
    assert button.isEnabled()
    button.copy()
    clipboard = QApplication.clipboard().text()
    assert clipboard == train.session.script
    same(train.session.detector, run(clipboard, viewer)["detector"])

    train.session.detector = train.session.detector.calibrate(false_alarm=0.3, review=0.5)
    inspect.reset_choices()
    inspect.source.choose(layer)
    finish(qtbot, inspect)
    made = [(one.name, one.data) for one in viewer.layers[1:]]

    again = ViewerModel()
    again.add_image(layer.data, name=layer.name)
    detector = run(train.session.script, again)["detector"]
    same(train.session.detector, detector)
    assert [one.name for one in again.layers[1:]] == [name for name, _ in made]
    for one, (_, data) in zip(again.layers[1:], made, strict=True):
        np.testing.assert_array_equal(one.data, data)


def test_folders_need_no_viewer(normals, tmp_path, capsys):
    for k, image in enumerate(normals):
        iio.imwrite(tmp_path / f"part{k // 2}_{k}.png", image)
    choices = {"seed": 1, "false_alarm": None, "group": r"part(\d+)_", "calibration": 0.4}
    recipe = changed(RECIPES["linear"], {"scales": (1,)})
    expected = na.fit(str(tmp_path), recipe, **choices)
    action = Action(trained(tmp_path, "linear", recipe, choices), makes=expected)
    then = Action(inspected(tmp_path, reconstruction=False))
    names = run(text_of(action, then, expected))
    same(expected, names["detector"])
    assert names["found"].inspected.names[0] == "part0_0.png"
    score = expected.inspect(normals[0]).score
    assert f"part0_0.png {score}" in capsys.readouterr().out

    file = expected.save(tmp_path / "it's.anomaly")
    same(expected, run(text_of(Action(loaded(file), expected), None, expected))["detector"])


@pytest.mark.parametrize("name", RECIPES)
def test_what_differs_from_the_named_recipe_is_written(name):
    recipe = RECIPES[name]
    other = replace(recipe, residual=replace(recipe.residual, smooth=0.5), min_area=3)
    code = trained("x", name, other, {}).splitlines()[0]
    assert run("import napari_anomaly as na\n" + code)["recipe"] == other
    assert to_plain(other) != to_plain(recipe)
    assert trained("x", name, recipe, {}).startswith(f"recipe = {name!r}\n")


def test_a_detector_of_unknown_origin_is_taken_from_the_window(normals):
    detector = na.fit(list(normals), "linear")
    text = text_of(None, Action("x = 1"), detector)
    assert "detector = session_of(viewer).detector" in text
    assert text_of(None, None, None) is None


def test_fit_layer_leaves_out_what_is_named_a_defect(normals):
    viewer = ViewerModel()
    kinds = ["good", "scratch", None, *["good"] * 13]
    layer = viewer.add_image(normals, metadata={"defect": kinds})
    detector = na.fit_layer(layer, seed=2)
    same(detector, na.fit([normals[0], *normals[2:]], seed=2))
    layer.metadata["defect"] = ["scratch"] * 16
    with pytest.raises(DataError, match="every image shows a defect; expected normal images"):
        na.fit_layer(layer)
