"""The Annotate page: keys and buttons write to a person's layer alone, and what was kept is offered."""

import numpy as np
import pytest
from napari.settings import get_plugin_settings
from qtpy.QtWidgets import QMessageBox

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui import autosave, shortcuts
from napari_anomaly.ui.family import REGIONS, belonging
from napari_anomaly.ui.masks import add_truth
from napari_anomaly.ui.preferences import PLUGIN
from napari_anomaly.ui.widgets import keeping
from napari_anomaly.ui.widgets.annotate import AnnotateWidget
from napari_anomaly.ui.widgets.source import bare

SHAPE = (2, 16, 18)
HERE = (0.0, 4.0, 4.0)


@pytest.fixture
def page(make_napari_viewer_proxy, needs_screen, tmp_path, monkeypatch):
    """Open the page on two images, the first with two regions of the machine's."""
    monkeypatch.setattr(autosave.platformdirs, "user_data_path", lambda name: tmp_path / name)
    viewer = make_napari_viewer_proxy()
    names = ["test/hole/000.png", "test/hole/001.png"]
    about = {"path": str(tmp_path), "sample": names, "defect": ["hole"] * 2}
    source = viewer.add_image(np.zeros(SHAPE), name="part", metadata=about)
    found = np.zeros(SHAPE, np.int32)
    found[0, 3:7, 3:7], found[0, 10:13, 10:15] = 1, 2
    source = getattr(source, "__wrapped__", source)
    viewer.add_labels(found, metadata=about | belonging(source, REGIONS))
    viewer.dims.set_point(0, 0)
    widget = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    return widget


def test_regions_are_accepted_merged_split_and_erased(page):
    machine = page.regions.data.copy()
    page.accept([HERE])
    np.testing.assert_array_equal(page.truth.data, machine == 1)
    page.accept_all([])
    np.testing.assert_array_equal(page.truth.data, machine)
    page.merge([HERE, (0.0, 11.0, 11.0)])
    np.testing.assert_array_equal(page.truth.data, machine > 0)
    page.split([HERE])
    assert len(np.unique(page.truth.data)) == 3
    page.erase([HERE])
    np.testing.assert_array_equal(page.truth.data > 0, machine == 2)
    for _ in range(5):
        page.truth.undo()
    assert not page.truth.data.any()
    np.testing.assert_array_equal(page.regions.data, machine)


def test_what_was_painted_is_kept_offered_and_saved(page, tmp_path, monkeypatch):
    page.accept([HERE])
    page.keeping.keep_now()
    painted = page.truth.data.copy()
    page._viewer.layers.remove(page.truth.name)
    page.reset_choices()
    assert page.truth is None
    assert "Labels of 1 image, kept" in page.keeping.offered.text()
    page.keeping.restore()
    np.testing.assert_array_equal(page.truth.data > 0, painted > 0)
    assert page.keeping.isHidden()
    (file,) = page.save(tmp_path)
    assert file.endswith("ground_truth/hole/000_mask.png")
    assert not (tmp_path / ".napari-anomaly").exists()
    assert not page.save_button.isEnabled()
    page.erase([HERE])
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    page._save_asking(tmp_path)
    assert page.truth.metadata["dirty"] == {0}
    page._save_asking(tmp_path)
    assert page.truth.metadata["dirty"] == set()


def test_a_painted_good_image_does_not_hold_up_the_others(page, tmp_path):
    page.accept([HERE])
    page.truth.paint((1, 5, 5), 3)
    for layer in (page.layer, page.truth):
        layer.metadata["defect"] = ["hole", "good"]
    (file,) = page.save(tmp_path)
    assert file.endswith("ground_truth/hole/000_mask.png")
    assert page.truth.metadata["dirty"] == {1}
    assert "Not saved: test/hole/001.png, painted but counted as good" in page.state.text()
    with pytest.raises(DataError, match="counts as good"):
        page.save(tmp_path)


def test_a_button_without_a_place_says_what_to_do(page):
    page.buttons[shortcuts.ERASE].click()
    assert "no region of the ground truth here" in page.state.text()
    page.accept([HERE])
    page._places = [HERE]
    page.buttons[shortcuts.MERGE].click()
    assert "found 1 region(s)" in page.state.text()


def test_a_moved_slider_forgets_what_was_clicked(page):
    page.accept([HERE])
    page.truth.paint((1, 4, 4), 1)
    before = page.truth.data.copy()
    page._places = [HERE]
    page._say_chosen()
    assert "region 1 of the ground truth" in page.chosen.text()
    page._viewer.dims.set_point(0, 1)
    page.buttons[shortcuts.ERASE].click()
    np.testing.assert_array_equal(page.truth.data, before)
    assert "nothing" in page.chosen.text()


def test_what_was_kept_is_looked_for_once_per_image(page, monkeypatch):
    looked = []
    monkeypatch.setattr(keeping, "offer_of", lambda *_: looked.append(1))
    page.reset_choices()
    page.layer_box.setCurrentIndex(-1)
    page.layer_box.setCurrentIndex(0)
    page.reset_choices()
    assert looked == [1]


def test_undo_of_napari_takes_an_operation_back_whichever_layer_was_selected(page):
    page.accept([HERE])
    page._viewer.layers.selection.active = page.regions
    page.accept_all([])
    assert bare(page._viewer.layers.selection.active) is page.truth


def test_every_key_is_bound_and_drawing_begins(page):
    bound = {str(key) for key in page._viewer.keymap}
    assert bound >= {one.key for one in shortcuts.ANNOTATE}
    page.draw([])
    assert page.truth.mode == "polygon"


def test_autosave_is_as_the_preferences_say(plugin, page, tmp_path, qtbot):
    chosen = get_plugin_settings(PLUGIN)
    folder, timer = tmp_path / "kept", page.keeping.timer
    chosen.folders.autosave = str(folder)
    chosen.annotating.autosave = False
    page.accept([HERE])
    page.keeping.keep_now()
    assert not timer.isActive()
    assert list(tmp_path.rglob("*.tif")) == []
    chosen.annotating.autosave = True
    chosen.annotating.autosave_seconds = 1
    page.accept_all([])
    assert timer.interval() == 1000
    assert timer.isActive()
    qtbot.waitUntil(lambda: bool(list(folder.rglob("*.tif"))), timeout=20_000)
    assert not (tmp_path / ".napari-anomaly").exists()
    page.save(tmp_path)
    assert list(folder.iterdir()) == []


def test_the_folder_table_is_told_of_strokes_restoring_and_saving(page, tmp_path):
    told = []
    page.session.truth_changed.connect(lambda: told.append(set(page.keeping.dirty)))
    page.accept([HERE])
    assert told == [{0}]
    page.save(tmp_path)
    assert told == [{0}, set()]
    page.accept_all([])
    page.keeping.keep_now()
    page._viewer.layers.remove(page.truth.name)
    page.reset_choices()
    told.clear()
    page.keeping.restore()
    assert told[-1] == {0}


def test_what_cannot_be_kept_is_said(plugin, page, tmp_path):
    (tmp_path / "file").touch()
    get_plugin_settings(PLUGIN).folders.autosave = str(tmp_path / "file")
    page.accept([HERE])
    page.keeping.keep_now()
    assert "what was painted could not be kept" in page.state.text()


def test_paint_from_before_the_page_and_of_another_image_is_kept(page, tmp_path):
    viewer, names = page._viewer, ["test/hole/002.png"]
    about = {"path": str(tmp_path), "sample": names, "defect": ["hole"]}
    other = viewer.add_image(np.zeros((1, 9, 9)), metadata=about)
    (truth,) = add_truth(viewer, bare(other), [np.ones((9, 9), bool)])
    viewer.layers.selection.active = viewer.layers["part"]
    page.layer_box.setCurrentIndex(0)
    assert page.layer.name == "part"
    truth.paint((0, 5, 5), 3)
    assert not page.keeping.timer.isActive()
    viewer.layers.selection.active = truth
    assert page.layer is bare(other)
    assert page.keeping.timer.isActive()
    assert page.save_button.isEnabled()
