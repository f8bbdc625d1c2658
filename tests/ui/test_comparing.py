"""Detectors beside each other: layers, their places in the grid, and the widget with real detectors."""

import os
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

import napari_anomaly as na
from napari_anomaly.core.errors import DataError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.comparing import inspect_with
from napari_anomaly.ui.family import family_of
from napari_anomaly.ui.scripts import Action, loaded
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.widgets.copying import CopyButton
from napari_anomaly.ui.widgets.side_by_side import DetectorsPage

SECONDS = 60_000  # milliseconds that a compilation may take on a busy machine


def inspection(value):
    anomaly_map = np.full((12, 10), value, np.float32)
    return Inspection(
        reconstruction=anomaly_map / 10,
        anomaly_map=anomaly_map,
        score=value,
        p_value=0.5,
        verdict="pass",
        threshold=2.0,
        map_threshold=4.0,
        labels=np.zeros((12, 10), np.int32),
        regions=(),
    )


@pytest.fixture
def viewer():
    return ViewerModel()


def test_every_method_has_a_cell_of_the_grid_in_the_order_given(viewer):
    viewer.add_image(np.zeros((12, 10)), name="another")
    source = viewer.add_image(np.zeros((12, 10)), name="part", scale=(2, 3), translate=(1, 1))
    found = {name: inspection(k) for k, name in enumerate(("ae", "f-anogan", "linear"))}
    added = na.add_comparison_to_viewer(viewer, found, source=source)
    assert list(added) == ["ae", "f-anogan", "linear"]
    for k, (name, layers) in enumerate(added.items()):
        assert [layer.name for layer in layers] == [
            *(f"part {name} image", f"part {name} reconstruction"),
            *(f"part {name} anomaly map", f"part {name} anomaly regions"),
        ]
        assert isinstance(layers[3], Labels)
        assert layers[0].data is source.data
        assert family_of(viewer, layers[3]).source.name == layers[0].name  # not of the source's own
        assert layers[2].data.max() == k
        for layer in layers:
            np.testing.assert_allclose(layer.data_to_world((3, 4)), source.data_to_world((3, 4)))
        cells = {
            viewer.canvas.grid.position(viewer.layers.index(layer), viewer.layers)
            for layer in layers
            if layer.visible
        }
        assert cells == {divmod(k, 2)}  # four cells, two by two
    assert viewer.canvas.grid.position(viewer.layers.index(source), viewer.layers) == (1, 1)


def test_stacks_and_nothing(viewer):
    source = viewer.add_image(np.zeros((2, 12, 10)), name="stack")
    both = [inspection(1), inspection(2)]
    added = na.add_comparison_to_viewer(viewer, {"a": both, "b": both}, source=source)
    assert added["b"][2].data.shape == (2, 12, 10)
    with pytest.raises(DataError, match="found no inspections to compare"):
        na.add_comparison_to_viewer(viewer, {}, source=source)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detectors")
    rng = np.random.default_rng(0)
    normals = [rng.normal(128, 9, (24, 24)).clip(0, 255).astype(np.uint8) for _ in range(8)]
    small = {"size": [16, 16]}
    patches = changed(RECIPES["linear"], {**small, "scales": [1], "patch": 4})
    whole = changed(RECIPES["linear-image"], small)
    return [
        fit(normals, recipe).save(folder / f"{name}.anomaly")
        for name, recipe in (("patches", patches), ("whole", whole))
    ]


@pytest.fixture
def widget(qtbot, viewer):
    one = DetectorsPage(viewer, Session())
    qtbot.addWidget(one)
    yield one
    one.panel.cancel()
    WorkerBase.await_workers(SECONDS)


def test_the_widget_shows_what_each_detector_finds(qtbot, viewer, widget, files):
    assert widget.panel.state.text() == "open an image layer first"
    image = np.full((24, 24), 128, np.uint8)
    viewer.add_image(image, name="part")
    widget.reset_choices()
    widget.add(files[0], files[0])
    assert widget.panel.state.text() == "add two or more detectors"
    assert not widget.panel.button.isEnabled()
    widget.add(*files)
    assert [widget.list.item(k).text() for k in range(2)] == ["patches.anomaly", "whole.anomaly"]
    widget.panel.press()
    qtbot.waitUntil(lambda: len(viewer.layers) == 9, timeout=SECONDS)
    for path in files:
        shown = viewer.layers[f"part {path.stem} anomaly map"]
        np.testing.assert_array_equal(shown.data, na.load(path).inspect(image).anomaly_map)
    qtbot.waitUntil(
        lambda: widget.panel.state.text().startswith("images that fail: "), timeout=SECONDS
    )
    widget.reset_choices()
    assert widget.layer_box.count() == 1  # its own layers are no input
    widget.list.item(0).setSelected(True)
    widget.remove_button.click()
    assert widget.panel.state.text() == "add two or more detectors"


@pytest.mark.parametrize(("present", "count"), [(False, 2), (True, None)])
def test_what_it_copies_compares_again(qtbot, viewer, widget, files, present, count):
    images = np.random.default_rng(1).integers(90, 160, (2, 24, 24), np.uint8)
    viewer.add_image(images if count else images[0], name="it's")
    widget.reset_choices()
    made = na.load(files[0])
    widget._session.did(Action(loaded(files[0]), makes=made))
    widget._session.detector = made.calibrate(false_alarm=0.5)
    widget.present.setChecked(present)
    widget.add(*files[present:])
    (button,) = widget.findChildren(CopyButton)
    widget.panel.press()
    qtbot.waitUntil(lambda: len(viewer.layers) == 9, timeout=SECONDS)
    button.copy()
    again = ViewerModel()
    again.add_image(viewer.layers["it's"].data, name="it's")
    exec(compile(QApplication.clipboard().text(), "copied", "exec"), {"viewer": again})
    assert [layer.name for layer in again.layers] == [layer.name for layer in viewer.layers]
    for one, other in zip(again.layers, viewer.layers, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.metadata.get("threshold") == other.metadata.get("threshold")


def test_the_graphics_card_is_shared_before_a_detector_is_read(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")

    next(inspect_with([Path("one.anomaly")], [], []))

    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_cancelled_work_leaves_no_layers(qtbot, viewer, widget, files):
    viewer.add_image(np.zeros((40, 24, 24), np.uint8), name="stack")
    widget.reset_choices()
    widget.add(*files)
    widget.panel.press()
    assert widget.panel.running
    widget.panel.press()
    WorkerBase.await_workers(SECONDS)
    assert widget.panel.state.text() == "cancelled"
    assert [layer.name for layer in viewer.layers] == ["stack"]


def test_an_error_is_shown_as_a_sentence(qtbot, viewer, widget, files, tmp_path):
    viewer.add_image(np.zeros((24, 24), np.uint8), name="part")
    widget.reset_choices()
    widget.add(files[0], tmp_path / "gone.anomaly")
    widget.panel.press()
    qtbot.waitUntil(lambda: "no such file" in widget.panel.state.text(), timeout=SECONDS)
    assert len(viewer.layers) == 1


@pytest.mark.usefixtures("needs_screen", "plugin")
def test_it_opens_from_the_menu_and_works_through_the_plugin_s_proxy(
    qtbot, make_napari_viewer_proxy, files
):
    proxy = make_napari_viewer_proxy()
    proxy.add_image(np.full((24, 24), 128, np.uint8), name="part")
    _, pages = proxy.window.add_plugin_dock_widget("napari-anomaly", "Compare")
    widget = pages.detectors
    pages.session.detector = na.load(files[0])
    widget.present.setChecked(True)
    widget.add(files[1])
    widget.panel.press()
    qtbot.waitUntil(lambda: len(proxy.layers) == 9, timeout=SECONDS)
    assert (proxy.canvas.grid.enabled, proxy.canvas.grid.stride) == (True, -4)
    assert "part present detector anomaly map" in proxy.layers
    widget.grid_button.click()
    assert (proxy.canvas.grid.enabled, proxy.canvas.grid.stride) == (False, 1)
    assert not widget.grid_button.isEnabled()
    WorkerBase.await_workers(SECONDS)
