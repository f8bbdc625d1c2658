"""Inspect: a detector and images in, layers and scores out."""

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.ui.family import number_shown
from napari_anomaly.ui.inspecting import Found, inspect_folder, show_folder
from napari_anomaly.ui.layers import in_words, slide_to
from napari_anomaly.ui.scripts import Action, Source, inspected, loaded
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.streaming import Stream
from napari_anomaly.ui.widgets.copying import CopyButton
from napari_anomaly.ui.widgets.panel import WorkPanel, is_alive
from napari_anomaly.ui.widgets.source import SourceChooser
from napari_anomaly.ui.widgets.table import ImageTable
from napari_anomaly.ui.widgets.train import FILES, loading
from napari_anomaly.ui.widgets.train import in_words as detector_in_words

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from napari_anomaly.core.detector import Detector
    from napari_anomaly.core.types import Inspection

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
        self.table = ImageTable(COLUMNS)
        self._lay_out()
        self.load_button.clicked.connect(self._ask_load)
        self._shown: list[tuple[int, list[Layer]]] = []  # layers of the table's images
        self.table.cellClicked.connect(lambda row, _: self.go_to(row))
        self.panel.toggled.connect(self._busy)
        self.session.changed.connect(self._show_detector)
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
            start = number_shown(self._viewer, layer)
            stream = Stream(detector, layer, start=start, reconstruction=keep)
            self.panel.run(
                stream.steps,
                self._show_stream,
                lambda _: self._show_more(stream),
                left=lambda: self._left(stream),
            )
        elif folder is not None:
            self.panel.run(
                lambda: inspect_folder(detector, folder, reconstruction=keep),
                lambda found: self._show_folder(found, folder, keep),
            )

    def load(self, path: Path) -> None:
        """Read a detector in the background and make it the present one."""

        def done(detector: "Detector") -> None:
            self.session.detector = detector
            self.session.did(Action(loaded(path), makes=detector))

        self.panel.run(loading(path), done)

    def _show_more(self, stream: Stream) -> None:
        stream.show(self._viewer)

    def _left(self, stream: Stream) -> str:
        self._show_stream(stream)
        return f"cancelled; {stream.in_words()}"

    def _show_stream(self, stream: Stream) -> None:
        """Show what a layer's inspection found by now."""
        self._shown = [(0, stream.show(self._viewer))]
        self.session.inspected = stream.inspected
        found = [stream.results.get(number) for number in range(len(stream.names))]
        rows = [("", "", "") if one is None else _numbers(one) for one in found]
        tips = ["not inspected" if one is None else in_words(one) for one in found]
        self.table.fill(stream.names, rows, tips)
        self.table.sortItems(1, Qt.SortOrder.DescendingOrder)
        self.panel.say(stream.in_words())
        self._did(stream.source.name, stream.reconstruction)

    def _show_folder(self, found: Found, folder: Path, keep: bool) -> None:
        self._shown = show_folder(self._viewer, found, folder.name, reconstruction=keep)
        self._show_scores(found)
        self._did(folder, keep)

    def _did(self, source: Source, keep: bool) -> None:
        self.session.did(Action(inspected(source, reconstruction=keep)))

    def _show_scores(self, found: Found) -> None:
        self.session.inspected = found.inspected
        rows = [_numbers(result) for result in found.results]
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
        if len(self._shown) == 1 and self._shown[0][1]:
            slide_to(self._viewer, self._shown[0][1][-1], number)
        elif any(number == k for k, _ in self._shown):
            for k, layers in self._shown:
                for layer in layers:
                    layer.visible = k == number and "reconstruction" not in layer.name

    def _check(self) -> None:
        if hasattr(self, "panel"):
            no_detector = None if self.session.detector else "train or load a detector first"
            self.panel.ready(no_detector or self.source.missing())

    def _busy(self, running: bool) -> None:
        self.load_button.setDisabled(running)

    def _show_detector(self) -> None:
        if not is_alive(self):
            return
        detector = self.session.detector
        self.detector.setText("none yet" if detector is None else detector_in_words(detector))
        self._check()

    def _ask_load(self) -> None:
        if path := QFileDialog.getOpenFileName(self, "Load detector", "", FILES)[0]:
            self.load(Path(path))

    def _lay_out(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("detector", self.detector)
        rows.addRow("", self.load_button)
        rows.addRow("images", self.source)
        rows.addRow("", self.reconstruction)
        layout.addLayout(rows)
        layout.addWidget(self.panel)
        layout.addWidget(CopyButton(self.session))
        layout.addWidget(self.table, 1)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(340)


def _numbers(result: "Inspection") -> tuple[float, float, str]:
    return result.score, result.p_value, result.verdict
