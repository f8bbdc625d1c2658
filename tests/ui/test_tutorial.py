"""What the tutorial tells people to do works: each step carries the tutorial's own words and does them in a window."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backend_bases import MouseEvent
from qtpy.QtCore import Qt
from qtpy.QtGui import QShortcut
from qtpy.QtWidgets import QApplication, QFileDialog, QMainWindow
from superqt.utils import WorkerBase

from napari_anomaly.ui import samples

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
SECONDS = 300_000  # milliseconds that a compilation may take on a busy machine
STEPS = []


def step(does):
    STEPS.append(does)
    return does


def words(text):
    return " ".join(text.split())


class Person:
    """Presses buttons and keys, chooses from lists and menus, and answers dialogs."""

    def __init__(self, viewer, qtbot, folder, monkeypatch):
        self.viewer, self.qtbot, self.folder = viewer, qtbot, folder
        self._answers = monkeypatch

    def menu(self, *names):
        windows = QApplication.topLevelWidgets()
        menu = next(one for one in windows if isinstance(one, QMainWindow)).menuBar()
        for name in names:
            (action,) = [
                one for one in menu.actions() if one.text().strip("&").partition(" (Ano")[0] == name
            ]
            menu = action.menu()
            if menu is not None:
                menu.aboutToShow.emit()
        action.trigger()

    def page(self, name):
        docked = self.viewer.window.dock_widgets
        (page,) = [one for title, one in docked.items() if title.partition(" (")[0] == name]
        page.parentWidget().raise_()  # the tab
        return page

    def press(self, page):
        self.qtbot.mouseClick(page.panel.button, Qt.MouseButton.LeftButton)
        self.rest(page)

    def rest(self, page):
        self.qtbot.waitUntil(lambda: not page.panel.running, timeout=SECONDS)

    def click_row(self, table, row):
        place = table.visualRect(table.model().index(row, 0)).center()
        self.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)

    def key_in(self, widget, key):
        found = [one for one in widget.findChildren(QShortcut) if one.key().toString() == key]
        found[0].activated.emit()

    def key(self, key, at=None):
        if at is not None:
            self.viewer.cursor.position = at
        ours = {str(one): call for one, call in self.viewer.keymap.items()}
        ours[key](self.viewer)

    def answer(self, dialog, path):
        given = str(path) if dialog == "getExistingDirectory" else (str(path), "")
        self._answers.setattr(QFileDialog, dialog, lambda *_: given)


@pytest.fixture
def person(needs_screen, plugin, make_napari_viewer, qtbot, tmp_path, monkeypatch):
    small = partial(samples.sample_pictures, shape=(96, 96), train=24, good=3, each=1)
    monkeypatch.setattr(samples, "sample_pictures", small)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / name)
    yield Person(make_napari_viewer(show=True), qtbot, tmp_path, monkeypatch)
    WorkerBase.await_workers(SECONDS)


def test_every_step_that_is_told_is_done_here_word_for_word():
    told = re.findall(r"^\d+\. (.*?)(?=^\d+\. |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert len(told) >= 10
    assert [words(one.__doc__) for one in STEPS] == [words(one) for one in told]


def test_the_tutorial_as_told(person):
    for one in STEPS:
        one(person)


@step
def open_the_sample(person):
    """**Open the sample.** File > Open Sample > Anomaly detection > Woven fabric (synthetic). Three layers appear:
    normal images, test images and the ground truth of their defects.
    """
    person.menu("File", "Open Sample", "Anomaly detection", "Woven fabric (synthetic)")
    names = ["woven fabric normal", "woven fabric test", "woven fabric ground truth"]
    assert [layer.name for layer in person.viewer.layers] == names


@step
def open_the_pages(person):
    """**Open the pages.** Layers > Segment > Anomaly detection > Open the Workbench. Train is on top; the others are
    tabs beside it, in the order of the work. The header says what computes, which detector is the present one, which
    images are chosen, and how it stands.
    """
    person.menu("Layers", "Segment", "Anomaly detection", "Open the Workbench")
    pages = [title.partition(" (")[0] for title in person.viewer.window.dock_widgets]
    order = ["Train", "Inspect", "Threshold", "Why?", "Annotate", "Compare", "Presence check"]
    assert pages == order
    docked = person.viewer.window.dock_widgets
    train = next(one for title, one in docked.items() if title.startswith("Train"))
    person.qtbot.waitUntil(lambda: not train.visibleRegion().isEmpty(), timeout=SECONDS)
    header = train.header
    said = [line.text() for line in (header.device, header.detector, header.images, header.state)]
    assert said[1:] == ["none yet: train or load one", "none yet", "waits for a choice"]
    assert said[0]


@step
def train(person):
    """**Train.** Choose *woven fabric normal*, leave method and false alarms as they are, press Train. Some of the
    normal images are held out; below the button stands what they promise.
    """
    page = person.page("Train")
    page.source.box.setCurrentText("woven fabric normal")
    person.press(page)
    assert page.header.detector.text() == "linear, from a layer"
    assert "6 others held out" in page.summary.text()
    assert "of normal images are expected to" in page.summary.text()


@step
def inspect(person):
    """**Inspect.** In the Inspect tab choose *woven fabric test* and press Inspect. The table lists scores, p-values
    and verdicts, the strangest image first. Click a row to see it: the map shows where it is unusual, outlines what
    exceeds the limit. G and D say good and defect, U goes to the next image of which you have said nothing.
    """
    page = person.page("Inspect")
    page.source.box.setCurrentText("woven fabric test")
    person.press(page)
    rows, table, view = page.table.rows, page.table, page.table.view
    scores = [float(rows.index(row, 2).data()) for row in range(rows.rowCount())]
    assert scores == sorted(scores, reverse=True)
    assert rows.index(0, 3).data() == "fail"
    assert float(rows.index(0, 5).data()) < 0.5
    person.click_row(view, 1)
    person.click_row(view, 0)
    assert round(person.viewer.dims.point[0]) == table.number
    found = person.viewer.layers["woven fabric test anomaly regions"].data[table.number]
    heat = person.viewer.layers["woven fabric test anomaly map"]
    assert found.any()
    assert heat.data[table.number][found > 0].min() > 0
    person.key_in(view, "D")
    person.key_in(view, "U")
    assert view.currentIndex().row() == 1
    person.key_in(view, "G")
    said = list(page.session.decisions.values())
    assert said == ["defect", "good"]


@step
def set_the_limit(person):
    """**Set the limit.** In the Threshold tab drag the full line, or type how many good images may fail. Verdicts and
    outlines follow at once, and the page says what is promised.
    """
    session, page = person.page("Inspect").session, person.page("Threshold")
    canvas, axes = page.histogram.canvas, page.histogram.axes
    canvas.draw()
    scores = np.sort(session.detector.calibration.scores)
    regions = person.viewer.layers["woven fabric test anomaly regions"]
    before = (regions.data > 0).sum()
    for kind, place in (
        ("button_press_event", session.detector.calibration.threshold),
        ("motion_notify_event", scores[4]),
        ("button_release_event", scores[4]),
    ):
        x, y = axes.transData.transform((place, 0.5))
        canvas.callbacks.process(kind, MouseEvent(kind, canvas, x, y, 1))
    assert session.detector.calibration.threshold == scores[4]
    promised = page.promise.text()
    page.rate.setValue(60)
    assert page.promise.text() != promised
    assert "held out" in promised
    person.qtbot.waitUntil(lambda: not page.following.busy, timeout=SECONDS)
    assert (regions.data > 0).sum() > before
    assert regions.metadata["verdict"].count("fail") >= 5


@step
def ask_why(person):
    """**Ask why.** In the Why? tab click an outlined region, or its row: the view goes there, its numbers stand in
    words. J and K walk through the regions; Shift+G shows input, reconstruction, residual and regions side by side.
    """
    page = person.page("Why?")
    person.qtbot.waitUntil(lambda: page.table.rowCount() > 1, timeout=SECONDS)
    person.click_row(page.table, 0)
    first = page.found.label
    assert "px" in page.numbers["area"].text()
    assert round(person.viewer.dims.point[0]) == page.found.image
    person.key("J")
    assert page.found.label != first
    person.key("K")
    assert page.found.label == first
    person.key("Shift+G")
    assert person.viewer.canvas.grid.enabled
    assert sum(layer.visible for layer in person.viewer.layers) >= 4
    person.key("Shift+G")
    assert not person.viewer.canvas.grid.enabled
    person.rest(page)


@step
def annotate(person):
    """**Annotate.** In the Annotate tab point at a region and press Shift+Y: it is ground truth now. Shift+E erases,
    Shift+D draws, Ctrl+Z takes back. Save masks ... writes what changed; until then it is kept by itself.
    """
    page = person.page("Annotate")
    page.layer_box.setCurrentText("woven fabric test")
    person.qtbot.waitUntil(page.isVisible, timeout=SECONDS)
    regions, truth = page.regions, page.truth
    defective = np.array(page.layer.metadata["defect"]) != "good"
    free = (regions.data > 0) & (truth.data == 0) & defective[:, None, None]
    place = tuple(np.argwhere(free)[0])
    before = truth.data.copy()
    person.viewer.dims.set_point(0, truth.data_to_world(place)[0])
    person.key("Shift+Y", at=truth.data_to_world(place))
    assert truth.data[place] > 0
    person.key("Shift+E", at=truth.data_to_world(place))
    assert truth.data[place] == 0
    truth.undo()
    assert truth.data[place] > 0
    assert page.keeping.timer.isActive()
    person.answer("getExistingDirectory", person.folder)
    person.qtbot.mouseClick(page.save_button, Qt.MouseButton.LeftButton)
    assert page.state.text().endswith("masks of 1 image")
    assert len(list((person.folder / "ground_truth").rglob("*_mask.png"))) == 1
    assert not np.array_equal(truth.data, before)
    person.key("Shift+D")
    assert truth.mode == "polygon"
    truth.mode = "pan_zoom"


@step
def compare(person):
    """**Compare.** In the Compare tab, *Ground truth* counts what was found, missed and falsely alarmed. The counts
    follow each stroke.
    """
    page = person.page("Compare").truth
    whole = person.viewer.layers["woven fabric test"].data.shape[0]
    person.qtbot.waitUntil(
        lambda: page.summary.text().endswith(f"over {whole} images"), timeout=SECONDS
    )
    told = page.summary.text()
    assert "escapes" in told
    assert "false alarms in" in told
    truth = person.page("Annotate").truth
    truth.brush_size = 9
    truth.paint((0, 20, 20), 1)
    person.qtbot.waitUntil(lambda: page.summary.text() != told, timeout=SECONDS)


@step
def save(person):
    """**Save.** In Train, Save ... writes one file. Dropped onto the window, it is the present detector again."""
    page, file = person.page("Train"), person.folder / "fabric.anomaly"
    before = page.session.detector
    person.answer("getSaveFileName", file)
    person.qtbot.mouseClick(page.save_button, Qt.MouseButton.LeftButton)
    assert page.panel.state.text() == f"saved as {file}"
    person.viewer.open(str(file), plugin=None)  # as a file that is dropped
    person.rest(person.page("Inspect"))
    assert page.session.detector is not before
    assert page.session.detector.calibration.threshold == before.calibration.threshold


@step
def take_the_numbers_along(person):
    """**Take the numbers along.** Layers > Measure > Save Anomaly Regions as CSV."""
    file = person.folder / "regions.csv"
    person.answer("getSaveFileName", file)
    person.menu("Layers", "Measure", "Save Anomaly Regions as CSV...")
    regions = person.viewer.layers["woven fabric test anomaly regions"]
    assert len(file.read_text().splitlines()) == len(regions.features)
