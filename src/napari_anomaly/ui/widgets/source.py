"""Where images come from: a folder, or a layer of the viewer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from napari.layers import Image
from qtpy.QtWidgets import QComboBox, QFileDialog, QVBoxLayout, QWidget

from napari_anomaly.ui.forms import patient
from napari_anomaly.ui.layers import is_input
from napari_anomaly.ui.planes import CHANNELS, channel_axis, possible_channels
from napari_anomaly.ui.remembered import start_folder
from napari_anomaly.ui.widgets.layer_box import LayerBox

FOLDER = "a folder"


class SourceChooser(QWidget):
    """A list of the viewer's images, with a folder as first choice.

    Parameters
    ----------
    viewer : napari viewer
    chosen : callable
        Called whenever the choice changes.
    """

    def __init__(self, viewer: Any, chosen: Callable[[], None]) -> None:
        super().__init__()
        self._viewer = viewer
        self.box = LayerBox(FOLDER)
        self.folder_edit = FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True)
        self.folder_edit.line_edit.native.setPlaceholderText("folder of images")
        self.folder_edit.line_edit.tooltip = "a folder of images, or of the MVTec layout"
        self.folder_edit.choose_btn.text = "Browse"
        self.folder_edit.choose_btn.changed.disconnect()  # of magicgui: it begins anywhere
        self.folder_edit.choose_btn.changed.connect(self._browse)
        self.box.setToolTip("where the images come from: a folder, or an image layer")
        self.channels = QComboBox()
        self.channels.setToolTip(
            "which axis of the layer holds the colours of one image; the axis labelled c or channel unless chosen "
            "otherwise"
        )
        patient(self.channels)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(self.folder_edit.native)
        layout.addWidget(self.channels)
        self._chosen = chosen
        self.refresh()
        self.channels.activated.connect(self._choose_channels)
        self.box.currentIndexChanged.connect(lambda _: self._changed())
        self.folder_edit.changed.connect(lambda _: chosen())

    @property
    def layer(self) -> Image | None:
        """The chosen layer, or None for a folder."""
        chosen: Image | None = self.box.layer
        return chosen

    @property
    def folder(self) -> Path | None:
        """The folder typed or browsed to, if it is one."""
        text = str(self.folder_edit.line_edit.value).strip()
        folder = Path(text).expanduser()
        return folder if text and folder.is_dir() else None

    def choose(self, source: Path | Image) -> None:
        """Choose a folder or a layer."""
        if isinstance(source, Path):
            self.box.setCurrentIndex(0)
            self.folder_edit.value = source
        else:
            names = [layer.name for layer in self.box.layers]
            self.box.setCurrentIndex(1 + names.index(source.name))

    def recall(self, folder: str) -> None:
        """Choose the folder of last time, where it is still there and the viewer shows no images to choose."""
        if folder and not self.box.layers and Path(folder).is_dir():
            self.choose(Path(folder))

    def missing(self) -> str | None:
        """Say what is missing before work can start."""
        if self.layer is not None or self.folder is not None:
            return None
        text = str(self.folder_edit.line_edit.value).strip()
        return f"{text}: no such folder" if text else "choose a folder or an image layer"

    def refresh(self) -> None:
        """List the viewer's images anew, keeping the choice."""
        self.box.offer(images_in(self._viewer))
        self._changed()

    def _browse(self) -> None:
        start = str(self.folder or start_folder() or "")
        if chosen := QFileDialog.getExistingDirectory(self, "Folder of images", start):
            self.folder_edit.value = Path(chosen)

    def _changed(self) -> None:
        self.folder_edit.native.setVisible(self.layer is None)
        self._offer_channels()
        self._chosen()

    def _offer_channels(self) -> None:
        """List the axes that may hold colours; hidden where there is nothing to choose."""
        layer = self.layer
        possible = [] if layer is None else possible_channels(layer)
        self.channels.setVisible(bool(possible))
        self.channels.clear()
        if layer is not None and possible:
            names = [f"channels: axis {k} ({layer.axis_labels[k]})" for k in possible]
            self.channels.addItems(["no channels: grey images", *names])
            chosen = channel_axis(layer)
            self.channels.setCurrentIndex(0 if chosen is None else 1 + possible.index(chosen))

    def _choose_channels(self, number: int) -> None:
        if (layer := self.layer) is not None:
            layer.metadata[CHANNELS] = possible_channels(layer)[number - 1] if number else None
            self._chosen()


def images_in(viewer: Any) -> list[Image]:
    """List the viewer's images; what this plugin made is no input."""
    return list(filter(is_input, map(bare, viewer.layers)))


def bare(layer: Any) -> Any:
    """Take off the proxy around what a plugin's viewer hands out: it is a new one each time."""
    return getattr(layer, "__wrapped__", layer)
