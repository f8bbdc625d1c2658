"""Where no window can be opened the reason is said before Qt ends the process."""

import os
import sys

import numpy as np
import pytest

from napari_anomaly.ui import launch
from napari_anomaly.ui.launch import WindowError, check_window, open_napari

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="X11 and Wayland")
BARE = {
    key: value
    for key, value in os.environ.items()
    if key not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
}


@LINUX
def test_without_a_screen():
    with pytest.raises(WindowError, match="neither DISPLAY nor WAYLAND_DISPLAY is set"):
        check_window(BARE)


@LINUX
def test_an_unreachable_screen_names_the_packages():
    with pytest.raises(WindowError, match=r"Qt cannot start: .*\n.*libegl1 .*libxcb-cursor0"):
        check_window({**BARE, "DISPLAY": ":4711"})


def test_a_missing_library_is_named(monkeypatch):
    said = "libEGL.so.1: cannot open shared object file: No such file or directory"
    monkeypatch.setattr(launch, "_PROBE", f"raise ImportError({said!r})")
    with pytest.raises(WindowError, match=r"Qt cannot start: .*libEGL\.so\.1"):
        check_window({**BARE, "QT_QPA_PLATFORM": "offscreen"})


def test_without_napari(monkeypatch):
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(WindowError, match=r'pip install "napari-anomaly\[all\]"'):
        check_window()


def test_qt_starts_offscreen():
    check_window({**BARE, "QT_QPA_PLATFORM": "offscreen"})


def test_the_window_opens_with_both_widgets(needs_screen, make_napari_viewer, monkeypatch):
    viewers = []

    def viewer():
        viewers.append(make_napari_viewer())
        return viewers[-1]

    monkeypatch.setattr("napari.Viewer", viewer)
    monkeypatch.setattr(launch, "check_window", lambda: None)
    opened = open_napari(layers=[(np.zeros((8, 9)), {"name": "x"}, "image")], block=False)
    assert opened is viewers[0]
    assert opened.layers[0].name == "x"
    docked = opened.window.dock_widgets
    assert [name.split(" ")[0] for name in docked] == ["Train", "Inspect"]
    train, inspect = docked.values()
    assert train.session is inspect.session
