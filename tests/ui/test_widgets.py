"""Train and Inspect as a person uses them, with the real core."""

import re
import threading
from dataclasses import replace
from multiprocessing import active_children

import imageio.v3 as iio
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QFileDialog, QMessageBox
from superqt.utils import WorkerBase

import napari_anomaly as na
import napari_anomaly.core.fitting as core
import napari_anomaly.ui.widgets.train as train_module
from napari_anomaly.cli import main
from napari_anomaly.core import apart
from napari_anomaly.core.data.files import write_png
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.preprocess import Colour, Crop, Preprocessing, Resize
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.widgets.inspect import InspectWidget
from napari_anomaly.ui.widgets.table import ImageTable
from napari_anomaly.ui.widgets.train import TrainWidget, in_words

SECONDS = 60_000  # milliseconds that a compilation may take on a busy machine


def pattern(rng, shape=(40, 48)):
    y, x = np.indices(shape)
    image = 120 + 60 * np.sin(y * 0.7) * np.sin(x * 0.7) + rng.normal(0, 4, shape)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def normals():
    rng = np.random.default_rng(0)
    return np.stack([pattern(rng) for _ in range(20)])


@pytest.fixture(scope="module")
def detector(normals):
    grid = Preprocessing((Colour(), Resize(size=(40, 48))))
    return core.fit(
        list(normals), replace(RECIPES["linear"], method=Linear(scales=(1,)), preprocess=grid)
    )


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def train(qtbot, viewer):
    widget = TrainWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget.panel.cancel()
    WorkerBase.await_workers(SECONDS)


@pytest.fixture
def inspect(qtbot, viewer):
    widget = InspectWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget.panel.cancel()
    WorkerBase.await_workers(SECONDS)


@pytest.fixture
def notes():
    seen = []

    def note(notification):
        seen.append(notification)

    notification_manager.notification_ready.connect(note)
    yield seen
    notification_manager.notification_ready.disconnect(note)


def finish(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.panel.running, timeout=SECONDS)


def fake_steps(monkeypatch, steps):
    monkeypatch.setattr(core, "fit_steps", steps)


def test_nothing_chosen_says_why(train, viewer, normals):
    assert not train.panel.button.isEnabled()
    assert train.panel.state.text() == "choose a folder or an image layer"
    assert train.panel.button.toolTip() == "choose a folder or an image layer"
    assert not train.save_button.isEnabled()
    layer = viewer.add_image(normals, name="normals")
    train.reset_choices()
    train.source.choose(layer)
    assert train.panel.button.isEnabled()
    assert train.panel.state.text() == ""


def test_a_folder_that_is_none_says_so(train, tmp_path):
    train.source.folder_edit.value = tmp_path / "nowhere"
    assert not train.panel.button.isEnabled()
    assert train.panel.state.text().endswith("nowhere: no such folder")
    train.source.choose(tmp_path)
    assert train.panel.button.isEnabled()


def test_train_cancel_and_train_again(train, viewer, normals, detector, qtbot, monkeypatch):
    monkeypatch.setattr(train_module, "PATIENCE", 0.1)
    started, compiled, closed = threading.Event(), threading.Event(), threading.Event()
    other = replace(detector, provenance=replace(detector.provenance, data="the cancelled one"))

    def compiling(data, recipe, **choices):
        try:
            yield Progress("training", 0, 10, loss=0.25)
            started.set()
            compiled.wait(20)  # a compilation that nothing can interrupt
            yield Progress("training", 10, 10)
            return other
        finally:
            closed.set()

    fake_steps(monkeypatch, compiling)
    viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    train.panel.button.click()
    assert train.panel.button.text() == "Cancel"
    assert not train.load_button.isEnabled()
    qtbot.waitUntil(started.is_set, timeout=SECONDS)
    qtbot.waitUntil(
        lambda: train.panel.state.text() == "training: 0 of 10, loss 0.25", timeout=SECONDS
    )

    train.panel.button.click()
    assert train.panel.button.text() == "Train"
    assert train.panel.button.isEnabled()
    assert train.load_button.isEnabled()
    assert train.panel.state.text() == "cancelled"
    assert not train.panel.bar.isVisibleTo(train)

    def quick(data, recipe, **choices):
        yield Progress("training", 1, 1)
        return detector

    fake_steps(monkeypatch, quick)
    train.panel.button.click()
    finish(qtbot, train)
    assert train.session.detector is detector
    compiled.set()
    qtbot.waitUntil(closed.is_set, timeout=SECONDS)
    qtbot.wait(50)
    assert train.session.detector is detector


def test_what_a_generator_draws_is_a_layer_that_changes(
    train, viewer, normals, detector, qtbot, monkeypatch
):
    pictures = [np.full((8, 8, 3), shade, np.float32) for shade in (0.2, 0.7)]
    grey = np.full((8, 8, 1), 0.4, np.float32)

    def drawing(*arguments, **choices):
        yield Progress("training the generator", 1, 3, picture=pictures[0])
        yield Progress("training the generator", 2, 3)
        yield Progress("training the generator", 3, 3, picture=pictures[1])
        return detector

    def train_now():
        train.panel.press()
        finish(qtbot, train)

    fake_steps(monkeypatch, drawing)
    theirs = viewer.add_image(np.ones((8, 8, 3)), rgb=True, name="samples")
    images = viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(images)
    train_now()

    own = viewer.layers["samples [1]"]  # napari's name for one beside the user's
    train.reset_choices()
    offered = [train.source.box.itemText(k) for k in range(train.source.box.count())]
    assert "samples" in offered
    assert "samples [1]" not in offered  # what was drawn is no input
    assert (theirs.data == 1).all()
    assert np.array_equal(own.data, pictures[1])
    assert tuple(own.contrast_limits) == (0, 1)
    count = len(viewer.layers)
    train_now()
    assert len(viewer.layers) == count  # painted anew
    viewer.layers.remove(own)
    pictures[:] = grey, grey
    train_now()
    assert viewer.layers["samples [1]"].data.shape == (8, 8)
    assert (theirs.data == 1).all()


def test_what_is_chosen_reaches_fit(train, viewer, normals, detector, qtbot, monkeypatch):
    given = {}

    def steps(data, recipe, **choices):
        given.update(data=data, recipe=recipe, **choices)
        yield Progress("training", 1, 1)
        return detector

    fake_steps(monkeypatch, steps)
    kinds = ["good"] * 18 + ["hole", "hole"]
    layer = viewer.add_image(normals, metadata={"defect": kinds})
    train.reset_choices()
    train.source.choose(layer)
    train.method.value = "autoencoder"
    train.form.fields["method.training.batch"].value = 5
    train.seed.value = 3
    train.rate.value = 0.2
    train.review.value = 0.4
    train.panel.press()
    finish(qtbot, train)
    assert given["recipe"].method.training.batch == 5
    assert (given["seed"], given["false_alarm"], given["review"]) == (3, 0.2, 0.4)
    assert (given["calibration"], given["group"], given["budget"]) == (0.25, None, None)
    # images known to show a defect are not taken for normal
    np.testing.assert_array_equal(given["data"], normals[:18])


def test_a_review_band_is_told(detector):
    banded = detector.calibrate(false_alarm=0.2, review=0.5)  # of 5 held out: ranks 1 and 3 of 6
    limits = banded.calibration
    told = f"Between {limits.review_threshold:.3g} and that it is for a person to review: 33.3% of"
    assert told in in_words(banded)
    assert "review" not in in_words(detector)


def test_choices_about_the_data_reach_fit(train, viewer, detector, qtbot, tmp_path, monkeypatch):
    given = {}

    def steps(data, recipe, **choices):
        given.update(data=data, recipe=recipe, **choices)
        yield Progress("training", 1, 1)
        return detector

    fake_steps(monkeypatch, steps)
    train.source.choose(tmp_path)
    train.data.held_out.value = 0.5
    train.data.group.value = r"part(\d+)"
    train.data.budget.value = 30
    train.panel.press()
    finish(qtbot, train)
    assert (given["calibration"], given["group"], given["budget"]) == (0.5, r"part(\d+)", 30)
    train.form.restore()
    assert (train.data.calibration, train.data.pattern, train.data.seconds) == (0.25, None, None)


def test_a_pattern_is_for_names_of_files(train, viewer, normals):
    train.data.group.value = "part"
    viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    assert not train.data.group.enabled
    assert train.data.pattern is None


def test_a_drawn_region_reaches_the_recipe(train, viewer, normals):
    image = viewer.add_image(normals, scale=(1, 0.5, 0.5), translate=(0, 10, 20))
    # 0.5 mm a pixel: from pixel 4 to 11 along y, 6 to 21 along x
    corners = np.array([[12, 23], [12, 30.6], [15.6, 30.6], [15.6, 23]])
    shapes = viewer.add_shapes(corners, shape_type="rectangle", name="weld")
    train.reset_choices()
    train.source.choose(image)
    assert train.recipe == RECIPES["linear"]
    train.form.region.setCurrentText("weld")
    train.method.value = "autoencoder"  # another form, the same region
    assert train.form.shapes is shapes
    assert train.recipe.preprocess.steps[0] == Crop(box=(4, 6, 12, 22))
    assert train.recipe.preprocess.steps[1:] == RECIPES["autoencoder"].preprocess.steps
    viewer.layers.remove(shapes)
    train.reset_choices()
    assert train.recipe == RECIPES["autoencoder"]


def tiny(train, duration=40):
    train.method.value = "autoencoder"
    fields = train.form.fields
    fields["method.widths"].value = "2, 2"
    fields["method.training.batch"].value = 4
    fields["method.training.duration"].value = duration
    fields["preprocess.steps.1.size"].value = "32, 32"


def test_training_goes_on_where_it_was_cancelled(train, viewer, normals, qtbot, own_cache):
    viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    tiny(train, duration=5000)
    train.panel.press()
    qtbot.waitUntil(lambda: train.panel.state.text().startswith("training"), timeout=SECONDS)
    qtbot.wait(150)
    train.panel.press()
    assert train.panel.state.text() == "cancelled"
    qtbot.waitUntil(lambda: "goes on" in train.panel.state.text(), timeout=SECONDS)
    said = re.fullmatch(
        r"cancelled at step (\d+) of 5000; Train goes on from there with the same settings",
        train.panel.state.text(),
    )
    kept = list((own_cache / "interrupted").iterdir())
    assert len(kept) == 1
    assert (own_cache / "interrupted").stat().st_mode & 0o777 == 0o700

    train.panel.press()
    qtbot.waitUntil(lambda: train.panel.state.text().startswith("training"), timeout=SECONDS)
    # the first step of a stage is always reported; a busy machine may be some calls of 64 ahead of it
    resumed = re.match(r"training: (\d+) of 5000", train.panel.state.text())
    assert int(said[1]) < int(resumed[1]) < 5000
    train.panel.press()


def test_a_finished_training_leaves_no_state(train, viewer, normals, qtbot, own_cache):
    viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    tiny(train, duration=2)
    train.panel.press()
    finish(qtbot, train)
    assert train.session.detector is not None
    assert list((own_cache / "interrupted").iterdir()) == []


def test_a_process_of_its_own_that_dies_is_told(train, viewer, normals, qtbot, notes):
    viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    train.apart.setChecked(True)
    train.panel.press()
    qtbot.waitUntil(lambda: bool(active_children()), timeout=SECONDS)
    active_children()[0].kill()
    finish(qtbot, train)
    assert "the training's process was ended from outside" in train.panel.state.text()
    assert len(notes) == 1
    assert train.session.detector is None


def test_a_process_of_its_own_gives_its_memory_back_and_says_so(
    train, viewer, detector, normals, qtbot, monkeypatch
):
    asked = {}

    def steps(data, recipe, **choices):
        asked.update(choices)
        yield Progress("training", 1, 1)
        return detector

    monkeypatch.setattr(apart, "fit_steps", steps)
    viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    assert not train.apart.isChecked()
    train.apart.setChecked(True)
    train.seed.value = 7
    train.panel.press()
    finish(qtbot, train)
    assert train.session.detector is detector
    assert "all memory that it took is free again" in train.panel.state.text()
    assert asked["seed"] == 7
    assert asked["device"] == "auto"
    train.form.restore()
    assert not train.apart.isChecked()


def test_a_users_error_is_one_sentence(train, viewer, normals, qtbot, notes):
    train.rate.value = 0.001
    viewer.add_image(normals)
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    train.panel.press()
    finish(qtbot, train)
    text = "a false-alarm rate of 0.001 needs 999"
    assert text in train.panel.state.text()
    assert [text in note.message for note in notes] == [True]
    assert not hasattr(notes[0], "exception")
    assert train.panel.button.text() == "Train"
    assert train.session.detector is None
    viewer.add_image(normals)  # the sentence stays until something is done about it
    train.reset_choices()
    assert text in train.panel.state.text()


def test_an_impossible_knob_is_said_before_training(train, tmp_path, notes):
    train.source.choose(tmp_path)
    train.form.fields["method.scales"].value = "big"
    train.panel.press()
    assert "scales" in train.panel.state.text()
    assert not train.panel.running
    assert len(notes) == 1


def test_an_error_of_ours_keeps_its_traceback(train, tmp_path, qtbot, monkeypatch):
    def steps(data, recipe, **choices):
        yield Progress("training", 1, 2)
        raise RuntimeError("RESOURCE_EXHAUSTED")

    fake_steps(monkeypatch, steps)
    caught = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *info: caught.append(info[1]))
    train.source.choose(tmp_path)
    train.panel.press()
    finish(qtbot, train)
    assert "RESOURCE_EXHAUSTED" in train.panel.state.text()
    assert isinstance(caught[0], RuntimeError)


def test_a_real_training_saves_and_loads(train, viewer, normals, qtbot, tmp_path):
    viewer.add_image(normals[:, :32, :32])
    train.reset_choices()
    train.source.choose(viewer.layers[0])
    train.panel.press()
    finish(qtbot, train)
    fitted = train.session.detector
    assert fitted is not None, train.panel.state.text()
    assert "15 images trained on, 5 others held out" in train.summary.text()
    assert train.header.device.text() not in ("", "known when work starts")
    assert train.header.detector.text() == "linear, from a layer"
    train.save(tmp_path / "a.anomaly")
    train.load(tmp_path / "a.anomaly")
    finish(qtbot, train)
    loaded = train.session.detector
    assert loaded is not fitted
    image = normals[0, :32, :32]
    np.testing.assert_array_equal(
        loaded.inspect(image).anomaly_map, fitted.inspect(image).anomaly_map
    )


def test_window_command_line_script_and_file_give_identical_numbers(
    train, normals, qtbot, tmp_path
):
    folder = tmp_path / "normals"
    for k, image in enumerate(normals):
        write_png(folder / f"{k:02}.png", image)
    train.source.choose(folder)
    train.panel.press()
    finish(qtbot, train)
    window = train.session.detector
    train.save(tmp_path / "window.anomaly")
    assert main(["fit", str(folder), "--out", str(tmp_path / "command.anomaly")]) == 0
    script = na.fit(folder)

    expected = script.inspect(with_spot(normals[0]))
    assert expected.verdict == "fail"
    for other in (
        window,
        na.load(tmp_path / "window.anomaly"),
        na.load(tmp_path / "command.anomaly"),
    ):
        found = other.inspect(with_spot(normals[0]))
        assert (found.score, found.p_value, found.regions) == (
            expected.score,
            expected.p_value,
            expected.regions,
        )
        for name in ("anomaly_map", "reconstruction", "labels"):
            np.testing.assert_array_equal(
                getattr(found, name), getattr(expected, name), strict=True
            )


def test_a_damaged_file_is_one_sentence(inspect, tmp_path, qtbot, notes):
    (tmp_path / "a.anomaly").write_bytes(b"nothing")
    inspect.load(tmp_path / "a.anomaly")
    finish(qtbot, inspect)
    assert "a.anomaly: damaged or not a detector" in inspect.panel.state.text()
    assert len(notes) == 1
    assert not inspect.panel.button.isEnabled()


def test_inspect_says_what_is_missing(inspect, detector, tmp_path):
    assert inspect.panel.state.text() == "train or load a detector first"
    inspect.session.detector = detector
    assert inspect.panel.state.text() == "choose a folder or an image layer"
    inspect.source.choose(tmp_path)
    assert inspect.panel.button.isEnabled()


def shown_names(inspect):
    rows = inspect.table.rows
    return [rows.index(row, 1).data() for row in range(rows.rowCount())]


def test_channels_are_chosen_by_axis(train, viewer):
    layer = viewer.add_image(np.zeros((5, 3, 40, 48), np.uint8), axis_labels=("z", "c", "y", "x"))
    train.reset_choices()
    train.source.choose(layer)
    assert not train.source.channels.isHidden()
    assert train.source.channels.currentText() == "channels: axis 1 (c)"
    train.source.channels.activated.emit(0)
    assert layer.metadata["channel_axis"] is None
    train.source.channels.activated.emit(1)
    assert layer.metadata["channel_axis"] == 1
    grey = viewer.add_image(np.zeros((5, 40, 48), np.uint8))
    train.reset_choices()
    train.source.choose(grey)
    assert train.source.channels.isHidden()


def with_spot(image):
    image = image.copy()
    image[10:18, 20:28] = 255
    return image


def test_inspecting_a_stack_equals_inspecting_its_images(inspect, viewer, detector, normals, qtbot):
    stack = np.stack([normals[0], with_spot(normals[1]), normals[2]])
    layer = viewer.add_image(stack, name="parts", scale=(1, 0.5, 0.5), translate=(7, 0, 0))
    inspect.session.detector = detector
    inspect.reset_choices()
    inspect.source.choose(layer)
    inspect.panel.press()
    finish(qtbot, inspect)
    anomaly_map = viewer.layers["parts anomaly map"]
    expected = [detector.inspect(image) for image in stack]
    np.testing.assert_array_equal(anomaly_map.data, [result.anomaly_map for result in expected])
    assert anomaly_map.metadata["score"] == [result.score for result in expected]
    assert anomaly_map.metadata["verdict"][1] == "fail"
    np.testing.assert_allclose(anomaly_map.translate, (7, 0, 0))
    # its own output is no input
    inspect.reset_choices()
    assert inspect.source.box.count() == 2

    assert shown_names(inspect)[0] == "parts [1]"  # highest score first
    inspect.go_to(0)
    assert viewer.dims.point[0] == 8  # slice 1 of a stack that begins at 7


def test_inspecting_one_image(inspect, viewer, detector, normals, qtbot):
    inspect.session.detector = detector
    layer = viewer.add_image(with_spot(normals[1]), name="part")
    inspect.reset_choices()
    inspect.source.choose(layer)
    inspect.reconstruction.setChecked(False)
    inspect.panel.press()
    finish(qtbot, inspect)
    assert [layer.name for layer in viewer.layers] == [
        "part",
        "part anomaly map",
        "part anomaly regions",
    ]
    assert inspect.panel.state.text().startswith("fail, score ")


def test_unusable_pixels_name_the_image(inspect, viewer, detector, qtbot, notes):
    inspect.session.detector = detector
    layer = viewer.add_image(np.full((40, 48), 300.0), name="heat")
    inspect.reset_choices()
    inspect.source.choose(layer)
    inspect.panel.press()
    finish(qtbot, inspect)
    assert inspect.panel.state.text().startswith("heat: found floating-point intensities from 300")
    assert len(viewer.layers) == 1


def test_a_folder_of_one_shape_becomes_stacks(
    inspect, viewer, detector, normals, qtbot, tmp_path, notes
):
    for k in range(3):
        iio.imwrite(tmp_path / f"{k}.png", with_spot(normals[k]) if k == 2 else normals[k])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    inspect.session.detector = detector
    inspect.source.choose(tmp_path)
    inspect.panel.press()
    finish(qtbot, inspect)
    assert [layer.data.shape for layer in viewer.layers] == [(3, 40, 48)] * 4
    regions = viewer.layers[-1]
    assert regions.metadata["sample"] == ["0.png", "1.png", "2.png"]
    assert regions.metadata["score"][2] > regions.metadata["threshold"]
    assert inspect.panel.state.text().startswith("1 of 3 images fail, 1 cannot be inspected")
    assert not notes
    assert shown_names(inspect)[0] == "2"
    assert shown_names(inspect)[3] == "broken"
    row = [inspect.table.rows.index(3, column) for column in range(9)]
    assert (row[2].data(), row[3].data()) == ("", "unusable")
    assert "broken.png" in row[1].data(Qt.ItemDataRole.ToolTipRole)
    assert "cannot be inspected: " in row[1].data(Qt.ItemDataRole.ToolTipRole)


def test_images_of_several_shapes_are_opened_one_by_one(
    inspect, viewer, detector, normals, qtbot, tmp_path
):
    iio.imwrite(tmp_path / "a.png", normals[0])
    iio.imwrite(tmp_path / "b.png", with_spot(normals[1])[:, :44])
    inspect.session.detector = detector
    inspect.source.choose(tmp_path)
    inspect.panel.press()
    finish(qtbot, inspect)
    assert [layer.name for layer in viewer.layers] == [  # the strangest
        "b.png",
        "b.png reconstruction",
        "b.png anomaly map",
        "b.png anomaly regions",
    ]
    assert inspect.panel.state.text().startswith("b.png: fail, score ")
    inspect.go_to(1)  # not shown: a click does nothing, a double click opens it
    assert viewer.layers[0].name == "b.png"
    inspect.table.view.doubleClicked.emit(inspect.table.rows.index(1, 1))
    finish(qtbot, inspect)
    assert [layer.name for layer in viewer.layers][0::3] == ["a.png", "a.png anomaly regions"]
    np.testing.assert_array_equal(
        viewer.layers["a.png anomaly map"].data, detector.inspect(normals[0]).anomaly_map
    )


def test_cancelled_inspection_keeps_what_was_done(
    inspect, viewer, detector, normals, qtbot, monkeypatch
):
    gate, real = threading.Event(), type(detector).inspect

    def second_waits(self, image):
        if viewer.layers[1:]:
            gate.wait(60)
        return real(self, image)

    monkeypatch.setattr(type(detector), "inspect", second_waits)
    layer = viewer.add_image(np.concatenate([normals] * 100))
    inspect.session.detector = detector
    inspect.reset_choices()
    inspect.source.choose(layer)
    inspect.panel.press()
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=SECONDS)
    inspect.panel.press()
    gate.set()
    qtbot.waitUntil(lambda: inspect.panel.state.text().startswith("cancelled; "), timeout=SECONDS)
    done = np.flatnonzero(~np.isnan(inspect.session.inspected.scores))
    assert 0 < len(done) < 2000
    assert 1000 in done or 999 in done  # on screen
    assert inspect.panel.state.text().endswith(f" fail, {2000 - len(done)} not inspected")
    score = viewer.layers[-1].metadata["score"][done[0]]
    assert score == real(detector, normals[done[0] % 20]).score
    assert inspect.table.rows.rowCount() == 2000


@pytest.mark.parametrize(
    ("chosen", "there", "answer", "written"),
    [
        ("weld.v2", "weld.anomaly", None, "weld.v2.anomaly"),
        ("weld.v2", "weld.v2.anomaly", QMessageBox.StandardButton.No, None),
        ("weld.v2", "weld.v2.anomaly", QMessageBox.StandardButton.Yes, "weld.v2.anomaly"),
        ("weld.anomaly", "weld.anomaly", None, "weld.anomaly"),  # the dialog has asked
        ("", "weld.anomaly", None, None),
    ],
)
def test_a_file_is_never_replaced_unasked(
    train, detector, tmp_path, monkeypatch, chosen, there, answer, written
):
    asked = []
    path = str(tmp_path / chosen) if chosen else ""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (path, ""))
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[2]) or answer)
    (tmp_path / there).write_bytes(b"old")
    train.session.detector = detector

    train.save_button.click()

    assert len(asked) == (answer is not None)
    new = [one.name for one in tmp_path.iterdir() if one.read_bytes() != b"old"]
    assert new == ([] if written is None else [written])


def as_shown(text):
    document = QTextDocument()
    document.setHtml(text)
    return document.toPlainText()


def test_names_are_shown_as_they_are_not_as_markup(qtbot, detector, train):
    name = "g0<img src=x>"
    made = replace(detector.provenance, data=name, method=name, device=name)
    text = as_shown(in_words(replace(detector, provenance=made)))
    assert text.count(name) == 3
    table = ImageTable(("image", "score"))
    qtbot.addWidget(table)
    table.fill([name], [(1.0,)], ["fail"])
    assert as_shown(table.item(0, 0).toolTip()).split("\n") == [name, "fail"]
    train.source.folder_edit.value = name
    assert as_shown(train.panel.button.toolTip()).endswith(f"{name}: no such folder")
    for label in (
        train.panel.state,
        train.header.device,
        train.header.detector,
        train.header.images,
    ):
        assert label.textFormat() == Qt.TextFormat.PlainText


def test_words_are_the_numbers_of_the_detector(detector):
    text = in_words(detector)
    assert f"above score {detector.calibration.threshold:.3g}" in text
    # 5 held out: the lowest rate is 1/6; all 5 scores below a 1-in-6 event bound it by 1 - .05^(1/5)
    assert "at most 16.7% of normal images" in text
    assert f"fewer than {1 - 0.05 ** (1 / 5):.1%}" in text


def test_both_widgets_of_a_window_share_the_detector(
    needs_screen, make_napari_viewer_proxy, detector, normals, qtbot, plugin
):
    viewer = make_napari_viewer_proxy()
    train, inspect = TrainWidget(viewer), InspectWidget(viewer)
    assert inspect.session is not train.session  # not docked yet
    viewer.window.add_dock_widget(train, name="Train")
    second = InspectWidget(viewer)
    viewer.window.add_dock_widget(second, name="Inspect")
    assert second.session is train.session
    inspect.deleteLater()
    train.session.detector = detector
    viewer.add_image(
        normals[:2], name="two", units=("pixel", "mm", "mm")
    )  # napari calls reset_choices
    second.source.choose(viewer.layers["two"])
    second.panel.press()
    finish(qtbot, second)
    assert "two anomaly regions" in viewer.layers
    assert [str(unit) for unit in viewer.layers["two anomaly map"].units][1:] == ["millimeter"] * 2


def test_a_closed_dock_neither_works_on_nor_complains(
    needs_screen, make_napari_viewer_proxy, detector, normals, qtbot, monkeypatch
):
    closed = threading.Event()

    def endless(data, recipe, **choices):
        try:
            while True:
                yield Progress("training", 1, 2)
                closed.wait(0.01)  # a step leaves the window its share of the interpreter
        finally:
            closed.set()

    fake_steps(monkeypatch, endless)
    viewer = make_napari_viewer_proxy()
    viewer.add_image(normals)
    train, inspect = TrainWidget(viewer), InspectWidget(viewer)
    inspect.session = train.session
    viewer.window.add_dock_widget(train, name="Train")
    train.source.choose(viewer.layers[0])
    train.panel.press()
    qtbot.waitUntil(lambda: train.panel.state.text().startswith("training"), timeout=SECONDS)
    viewer.window.remove_dock_widget(train)
    train.deleteLater()
    qtbot.waitUntil(closed.is_set, timeout=SECONDS)
    inspect.session.detector = detector
    inspect.deleteLater()
