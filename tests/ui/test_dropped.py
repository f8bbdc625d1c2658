"""A saved detector that is dropped becomes the present one; a damaged one says so; the header follows."""

import numpy as np
import pytest
from napari.components import ViewerModel
from superqt.utils import WorkerBase

import napari_anomaly as na
from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.ui import menus
from napari_anomaly.ui.dropped import get_file_reader, open_in_page
from napari_anomaly.ui.remembered import recall, remember
from napari_anomaly.ui.widgets.inspect import InspectWidget
from napari_anomaly.ui.widgets.train import TrainWidget

SECONDS = 60_000  # milliseconds that a compilation may take on a busy machine


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 255, (8, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def file(images, tmp_path_factory):
    detector = na.fit(list(images), Linear(patch=4, scales=(1, 2), components=3))
    return detector.save(tmp_path_factory.mktemp("saved") / "one.anomaly")


def test_only_our_files_are_ours(tmp_path):
    assert get_file_reader("a.anomaly") is get_file_reader(["b.presence"]) is open_in_page
    assert get_file_reader("a.png") is None
    assert get_file_reader(["a.anomaly", "b.anomaly"]) is None


def test_a_damaged_file_is_refused_in_words(tmp_path, file):
    cut = tmp_path / "cut.anomaly"
    cut.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"cut\.anomaly: damaged or not a detector"):
        open_in_page(str(cut))
    detector = tmp_path / "detector.presence"
    detector.write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match="found a 'detector'; expected a presence check"):
        open_in_page(str(detector))


def test_a_dropped_detector_is_the_present_one(
    needs_screen, plugin, make_napari_viewer, qtbot, file
):
    viewer = make_napari_viewer()
    viewer.open(str(file), plugin=None)  # as a file that is dropped
    assert len(viewer.layers) == 0
    (page,) = viewer.window.dock_widgets.values()
    assert page.header.state.text() == "working"
    qtbot.waitUntil(lambda: not page.panel.running, timeout=SECONDS)
    WorkerBase.await_workers(SECONDS)
    assert page.session.detector.provenance.n_train == 6
    assert page.header.detector.text() == "linear, from a layer"
    assert page.header.state.text() == "waits for a choice"
    assert recall().detector == str(file)


def test_the_workbench_has_every_page_once(needs_screen, plugin, make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    menus.open_workbench(viewer)
    menus.open_workbench(viewer)
    names = [name.partition(" (")[0] for name in viewer.window.dock_widgets]
    work = ["Train", "Inspect", "Threshold", "Why?", "Annotate", "Compare", "Presence check"]
    assert names == work
    train = viewer.window.dock_widgets[next(iter(viewer.window.dock_widgets))]
    qtbot.waitUntil(lambda: not train.visibleRegion().isEmpty(), timeout=10_000)  # on top
    docks = [page.parent() for page in viewer.window.dock_widgets.values()]
    assert [
        dock.windowTitle() for dock in docks
    ] == work  # without the plugin's name: tabs are small


def test_the_header_says_what_is_chosen(qtbot, images):
    viewer = ViewerModel()
    page = TrainWidget(viewer)
    qtbot.addWidget(page)
    header = page.header
    assert header.detector.text() == "none yet: train or load one"
    assert (header.images.text(), header.state.text()) == ("none yet", "waits for a choice")
    layer = viewer.add_image(images, name="parts")
    page.reset_choices()
    page.source.choose(layer)
    assert (header.images.text(), header.state.text()) == ("parts", "ready")


def test_the_last_choices_are_back_unless_images_are_open(qtbot, images, tmp_path):
    remember(folder=str(tmp_path), method="vae")
    page = TrainWidget(ViewerModel())
    qtbot.addWidget(page)
    assert (page.source.folder, page.method.value) == (tmp_path, "vae")
    viewer = ViewerModel()
    viewer.add_image(images)
    for kind in (TrainWidget, InspectWidget):
        other = kind(viewer)
        qtbot.addWidget(other)
        assert other.source.folder is None
    remember(folder=str(tmp_path / "gone"), method="unheard of")
    page = TrainWidget(ViewerModel())
    qtbot.addWidget(page)
    assert (page.source.folder, page.method.value) == (None, "linear")
