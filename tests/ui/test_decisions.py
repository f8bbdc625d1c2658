"""What a person says of the images is there again in the next session, and a damaged file is left alone."""

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_plugin_settings
from qtpy.QtWidgets import QWidget

from napari_anomaly.core.data.folders import Dataset
from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Sample
from napari_anomaly.ui import autosave
from napari_anomaly.ui.decisions import decisions_file, keep_decisions, read_decisions
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.preferences import PLUGIN
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.streaming import Stream
from napari_anomaly.ui.widgets.deciding import KeptDecisions

NAMES = ("test/good/a.png", "test/hole/b.png")


def listed(folder: Path) -> Inspected:
    samples = tuple(Sample(folder / name, name) for name in NAMES)
    return Inspected(NAMES, np.zeros(2), samples, Dataset(folder, samples))


@pytest.fixture
def begin(qtbot):
    """Begin a session as the Inspect page does; the page goes with `keep_before_leaving`."""

    def new():
        owner, session = QWidget(), Session()
        qtbot.addWidget(owner)
        return session, KeptDecisions(session, owner)

    return new


def test_they_are_there_again_as_a_folder_and_as_a_layer(begin, tmp_path):
    session, kept = begin()
    session.inspected = listed(tmp_path)
    session.decide(session.inspected.key(1), "defect")
    session.decide(session.inspected.key(0), "good")
    kept.keep_before_leaving()
    assert (tmp_path / ".napari-anomaly" / "decisions.json").is_file()

    session, kept = begin()
    told = []
    session.decided.connect(lambda: told.append(dict(session.decisions)))
    about = {"path": str(tmp_path), "sample": list(NAMES)}
    layer = ViewerModel().add_image(np.zeros((2, 8, 8)), metadata=about)
    session.inspected = Stream(None, layer).inspected
    assert [session.decisions[session.inspected.key(k)] for k in (0, 1)] == ["good", "defect"]
    assert told == [session.decisions]
    session.decide(session.inspected.key(0), None)
    session.inspected = listed(tmp_path / "another")  # what waits is kept first
    assert read_decisions(decisions_file(tmp_path)) == {NAMES[1]: "defect"}
    assert not (tmp_path / "another").exists()


def test_what_another_window_said_meanwhile_stays(begin, tmp_path):
    (one, kept_by_one), (other, kept_by_other) = begin(), begin()
    one.inspected = other.inspected = listed(tmp_path)
    one.decide(one.inspected.key(0), "good")
    kept_by_one.keep_before_leaving()
    other.decide(other.inspected.key(1), "defect")
    kept_by_other.keep_before_leaving()
    assert read_decisions(decisions_file(tmp_path)) == {NAMES[0]: "good", NAMES[1]: "defect"}
    one.decide(one.inspected.key(0), None)
    kept_by_one.keep_before_leaving()
    assert read_decisions(decisions_file(tmp_path)) == {NAMES[1]: "defect"}


def test_images_of_others_stay_and_nothing_said_leaves_nothing(tmp_path):
    file = decisions_file(tmp_path)
    keep_decisions(file, {"a": "good", "b": "defect"})
    keep_decisions(file, {"b": None, "c": "good"})
    assert read_decisions(file) == {"a": "good", "c": "good"}
    keep_decisions(file, {"a": None, "c": None})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"decisions": 1}', '{"decisions": {"a": "perhaps"}}', "[" * 99_999]
)
def test_a_damaged_file_is_named_and_stays(begin, tmp_path, text):
    file = decisions_file(tmp_path)
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(DataError, match=r"decisions\.json: damaged .*until it is repaired or"):
        read_decisions(file)
    session, kept = begin()
    said = []
    kept.failed.connect(said.append)
    session.inspected = listed(tmp_path)
    session.decide(session.inspected.key(0), "good")
    kept.keep_before_leaving()
    assert len(said) == 2
    assert file.read_text() == text


def test_where_and_whether_is_as_the_preferences_say(begin, plugin, tmp_path, monkeypatch):
    monkeypatch.setattr(autosave.platformdirs, "user_data_path", lambda name: tmp_path / name)
    chosen = get_plugin_settings(PLUGIN)
    chosen.annotating.autosave = False
    session, kept = begin()
    session.inspected = listed(tmp_path / "images")
    session.decide(session.inspected.key(0), "good")
    kept.keep_before_leaving()
    assert list(tmp_path.rglob("decisions.json")) == []
    chosen.annotating.autosave = True
    chosen.folders.autosave = str(tmp_path / "kept")
    session.decide(session.inspected.key(1), "good")
    kept.keep_before_leaving()
    assert len(list((tmp_path / "kept").rglob("decisions.json"))) == 1
