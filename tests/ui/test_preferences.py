"""Each preference reaches what it is about; what is remembered survives, and a damaged file does no harm."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_plugin_settings

from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.devices import share
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.preferences import PLUGIN, Preferences, preferences
from napari_anomaly.ui.remembered import Remembered, recall, remember, start_folder
from napari_anomaly.ui.widgets.source import SourceChooser


@pytest.fixture
def chosen(plugin):
    return get_plugin_settings(PLUGIN)


def test_defaults_of_the_manifest_and_without_it_agree(plugin):
    assert preferences() == Preferences()


def test_without_the_plugin_there_are_defaults(plugin_settings):
    assert preferences() == Preferences()


def test_what_is_chosen_is_read_and_kept(chosen, tmp_path):
    chosen.computing.device = "cpu"
    chosen.computing.gpu_memory = 0.5
    chosen.computing.cache = 64
    chosen.computing.own_process = True
    chosen.folders.images = str(tmp_path)
    chosen.folders.autosave = "~/kept"
    chosen.annotating.autosave = False
    chosen.annotating.autosave_seconds = 60
    chosen.colours.heat_map = "viridis"
    chosen.colours.outline = "magenta"
    kept = Path("~/kept").expanduser()
    assert preferences() == Preferences(
        "cpu", 0.5, 64, True, tmp_path, False, 60, kept, "viridis", "magenta"
    )
    assert "heat_map: viridis" in chosen.config_path.read_text()


def test_an_impossible_choice_is_refused(chosen):
    with pytest.raises(ValueError, match="allowed enum values"):
        chosen.computing.device = "tpu"
    with pytest.raises(ValueError, match=r"less than or equal to 0\.95"):
        chosen.computing.gpu_memory = 1.0


@pytest.mark.parametrize(
    ("wanted", "environment"),
    [
        (Preferences(), {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
        (
            Preferences(gpu_memory=0.5),
            {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_CLIENT_MEM_FRACTION": "0.50"},
        ),
        (
            Preferences(cache=0),
            {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "NAPARI_ANOMALY_CACHE_MIB": "0"},
        ),
    ],
)
def test_memory_and_cache_reach_the_environment(wanted, environment):
    found = {}
    share(found, wanted)
    assert found == environment


def test_the_environment_goes_before_preferences():
    said = {"XLA_CLIENT_MEM_FRACTION": "0.9", "NAPARI_ANOMALY_CACHE_MIB": "8"}
    found = dict(said)
    share(found, Preferences(gpu_memory=0.5, cache=64))
    assert found == said


DEVICE = """
from napari_anomaly.ui.devices import begin, device_in_words, share
from napari_anomaly.ui.preferences import Preferences
import sys
assert device_in_words() == "known when work starts" and "jax" not in sys.modules
share(wanted=Preferences(device={device!r}))
assert begin() == device_in_words()
print(device_in_words())
"""


def in_a_fresh_process(device):
    code = DEVICE.format(device=device)
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_the_device_is_used_and_only_then_known():
    run = in_a_fresh_process("cpu")
    assert (run.returncode, run.stdout) == (0, "CPU\n"), run.stderr


def test_a_gpu_is_used_or_missed():
    """Where there is none this shows that the choice is obeyed; where there is one, the test of the CPU does."""
    run = in_a_fresh_process("gpu")
    if run.returncode:
        assert "found no GPU that JAX can use" in run.stderr
    else:
        assert run.stdout != "CPU\n"


@pytest.mark.parametrize("device", ["auto", "cpu", "gpu"])
def test_the_device_is_that_of_the_preferences(chosen, device, monkeypatch):
    used = []
    monkeypatch.setattr("napari_anomaly.core.nn.devices.use", used.append)
    chosen.computing.device = device
    share({})
    assert used == ([] if device == "auto" else [device])


@pytest.mark.parametrize(("said", "kept"), [("64", 64 * 2**20), ("0", 0), ("much", 256 * 2**20)])
def test_the_size_of_the_cache(said, kept, monkeypatch):
    from napari_anomaly.core.nn import compiling

    monkeypatch.setenv("NAPARI_ANOMALY_CACHE_MIB", said)
    assert compiling._most() == kept


def test_colours_of_new_layers(chosen):
    chosen.colours.heat_map, chosen.colours.outline = "gray", "magenta"
    pixels, labels = np.zeros((4, 5), np.float32), np.zeros((4, 5), np.int32)
    found = Inspection(
        reconstruction=pixels,
        anomaly_map=pixels,
        score=0.0,
        p_value=1.0,
        verdict="pass",
        labels=labels,
        regions=(),
        threshold=1.0,
        map_threshold=1.0,
    )
    _, heat, regions = add_to_viewer(ViewerModel(), found)
    assert heat.colormap.colors[-1].tolist() == pytest.approx([1, 1, 1, 0.6])
    assert regions.colormap.color_dict[None].tolist() == [1, 0, 1, 1]


def test_what_is_remembered(own_cache):
    assert recall() == Remembered()
    remember(folder="/images", method="vae")
    remember(method="linear")
    assert recall() == Remembered("/images", "linear", "")
    assert {field.type for field in fields(Remembered)} == {str}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"folder": 7, "other": "x"}',
        '{"folder": "' + "x" * 20_000 + '"}',
        "[" * 9_000,
    ],
    ids=["empty", "cut", "a list", "of another type", "too long", "too deep"],
)
def test_a_damaged_file_says_nothing(text):
    remember(folder="/images")
    from napari_anomaly.ui import remembered

    remembered._file().write_text(text)
    assert recall() == Remembered()


def test_without_a_place_nothing_is_kept(own_cache):
    (own_cache.parent / "state").parent.mkdir(exist_ok=True)
    (own_cache.parent / "state").write_text("a file in the way")
    remember(folder="/images")
    assert recall() == Remembered()


def test_where_dialogs_begin(chosen, tmp_path, qtbot, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "napari_anomaly.ui.widgets.source.QFileDialog.getExistingDirectory",
        lambda parent, title, start: asked.append(start) or "",
    )
    source = SourceChooser(ViewerModel(), lambda: None)
    qtbot.addWidget(source)
    browse = source.folder_edit.choose_btn.native
    browse.click()
    remember(folder="/last")
    browse.click()
    chosen.folders.images = str(tmp_path)
    browse.click()
    assert asked == ["", "/last", str(tmp_path)]
    assert start_folder() == tmp_path
