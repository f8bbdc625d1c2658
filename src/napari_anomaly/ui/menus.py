"""Commands that stand in napari's menus and need no widget."""

from pathlib import Path

from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QTabWidget, QWidget

from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.errors import AnomalyError
from napari_anomaly.core.tables import csv_bytes
from napari_anomaly.ui.dropped import open_in_page
from napari_anomaly.ui.family import ANOMALY_MAP, REGIONS, ROLE
from napari_anomaly.ui.launch import dock, pages
from napari_anomaly.ui.preferences import PLUGIN
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.widgets.saving import ask_where_to_save
from napari_anomaly.ui.widgets.train import ask_which_detector
from napari_anomaly.ui.writers import write_masks


def open_workbench(viewer: Viewer) -> None:
    """Dock all pages as tabs, in the order of the work, the first on top."""
    names = pages()
    dock(viewer, names)
    first = viewer.window.add_plugin_dock_widget(PLUGIN, names[0])[0]
    # beside the pages: below them, the dock is too narrow to read so many names
    first.window().setTabPosition(
        Qt.DockWidgetArea.RightDockWidgetArea, QTabWidget.TabPosition.East
    )
    QTimer.singleShot(0, first.raise_)  # Qt puts a new tab on top only when it comes to rest


def open_detector() -> None:
    """Ask for a detector's file and make it the present one."""
    if path := ask_which_detector(None):
        try:
            open_in_page(str(path))
        except AnomalyError as error:
            show_error(str(error))


def save_masks(viewer: Viewer) -> None:
    """Ask for a folder and save the selected Labels layers there as MVTec masks."""
    chosen = [layer for layer in viewer.layers.selection if isinstance(layer, Labels)]
    if not chosen:
        show_error("select the Labels layers to save in the layer list first")
        return
    if folder := QFileDialog.getExistingDirectory(None, "Folder that gets ground_truth/"):
        try:
            paths = write_masks(folder, [layer.as_layer_data_tuple() for layer in chosen])
        except AnomalyError as error:
            show_error(str(error))
        else:
            show_info(f"{len(paths)} masks are in {folder}/ground_truth")


def save_regions(viewer: Viewer) -> None:
    """Ask for a file and save the numbers of all anomaly regions there, or of the selected layers alone."""
    found = [layer for layer in viewer.layers if layer.metadata.get(ROLE) == REGIONS]
    chosen = [layer for layer in found if layer in viewer.layers.selection] or found
    if not chosen:
        show_error("there are no anomaly regions yet; inspect images first")
        return
    path = ask_where_to_save(QWidget(), "Save regions", "regions.csv", "Table (*.csv)")
    if path is None:
        return
    try:
        rows = _write_regions(path, chosen)
    except OSError as error:
        show_error(f"{path}: cannot be written ({error.strerror})")
    else:
        show_info(f"{rows} regions are in {path}")


def reset_colours(viewer: Viewer) -> None:
    """Set the contrast of every anomaly map back: half the limit of one pixel is dark, twice it is bright."""
    maps = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and layer.metadata.get(ROLE) == ANOMALY_MAP
    ]
    if not maps:
        show_error("there is no anomaly map yet; inspect images first")
    detector = session_of(viewer).detector
    for layer in maps:
        limit = layer.metadata["map_threshold"]
        if detector is not None and len(maps) == 1:  # its thresholds may have been changed since
            limit = detector.calibration.map_threshold
        if 0 < limit < float("inf"):
            layer.contrast_limits = (limit / 2, 2 * limit)


def _write_regions(path: Path, layers: list[Labels]) -> int:
    """Write one row for each region that is there; its image by name where that is known."""
    rows = []
    for layer in layers:
        names = layer.metadata.get("sample")
        there = layer.features.dropna(subset=["image"])  # not the background, nor what is gone
        for row in there.to_dict("records"):
            number = int(row["image"])
            image = names[number] if isinstance(names, list) else number
            rows.append({"layer": layer.name, **row, "image": image})
    columns = ["layer", *layers[0].features.columns]
    write_atomically(path, csv_bytes(columns, rows))
    return len(rows)
