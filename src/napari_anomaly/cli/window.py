"""``napari-anomaly napari``."""

from pathlib import Path

from napari_anomaly.cli.common import loaded_detector


def napari(*folders: Path, detector: Path | None = None) -> None:
    """Open napari with the plugin docked.

    Parameters
    ----------
    folders
        Folders of images to open.
    detector
        A file that `fit` wrote, to begin with.
    """
    from napari_anomaly.ui.launch import check_window, open_napari

    check_window()
    loaded = None if detector is None else loaded_detector(detector)
    open_napari(paths=folders, detector=loaded)
