"""Commands that stand in napari's menus and need no widget."""

from napari.layers import Labels
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtWidgets import QFileDialog

from napari_anomaly.core.errors import AnomalyError
from napari_anomaly.ui.writers import write_masks


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
