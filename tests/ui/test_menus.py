"""The menu's command saves what is selected and says what it did."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from napari_anomaly.ui import menus
from napari_anomaly.ui.menus import reset_colours, save_masks, save_regions
from napari_anomaly.ui.numbering import region_table


@pytest.fixture
def notes():
    seen = []

    def note(notification):
        seen.append((str(notification.severity), notification.message))

    notification_manager.notification_ready.connect(note)
    yield seen
    notification_manager.notification_ready.disconnect(note)


def test_save_selected_masks(tmp_path, monkeypatch, notes):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    viewer = ViewerModel()
    viewer.add_labels(np.eye(8, dtype=np.int32), name="a")
    viewer.add_labels(np.eye(8, dtype=np.int32), name="b")
    viewer.add_image(np.zeros((8, 8)))
    viewer.layers.selection = set(viewer.layers) - {viewer.layers["b"]}
    save_masks(viewer)
    assert [path.name for path in (tmp_path / "ground_truth/defect").iterdir()] == ["a_mask.png"]
    assert notes == [("info", f"1 masks are in {tmp_path}/ground_truth")]

    viewer.layers["a"].data_setitem((np.array([0]), np.array([1])), 1)
    save_masks(viewer)
    assert notes[1][0] == "error"
    assert "exists and differs" in notes[1][1]


def test_nothing_selected(notes):
    save_masks(ViewerModel())
    assert notes == [("error", "select the Labels layers to save in the layer list first")]


@pytest.fixture
def inspected(qapp):  # the question where to save needs one
    viewer = ViewerModel()
    about = {"role": "anomaly regions", "sample": ["a.png", "b.png"]}
    table = {"index": [0, 1, 2], "image": [None, 0, 1], "area": [0, 12, 3]}
    for name in ("one", "two"):
        viewer.add_labels(np.zeros((2, 4, 5), np.int32), name=name, metadata=about, features=table)
    role = {"role": "anomaly map", "map_threshold": 3.0}
    viewer.add_image(np.zeros((2, 4, 5)), name="map", metadata=role, contrast_limits=(0, 1))
    return viewer


def test_save_regions(tmp_path, monkeypatch, notes, inspected):
    path = tmp_path / "regions.csv"
    monkeypatch.setattr(menus, "ask_where_to_save", lambda *_: path)
    inspected.layers.selection = {inspected.layers["two"]}
    save_regions(inspected)
    lines = path.read_text().splitlines()
    assert lines == ["layer,index,image,area", "two,1,a.png,12", "two,2,b.png,3"]
    inspected.layers.selection = set()
    save_regions(inspected)
    assert len(path.read_text().splitlines()) == 5
    assert notes == [("info", f"{n} regions are in {path}") for n in (2, 4)]


def test_rows_whose_regions_are_gone_are_not_saved(tmp_path, monkeypatch, notes, inspected):
    path = tmp_path / "regions.csv"
    monkeypatch.setattr(menus, "ask_where_to_save", lambda *_: path)
    layer = inspected.layers["one"]
    layer.features = region_table([{"index": k, "image": n} for k, n in enumerate([None, None, 1])])
    inspected.layers.selection = {layer}
    save_regions(inspected)
    assert path.read_text().splitlines()[1:] == ["one,2,b.png,nan,nan,nan,nan"]
    layer.features = layer.features.reindex(range(4))  # as napari and pandas lengthen it
    save_regions(inspected)
    assert notes == [("info", f"1 regions are in {path}")] * 2


def test_no_regions_and_no_map(notes):
    save_regions(ViewerModel())
    reset_colours(ViewerModel())
    assert notes == [
        ("error", "there are no anomaly regions yet; inspect images first"),
        ("error", "there is no anomaly map yet; inspect images first"),
    ]


def test_colours_back_to_the_limit(inspected):
    reset_colours(inspected)
    assert inspected.layers["map"].contrast_limits == [1.5, 6.0]
