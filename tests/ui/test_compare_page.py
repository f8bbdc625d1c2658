"""Compare's page of ground truth in the viewer."""

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget

from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.annotating import new_truth
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.widgets.compare import CompareWidget


@pytest.fixture
def viewer():
    """Hold an inspected image and its ground truth, which overlaps what was found."""
    model = ViewerModel()
    source = model.add_image(np.zeros((8, 8)), name="part")
    zeros = np.zeros((8, 8), np.float32)
    labels = zeros.astype(np.int32)
    labels[1:3, 1:5] = 1
    add_to_viewer(
        model, Inspection(zeros, zeros, 2.0, 0.1, "fail", 1.0, 1.0, labels, ()), source=source
    )
    new_truth(model, source).data_setitem(np.nonzero(np.roll(labels, 1, axis=0)), 1)
    return model


@pytest.fixture
def page(qtbot, viewer):
    dock = QWidget()
    qtbot.addWidget(dock)
    widget = CompareWidget(viewer)
    widget.setParent(dock)
    widget.reset_choices()
    yield widget
    dock.close()


def visible(viewer):
    return {layer.name: layer.visible for layer in viewer.layers}


def test_the_difference_covers_map_and_regions_until_the_page_is_closed(viewer, page):
    before = visible(viewer)
    page.truth.show_button.setChecked(True)
    shown = visible(viewer)
    assert not shown["part anomaly map"]
    assert not shown["part anomaly regions"]
    assert len(shown) > len(before)
    page.setParent(None)  # what napari does with a dock that is closed
    assert visible(viewer) == before
