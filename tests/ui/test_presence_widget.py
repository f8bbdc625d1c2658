"""A person paints marks over a stack, draws a region, trains and checks: with the real core."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from superqt.utils import WorkerBase

import napari_anomaly as na
from napari_anomaly.core.data.files import write_png
from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.marking import marks_of
from napari_anomaly.ui.widgets.presence import PresenceWidget

SECONDS = 60_000  # milliseconds that work may take on a busy machine
BOX = (8, 4, 40, 44)
CORNERS = np.array([[8, 4], [8, 43], [39, 43], [39, 4]], float)  # centres of the pixels of BOX


def picture(seed, bar):
    image = np.random.default_rng(seed).normal(110, 15, (48, 48))
    if bar:
        image[20:28, 8:40] += 80
    return image.clip(0, 255).astype(np.uint8)


TRUTH = np.arange(12) % 2 == 0
STACK = np.stack([picture(k, bar) for k, bar in enumerate(TRUTH)])


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def widget(qtbot, viewer):
    one = PresenceWidget(viewer)
    qtbot.addWidget(one)
    yield one
    one.training.cancel()
    one.checking.cancel()
    WorkerBase.await_workers(SECONDS)


@pytest.fixture
def notes():
    seen = []
    notification_manager.notification_ready.connect(seen.append)
    yield seen
    notification_manager.notification_ready.disconnect(seen.append)


def painted(viewer, image, until=10):
    """Labels as napari makes them for a selected image; dabs on the first images."""
    viewer.layers.selection.active = image
    viewer._new_labels()
    labels = viewer.layers[-1]
    for k in range(until):
        labels.data[k, 15:18, 10:14] = 1 if TRUTH[k] else 2
    return labels


def finish(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.running, timeout=SECONDS)


def ready(widget, viewer, **place):
    image = viewer.add_image(STACK, name="parts", **place)
    labels = painted(viewer, image)
    shapes = viewer.add_shapes(
        CORNERS,
        shape_type="rectangle",
        name="weld",
        scale=image.scale[1:],
        translate=image.translate[1:],
    )
    widget.reset_choices()
    widget.source.choose(image)
    widget.marks.setCurrentText(labels.name)
    widget.region.setCurrentText("weld")
    return image, labels, shapes


# -- marks ----------------------------------------------------------------------------------------


def test_the_label_with_most_pixels_in_the_region_counts(viewer):
    image = viewer.add_image(STACK, translate=(5, 2, 2), scale=(1, 0.5, 0.5))
    labels = painted(viewer, image, until=3)
    labels.data[0, 14, 10:12] = 2  # 12 of label 1 against 2
    labels.data[1, :4] = 1  # more, but outside the region
    assert marks_of(labels, image, BOX) == [True, False, True] + [None] * 9
    assert marks_of(labels, image)[1] is True


@pytest.mark.parametrize(
    ("paint", "words"),
    [
        (lambda d: d.__setitem__((2, 20, 20), 3), r"\[2\]: found the label 3; expected 1 where"),
        (lambda d: d.__setitem__((1, slice(15, 18), slice(20, 24)), 1), r"\[1\]: as many pixels"),
    ],
)
def test_marks_that_say_nothing_clear_are_refused(viewer, paint, words):
    image = viewer.add_image(STACK)
    labels = painted(viewer, image)
    paint(labels.data)
    with pytest.raises(DataError, match=words):
        marks_of(labels, image, BOX)


@pytest.mark.parametrize(
    ("shape", "place"),
    [((48, 48), {}), ((12, 48, 40), {}), ((12, 48, 48), {"translate": (3, 0, 0)})],
)
def test_labels_that_lie_elsewhere_are_refused(viewer, shape, place):
    image = viewer.add_image(STACK, name="parts")
    labels = viewer.add_labels(np.zeros(shape, np.uint8), name="marks", **place)
    with pytest.raises(DataError, match=r"marks does not lie on parts: .*12 image"):
        marks_of(labels, image)


def test_marks_of_a_colour_stack(viewer):
    image = viewer.add_image(np.repeat(STACK[..., None], 3, axis=-1), rgb=True)
    assert marks_of(painted(viewer, image), image) == [*TRUTH[:10].tolist(), None, None]


# -- widget ---------------------------------------------------------------------------------------


def test_what_is_missing_is_said(widget, viewer, tmp_path):
    assert widget.training.state.text() == "choose a folder or an image layer"
    assert widget.checking.state.text() == "train or load a check first"
    assert not widget.save_button.isEnabled()
    widget.source.choose(tmp_path)
    assert widget.training.state.text() == "choose the folder of images without it"
    widget.absent.value = tmp_path
    assert widget.training.button.isEnabled()
    image = viewer.add_image(STACK)
    widget.reset_choices()
    widget.source.choose(image)
    assert widget.training.state.text() == "choose the Labels layer that marks the images"
    assert not widget.training.button.isEnabled()


def test_painted_marks_train_what_a_script_trains(widget, viewer, qtbot, tmp_path):
    image, _, _ = ready(widget, viewer, scale=(1, 0.5, 0.5), translate=(7, 1, 2))
    widget.training.press()
    finish(qtbot, widget.training)
    assert widget.check is not None, widget.training.state.text()
    script = na.fit_presence(list(STACK[:10:2]), list(STACK[1:10:2]), region=BOX)
    assert widget.check.validation == script.validation
    assert widget.check.region.box == BOX
    assert "right for 100.0% (95 % interval 69.2 to 100.0 %)" in widget.summary.text()

    widget.others.choose(image)
    widget.checking.press()
    finish(qtbot, widget.checking)
    assert widget.checking.state.text().startswith("absent in 6 of 12 images")
    assert [widget.table.item(row, 1).text() for row in range(12)] == ["absent"] * 6 + [
        "present"
    ] * 6
    probabilities = [script.check(image).probability for image in STACK]
    order = np.argsort(probabilities)
    assert [widget.table.item(row, 2).number for row in range(12)] == sorted(probabilities)
    widget.go_to(2)
    assert viewer.dims.point[0] == 7 + order[2]

    folder = replace(script.origin, good="g0<img src=x>")
    widget._show(replace(script, origin=folder))
    assert "(g0&lt;img src=x&gt;)" in widget.summary.text()

    widget.save(tmp_path / "a.presence")
    before, widget.check = widget.check, None
    widget.load(tmp_path / "a.presence")
    finish(qtbot, widget.training)
    assert widget.check.check(STACK[3]) == before.check(STACK[3])


def test_two_folders_train_and_a_folder_is_checked(widget, qtbot, tmp_path, notes):
    for k, bar in enumerate(TRUTH):
        write_png(tmp_path / ("good" if bar else "bad") / f"{k}.png", STACK[k])
    (tmp_path / "bad" / "broken.png").write_bytes(b"\x89PNG")
    widget.source.choose(tmp_path / "good")
    widget.absent.value = tmp_path / "bad"
    widget.training.press()
    finish(qtbot, widget.training)
    assert widget.check.validation.absent.total == 6
    widget.others.choose(tmp_path)
    widget.checking.press()
    finish(qtbot, widget.checking)
    assert widget.table.rowCount() == 12
    assert widget.checking.state.text() == "absent in 6 of 12 images"
    assert ["broken.png" in note.message for note in notes] == [True, True]


def test_too_few_marks_are_one_sentence(widget, viewer, qtbot, notes):
    _, labels, _ = ready(widget, viewer)
    labels.data[5:] = 0
    widget.training.press()
    finish(qtbot, widget.training)
    assert "found 2 images where it is absent; expected at least 3" in widget.training.state.text()
    assert len(notes) == 1
    assert widget.check is None


def test_marks_are_read_in_the_thread_of_the_work(widget, viewer, qtbot, monkeypatch):
    readers = []

    def mark(painted, name):
        readers.append(threading.current_thread())
        return None

    monkeypatch.setattr("napari_anomaly.ui.marking._mark", mark)
    ready(widget, viewer)
    widget.training.press()
    finish(qtbot, widget.training)
    assert len(readers) == 12
    assert threading.main_thread() not in readers


def test_a_turned_rectangle_is_refused_before_training(widget, viewer, notes):
    _, _, shapes = ready(widget, viewer)
    shapes.data = [np.array([[8, 20], [20, 40], [32, 20], [20, 4]], float)]
    widget.training.press()
    assert "weld: found a polygon or a turned rectangle" in widget.training.state.text()
    assert not widget.training.running


def test_cancelled_training_leaves_no_check(widget, viewer, qtbot):
    ready(widget, viewer)
    widget.model.value = "cnn"
    widget.training.press()
    assert not widget.checking.button.isEnabled()
    widget.training.press()
    assert widget.training.state.text() == "cancelled"
    WorkerBase.await_workers(SECONDS)
    qtbot.wait(50)
    assert widget.check is None


def test_napari_docks_it(needs_screen, make_napari_viewer_proxy, plugin):
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-anomaly", "Presence check")
    layer = viewer.add_image(STACK)  # napari calls reset_choices
    widget.source.choose(layer)
    assert widget.marks.isVisibleTo(widget)
    assert not widget.absent.native.isVisibleTo(widget)
