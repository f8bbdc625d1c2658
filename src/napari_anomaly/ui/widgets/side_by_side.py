"""Several detectors beside each other: a layer and detectors in, a cell of the grid for each out."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.ui.comparing import add_comparison_to_viewer, inspect_with
from napari_anomaly.ui.forms import tip
from napari_anomaly.ui.layers import slices
from napari_anomaly.ui.planes import is_single, names_of
from napari_anomaly.ui.scripts import Action, compared
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.widgets.copying import CopyButton
from napari_anomaly.ui.widgets.layer_box import LayerBox
from napari_anomaly.ui.widgets.panel import WorkPanel, is_alive
from napari_anomaly.ui.widgets.source import images_in
from napari_anomaly.ui.widgets.train import FILES, in_words

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.core.detector import Detector
    from napari_anomaly.core.types import Inspection


FEWEST, TOO_FEW = 2, "add two or more detectors"


class DetectorsPage(QWidget):
    """Show what several detectors find in the same layer."""

    def __init__(self, viewer: "napari.viewer.Viewer", session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._files: list[Path] = []
        self.layer_box = LayerBox()
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.add_button, self.remove_button = QPushButton("Add ..."), QPushButton("Remove")
        self.present = QCheckBox("with the present detector")
        self.panel = WorkPanel("Compare", self.compare)
        self.grid_button = QPushButton("Leave the grid")
        self._grid_before: tuple[bool, int] | None = None
        self._lay_out()
        self.add_button.clicked.connect(self._ask_add)
        self.remove_button.clicked.connect(self._remove)
        self.layer_box.currentIndexChanged.connect(lambda _: self._check())
        self.present.toggled.connect(lambda _: self._check())
        self.grid_button.clicked.connect(self.leave_grid)
        session.changed.connect(self._show_present)
        viewer.canvas.grid.events.enabled.connect(self._show_grid)
        self._show_present()
        self._show_grid()
        self.reset_choices()

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        chosen: Image | None = self.layer_box.layer
        return chosen

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers, keeping the choice; napari calls this."""
        self.layer_box.offer(images_in(self._viewer))
        self._check()

    def add(self, *files: Path) -> None:
        """Add detectors, each once."""
        self._files += [path for path in dict.fromkeys(files) if path not in self._files]
        self._show_files()

    def compare(self) -> None:
        """Inspect the layer with every detector; layers are shown when all have done so."""
        layer, detectors = self.layer, self.detectors
        if layer is None or len(detectors) < FEWEST:
            return
        images = slices(layer)
        names = names_of(layer, len(images))
        self.panel.run(
            lambda: inspect_with(detectors, images, names),
            lambda found: self._show(found, layer, detectors),
        )

    @property
    def detectors(self) -> "list[Path | Detector]":
        """The present detector, if it takes part, and the files."""
        present = self._session.detector if self.present.isChecked() else None
        return [*([] if present is None else [present]), *self._files]

    def leave_grid(self) -> None:
        """Give the grid back the state that it had before the comparison, or switch it off."""
        grid = self._viewer.canvas.grid
        grid.enabled, grid.stride = self._grid_before or (False, grid.stride)
        self._grid_before = None

    def _show(
        self,
        found: "dict[str, list[Inspection]]",
        layer: Image,
        detectors: "list[Path | Detector]",
    ) -> None:
        single = is_single(layer)
        results = {name: one[0] if single else one for name, one in found.items()}
        grid = self._viewer.canvas.grid
        self._grid_before = self._grid_before or (grid.enabled, grid.stride)
        add_comparison_to_viewer(self._viewer, results, source=layer)
        told = (
            f"{sum(result.verdict == 'fail' for result in one)} of {len(one)} by {name}"
            for name, one in found.items()
        )
        self.panel.say(f"images that fail: {', '.join(told)}")
        files = {
            name: one if isinstance(one, Path) else None
            for name, one in zip(found, detectors, strict=True)
        }
        code = compared(layer.name, files, single=single)
        self._session.did(Action(code, alone=None not in files.values()))

    def _check(self) -> None:
        missing = None if self.layer is not None else "open an image layer first"
        self.panel.ready(missing or (None if len(self.detectors) >= FEWEST else TOO_FEW))

    def _show_present(self) -> None:
        if not is_alive(self):
            return
        detector = self._session.detector
        self.present.setEnabled(detector is not None)
        told = "train or load a detector first" if detector is None else in_words(detector)
        self.present.setToolTip(tip(told))
        self._check()

    def _show_grid(self, *_: object) -> None:
        if not is_alive(self):
            return
        on = self._viewer.canvas.grid.enabled
        self.grid_button.setEnabled(on)
        self.grid_button.setToolTip(
            "shows all layers on each other again" if on else "the grid is off"
        )

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
        rows.addRow("", self.present)
        layout = QVBoxLayout(self)
        layout.addLayout(rows)
        layout.addWidget(self.panel)
        layout.addWidget(CopyButton(self._session))
        layout.addWidget(self.grid_button)
        layout.addStretch()
        self.list.setMaximumHeight(140)
        self.setMinimumWidth(300)
