"""Inspect: a detector and images in, layers and scores out."""

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.ui.inspecting import Found, inspect_folder, inspect_images, show_folder
from napari_anomaly.ui.layers import add_to_viewer, in_words, slices, slide_to
from napari_anomaly.ui.remembered import recall, remember
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.widgets.header import Header
from napari_anomaly.ui.widgets.panel import WorkPanel, is_alive
from napari_anomaly.ui.widgets.source import SourceChooser
from napari_anomaly.ui.widgets.table import ImageTable, names_of
from napari_anomaly.ui.widgets.train import ask_which_detector, loading
from napari_anomaly.ui.widgets.train import in_words as detector_in_words

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image, Layer

    from napari_anomaly.core.detector import Detector

COLUMNS = ("image", "score", "p", "verdict")


class InspectWidget(QScrollArea):
    """Inspect a layer or a folder with the present detector."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self.session = session_of(viewer)
        self.detector = QLabel()
        self.detector.setWordWrap(True)
        self.load_button = QPushButton("Load ...")
        self.source = SourceChooser(viewer, self._check)
        self.reconstruction = QCheckBox("add the reconstructions")
        self.reconstruction.setChecked(True)
        self.reconstruction.setToolTip("what each image should look like; needs the most memory")
        self.panel = WorkPanel("Inspect", self.inspect)
        self.header = Header(self.session, self.source, self.panel)
        self.table = ImageTable(COLUMNS)
        self._lay_out()
        self.load_button.clicked.connect(self._ask_load)
        self._shown: list[tuple[int, list[Layer]]] = []  # layers of the table's images
        self.table.cellClicked.connect(lambda row, _: self.go_to(row))
        self.panel.toggled.connect(self._busy)
        self.session.changed.connect(self._show_detector)
        self.source.recall(recall().folder)
        self._show_detector()

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers; napari calls this."""
        self.source.refresh()

    def inspect(self) -> None:
        """Inspect what is chosen; layers and scores are shown."""
        detector, layer, folder = self.session.detector, self.source.layer, self.source.folder
        if detector is None:
            return
        keep = self.reconstruction.isChecked()
        if layer is not None:
            images = slices(layer)
            names = names_of(layer, len(images))
            self.panel.run(
                lambda: inspect_images(detector, images, names, reconstruction=keep),
                lambda found: self._show_layer(found, layer, keep),
            )
        elif folder is not None:
            self.panel.run(
                lambda: inspect_folder(detector, folder, reconstruction=keep),
                lambda found: self._show_folder(found, folder, keep),
            )

    def load(self, path: Path) -> None:
        """Read a detector in the background and make it the present one."""

        def loaded(detector: "Detector") -> None:
            self.session.detector = detector

        remember(detector=str(path))
        self.panel.run(loading(path), loaded)

    def _show_layer(self, found: Found, layer: "Image", keep: bool) -> None:
        single = layer.ndim <= 2
        added = add_to_viewer(
            self._viewer,
            found.results[0] if single else list(found.results),
            source=layer,
            reconstruction=keep,
        )
        self._shown = [(0, added)]
        self._show_scores(found)

    def _show_folder(self, found: Found, folder: Path, keep: bool) -> None:
        self._shown = show_folder(self._viewer, found, folder.name, reconstruction=keep)
        self._show_scores(found)

    def _show_scores(self, found: Found) -> None:
        self.session.inspected = found.inspected
        rows = [(result.score, result.p_value, result.verdict) for result in found.results]
        self.table.fill(found.names, rows, [in_words(result) for result in found.results])
        self.table.sortItems(1, Qt.SortOrder.DescendingOrder)
        failed = sum(result.verdict == "fail" for result in found.results)
        self.panel.say(
            in_words(found.results[0])
            if len(found.results) == 1
            else f"{failed} of {len(found.results)} images fail; click a row to see the image"
        )

    def go_to(self, row: int) -> None:
        """Bring the image of a table row into view."""
        number = self.table.number_of(row)
        if number is None:
            return
        if len(self._shown) == 1:
            slide_to(self._viewer, self._shown[0][1][-1], number)
        elif any(number == k for k, _ in self._shown):
            for k, layers in self._shown:
                for layer in layers:
                    layer.visible = k == number and "reconstruction" not in layer.name

    def _check(self) -> None:
        if hasattr(self, "header"):
            no_detector = None if self.session.detector else "train or load a detector first"
            self.panel.ready(no_detector or self.source.missing())
            self.header.refresh()

    def _busy(self, running: bool) -> None:
        self.load_button.setDisabled(running)

    def _show_detector(self) -> None:
        if not is_alive(self):
            return
        detector = self.session.detector
        self.detector.setText("none yet" if detector is None else detector_in_words(detector))
        self._check()

    def _ask_load(self) -> None:
        if path := ask_which_detector(self):
            self.load(path)

    def _lay_out(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("detector", self.detector)
        rows.addRow("", self.load_button)
        rows.addRow("images", self.source)
        rows.addRow("", self.reconstruction)
        layout.addWidget(self.header)
        layout.addLayout(rows)
        layout.addWidget(self.panel)
        layout.addWidget(self.table, 1)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(340)
