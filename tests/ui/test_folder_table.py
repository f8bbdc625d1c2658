"""The table of images as a person uses it: rows, keys, marks, and what follows the session."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.ui.family import ANOMALY_MAP, belonging
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.widgets.folder import FolderTable

NORMALS = np.arange(1.0, 20.0)


class Judge:
    def __init__(self, false_alarm):
        self.calibration = Calibration(NORMALS, NORMALS, false_alarm)


@pytest.fixture
def table(qtbot):
    viewer, session = ViewerModel(), Session()
    layer = viewer.add_image(np.zeros((3, 12, 12), np.uint8))
    viewer.add_image(np.zeros((3, 12, 12)), metadata=belonging(layer, ANOMALY_MAP))
    session.detector = Judge(0.05)  # fail above 19
    table = FolderTable(viewer, session)
    qtbot.addWidget(table)
    assert table.isHidden()
    scores = np.array([5.0, 30.0, 18.5])
    session.inspected = Inspected(("a", "b", "c"), scores, layer=str(layer.unique_id))
    return table


def column(table, number):
    return [table.rows.index(row, number).data() for row in range(table.rows.rowCount())]


def test_names_can_be_read_in_a_narrow_dock(qtbot):
    session = Session()
    table, name = FolderTable(ViewerModel(), session), "broken_thread/001"
    qtbot.addWidget(table)
    table.resize(340, 400)
    session.inspected = Inspected((name, "good/000"), np.array([5.0, 30.0]))
    view = table.view
    assert view.columnWidth(1) >= view.fontMetrics().horizontalAdvance(name)
    others = sum(view.columnWidth(k) for k in range(5) if k != 1)
    assert view.columnWidth(1) + others <= 340  # what is said of the image is seen beside its name


def test_verdicts_follow_the_thresholds(table):
    assert column(table, 1) == ["b", "c", "a"]
    assert column(table, 3) == ["fail", "pass", "pass"]
    table._session.detector = Judge(0.1)  # fail above 18
    assert column(table, 3) == ["fail", "fail", "pass"]
    assert column(table, 5) == ["0.05", "0.1", "0.8"]


def test_walking_marking_and_opening(table, qtbot):
    opened, moved = [], []
    table.opened.connect(opened.append)
    table.moved.connect(moved.append)
    table.step(1)
    table.mark("defect")
    table.next_undecided()
    assert opened == [1, 2]
    assert moved == []  # who opens an image need not be told to go there too
    table.view.setCurrentIndex(table.rows.index(2, 1))
    assert moved == [0]
    table.step(0)
    assert opened == [1, 2, 0]
    assert table._session.decisions == {table._session.inspected.key(1): "defect"}
    assert column(table, 4) == ["defect", "", ""]
    table.state.setCurrentText("undecided")
    assert column(table, 1) == ["c", "a"]
    assert table.number == 0  # the row stays chosen
    assert table.count.text() == "2 of 3 images"


def test_a_stroke_is_starred(table, qtbot):
    viewer = table._viewer
    about = belonging(viewer.layers[0], "ground truth") | {"dirty": set()}
    truth = viewer.add_labels(np.zeros((3, 12, 12), np.uint8), metadata=about)
    table.refresh_truth()
    truth.events.paint.connect(lambda _: truth.metadata["dirty"].add(0))
    truth.paint((0, 3, 3), 1)
    qtbot.waitUntil(lambda: column(table, 1) == ["b", "c", "* a"])
    assert column(table, 6) == ["none", "none", "painted"]
    truth.metadata["dirty"].clear()
    table._session.truth_changed.emit()
    assert column(table, 1) == ["b", "c", "a"]
    assert column(table, 6) == ["none", "none", "painted"]


def test_thumbnails_come_from_the_layer(table, qtbot):
    assert table.pictures.of(2) is None  # asked for
    qtbot.waitUntil(lambda: table.pictures.of(2) is not None)
