"""The menu's command saves what is selected and says what it did."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from napari_anomaly.ui.menus import save_masks


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
