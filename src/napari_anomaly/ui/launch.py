"""Open napari with the plugin docked, or say what the machine lacks."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anomaly.core.errors import AnomalyError
from napari_anomaly.ui.preferences import PLUGIN

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.core.detector import Detector

PACKAGES = (
    "libegl1 libgl1 libglib2.0-0 libfontconfig1 libgssapi-krb5-2 libdbus-1-3 "
    "libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
    "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1"
)
"""Debian packages that Qt 6 and OpenGL need and a bare machine lacks."""

_WITHOUT_SCREEN = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")
_PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"


class WindowError(AnomalyError, RuntimeError):
    """No window can be opened; the message says what to install or set."""


def open_napari(
    *,
    paths: Sequence[str | Path] = (),
    layers: Sequence[tuple[Any, dict[str, Any], str]] = (),
    detector: "Detector | None" = None,
    widgets: Sequence[str] = ("Train", "Inspect"),
    block: bool = True,
) -> "napari.viewer.Viewer":
    """Open napari with the plugin's widgets docked as tabs.

    Parameters
    ----------
    paths : sequence of path
        Folders to open with this plugin.
    layers : sequence of (data, attributes, type)
        Added after them.
    detector : Detector, optional
        The widgets' present detector.
    widgets : sequence of str
        Display names; the last is on top.
    block : bool
        Return only when the window is closed.

    Raises
    ------
    WindowError
        napari, Qt, a system library or a screen is missing.
    """
    check_window()
    import napari  # only where there is a window

    viewer = napari.Viewer()
    for path in paths:
        viewer.open(str(path), plugin=PLUGIN)
    for data, attributes, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **attributes)
    docked = dock(viewer, widgets)
    if detector is not None and docked:
        docked[0].session.detector = detector
    if block:
        napari.run()
    return viewer


def dock(viewer: "napari.viewer.Viewer", widgets: Sequence[str]) -> list[Any]:
    """Dock this plugin's widgets as tabs of one place, in this order; those that are docked stay where they are.

    Returns
    -------
    list of QWidget
    """
    docked = []
    for k, name in enumerate(widgets):
        place, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=bool(k))
        place.setWindowTitle(name)  # of the tab; napari's has the plugin's name, too long for many
        docked.append(widget)
    return docked


def pages() -> list[str]:
    """Name all pages in the order of the work, which is that of the manifest."""
    from npe2 import PluginManager

    manifest = PluginManager.instance().get_manifest(PLUGIN)
    return [widget.display_name for widget in manifest.contributions.widgets or ()]


def check_window(environment: Mapping[str, str] = os.environ) -> None:
    """Find out whether a window can be opened, without risk to this process.

    Qt aborts the process when a system library is missing, so another one tries first.

    Raises
    ------
    WindowError
        See `open_napari`.
    """
    if find_spec("napari") is None or find_spec("qtpy") is None:
        raise WindowError(
            "napari is not installed; the window needs it. "
            'Install it with: pip install "napari-anomaly[all]"'
        )
    platform = environment.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if (
        sys.platform == "linux"
        and platform not in _WITHOUT_SCREEN
        and not environment.get("DISPLAY")
        and not environment.get("WAYLAND_DISPLAY")
    ):
        raise WindowError(
            "no screen: neither DISPLAY nor WAYLAND_DISPLAY is set. Log in to a desktop, use "
            "ssh -X, or put xvfb-run -a before the command; all but the window works without"
        )
    _probe(environment)


def _probe(environment: Mapping[str, str]) -> None:
    try:
        tried = subprocess.run(  # noqa: S603  our own interpreter and text
            [sys.executable, "-c", _PROBE],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WindowError("Qt did not start within 60 s; is the screen reachable?") from error
    if tried.returncode:
        said = [line for line in tried.stderr.splitlines() if line.strip()]
        raise WindowError(
            f"Qt cannot start: {_telling(said)}"
            + (
                f"\nOn Debian or Ubuntu: apt-get install {PACKAGES}"
                if sys.platform == "linux"
                else ""
            )
        )


def _telling(lines: Sequence[str]) -> str:
    """Pick the line that says what is missing out of what a dying Qt prints."""
    for word in ("cannot open shared object", "could not", "Could not", "Error"):
        for line in lines:
            if word in line:
                return line.strip()
    return lines[-1].strip() if lines else "it ended without a word"
