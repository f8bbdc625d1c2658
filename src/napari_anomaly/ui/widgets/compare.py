"""Compare: a layer and several detector files in, their layers beside each other out."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.ui.comparing import add_comparison_to_viewer, inspect_with
from napari_anomaly.ui.forms import patient, tip
from napari_anomaly.ui.layers import is_input, slices
from napari_anomaly.ui.planes import is_single, names_of
from napari_anomaly.ui.widgets.panel import WorkPanel
from napari_anomaly.ui.widgets.source import bare
from napari_anomaly.ui.widgets.train import FILES

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.core.types import Inspection


class CompareWidget(QWidget):
    """Show what several detectors find in the same layer."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self._layers: list[Image] = []
        self._files: list[Path] = []
        self.layer_box = QComboBox()
        patient(self.layer_box)
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.add_button, self.remove_button = QPushButton("Add ..."), QPushButton("Remove")
        self.panel = WorkPanel("Compare", self.compare)
        self._lay_out()
        self.add_button.clicked.connect(self._ask_add)
        self.remove_button.clicked.connect(self._remove)
        self.layer_box.currentIndexChanged.connect(lambda _: self._check())
        self.reset_choices()

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        number = self.layer_box.currentIndex()
        return self._layers[number] if 0 <= number < len(self._layers) else None

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers, keeping the choice; napari calls this. What this plugin made is no input."""
        before = self.layer
        self._layers = list(filter(is_input, map(bare, self._viewer.layers)))
        self.layer_box.blockSignals(True)
        self.layer_box.clear()
        self.layer_box.addItems([layer.name for layer in self._layers])
        kept = [k for k, layer in enumerate(self._layers) if layer is before]
        self.layer_box.setCurrentIndex(kept[0] if kept else 0)
        self.layer_box.blockSignals(False)
        self._check()

    def add(self, *files: Path) -> None:
        """Add detectors, each once."""
        self._files += [path for path in dict.fromkeys(files) if path not in self._files]
        self._show_files()

    def compare(self) -> None:
        """Inspect the layer with every detector; layers are shown when all have done so."""
        layer, files = self.layer, list(self._files)
        if layer is None or not files:
            return
        images = slices(layer)
        names = names_of(layer, len(images))
        self.panel.run(
            lambda: inspect_with(files, images, names), lambda found: self._show(found, layer)
        )

    def _show(self, found: "dict[str, list[Inspection]]", layer: Image) -> None:
        single = is_single(layer)
        results = {name: one[0] if single else one for name, one in found.items()}
        add_comparison_to_viewer(self._viewer, results, source=layer)
        told = (
            f"{sum(result.verdict == 'fail' for result in one)} of {len(one)} by {name}"
            for name, one in found.items()
        )
        self.panel.say(f"images that fail: {', '.join(told)}")

    def _check(self) -> None:
        missing = None if self.layer is not None else "open an image layer first"
        self.panel.ready(missing or (None if len(self._files) > 1 else "add two or more detectors"))

    def _show_files(self) -> None:
        self.list.clear()
        self.list.addItems([path.name for path in self._files])
        for row, path in enumerate(self._files):
            if item := self.list.item(row):
                item.setToolTip(tip(str(path)))
        self._check()

    def _ask_add(self) -> None:
        chosen = QFileDialog.getOpenFileNames(self, "Add detectors", "", FILES)[0]
        self.add(*map(Path, chosen))

    def _remove(self) -> None:
        gone = {self.list.row(item) for item in self.list.selectedItems()}
        self._files = [path for row, path in enumerate(self._files) if row not in gone]
        self._show_files()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.remove_button)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("image", self.layer_box)
        rows.addRow("detectors", self.list)
        rows.addRow("", buttons)
        layout = QVBoxLayout(self)
        layout.addLayout(rows)
        layout.addWidget(self.panel)
        layout.addStretch()
        self.list.setMaximumHeight(140)
        self.setMinimumWidth(300)
