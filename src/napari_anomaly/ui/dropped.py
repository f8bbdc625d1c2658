"""A detector dropped onto the window becomes the present one; a presence check likewise."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_anomaly.ui.preferences import PLUGIN

LayerData = tuple[Any, ...]

DETECTOR, PRESENCE = ".anomaly", ".presence"

_PAGES = {DETECTOR: ("Inspect", "detector"), PRESENCE: ("Presence check", "presence check")}
"""Which page uses what such a file holds, and what it is called there."""


def get_file_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the reader of one file that this plugin saved."""
    if not isinstance(path, str):
        if len(path) != 1:
            return None
        path = path[0]
    return open_in_page if Path(path).suffix in _PAGES else None


def open_in_page(path: str | Sequence[str]) -> list[LayerData]:
    """Show the page that uses the file and let it read it, in the background.

    Returns
    -------
    list
        napari's sign that there is no layer to add.

    Raises
    ------
    CheckpointError
        The file is not what its name says, or damaged; no page is opened for it.
    """
    import napari

    from napari_anomaly.core import checkpoint

    file = Path(path if isinstance(path, str) else path[0])
    page, kind = _PAGES[file.suffix]
    checkpoint.read(file, kind)
    viewer = napari.current_viewer()
    if viewer is not None:
        viewer.window.add_plugin_dock_widget(PLUGIN, page, tabify=True)[1].load(file)
    return [(None,)]
