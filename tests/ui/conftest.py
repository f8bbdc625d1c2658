"""Window tests run where a window can be made; everything else needs no screen."""

import os
import sys

import platformdirs
import pytest

if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

pytest.importorskip("napari")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep states and settings of tests away from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: folder / name)
    monkeypatch.setattr(platformdirs, "user_state_path", lambda name: folder / "state" / name)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return folder / "napari-anomaly"


@pytest.fixture
def needs_screen():
    """Skip where napari's canvas cannot draw: images need OpenGL, which Qt lacks offscreen."""
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        pytest.skip("no screen: napari's canvas needs OpenGL")


@pytest.fixture
def plugin(plugin_settings, npe2pm):
    """Let napari know this plugin and its own readers and writers, and no other plugin; its preferences are default."""
    with npe2pm.tmp_plugin(package="napari-anomaly"), npe2pm.tmp_plugin(package="napari"):
        yield npe2pm


class Counted:
    """Counts how many pixels are read of an array at once, at most."""

    def __init__(self, array):
        self.array, self.most = array, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key):
        self.most = max(self.most, self.array[key].size)
        return self.array[key]


@pytest.fixture
def counted():
    """Wrap an array, to see what is read of it."""
    return Counted
