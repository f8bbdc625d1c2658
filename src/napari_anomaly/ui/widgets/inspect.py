"""Inspect: a detector and images in, layers and scores out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.ui import scripts, shortcuts
from napari_anomaly.ui.family import number_shown
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.inspecting import Found, inspect_folder, show_stack
from napari_anomaly.ui.layers import in_words
from napari_anomaly.ui.opening import Looked, bring, looking_at, put_away, show_looked
from napari_anomaly.ui.remembered import recall, remember
from napari_anomaly.ui.scanning import Scanned, is_large, scan_layer, show_scan
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.sheet import UNUSABLE
from napari_anomaly.ui.streaming import Stream
from napari_anomaly.ui.widgets.copying import CopyButton
from napari_anomaly.ui.widgets.deciding import KeptDecisions
from napari_anomaly.ui.widgets.folder import FolderTable
from napari_anomaly.ui.widgets.header import Header
from napari_anomaly.ui.widgets.panel import WorkPanel, is_alive
from napari_anomaly.ui.widgets.source import SourceChooser, bare
from napari_anomaly.ui.widgets.train import ask_which_detector, loading
from napari_anomaly.ui.widgets.train import in_words as detector_in_words

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.core.detector import Detector


class InspectWidget(QScrollArea):
    """Inspect a layer or a folder with the present detector; its images are listed in a table."""

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
        self.table = FolderTable(viewer, self.session)
        self.kept = KeptDecisions(self.session, self)
        self._opening: int | None = None  # the image that the running job opens
        self._filling: Stream | None = None  # the stack that the running job inspects
        self._lay_out()
        self.load_button.clicked.connect(self._ask_load)
        self.table.moved.connect(self._bring)
        self.table.opened.connect(self.open)
        self.panel.toggled.connect(self._busy)
        self.kept.failed.connect(lambda text: self.panel.say(text, error=True))
        self.session.changed.connect(self._show_detector)
        self.source.recall(recall().folder)
        self._follow_viewer()
        self._show_detector()

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers; napari calls this."""
        self.source.refresh()
        self.table.refresh_truth()

    def hideEvent(self, event: Any) -> None:
        """Keep what a person said of the images before the page goes."""
        self.kept.keep_before_leaving()
        super().hideEvent(event)

    def inspect(self) -> None:
        """Inspect what is chosen; layers and scores are shown."""
        detector, layer, folder = self.session.detector, self.source.layer, self.source.folder
        if detector is None:
            return
        keep = self.reconstruction.isChecked()
        if layer is not None and is_large(detector, layer):
            self.panel.run(
                lambda: scan_layer(detector, layer), lambda scanned: self._show_scan(scanned, keep)
            )
        elif layer is not None:
            start = number_shown(self._viewer, layer)
            stream = Stream(detector, layer, start=start, reconstruction=keep)
            self.panel.run(
                stream.steps,
                self._show_stream,
                lambda _: self._show_more(stream),
                left=lambda: self._left(stream),
            )
            self._filling = stream
        elif folder is not None:
            self.panel.run(
                lambda: inspect_folder(detector, folder, reconstruction=keep),
                lambda found: self._show_folder(found, folder, keep),
            )

    def load(self, path: Path) -> None:
        """Read a detector in the background and make it the present one."""

        def done(detector: "Detector") -> None:
            self.session.detector = detector
            self.session.did(scripts.Action(scripts.loaded(path), makes=detector))

        remember(detector=str(path))
        self.panel.run(loading(path), done)

    def go_to(self, row: int) -> None:
        """Bring the image of a table row into view, if it is shown already."""
        number = self.table.rows.number_of(row)
        if number is not None:
            self._bring(number)

    def open(self, number: int) -> None:
        """Bring an image into view; it is read and inspected first if it is not shown."""
        inspected = self.session.inspected
        if inspected is None or self._bring(number):
            return
        detector = inspected.at_present(self.session.detector)
        if not inspected.samples or detector is None:
            self.panel.say("its layer was removed; inspect it again to see the image", error=True)
            return
        if self.panel.running and self._opening is None:
            self.panel.say("images are opened when what runs has ended")
            return
        keep = self.reconstruction.isChecked()
        self.panel.run(
            lambda: looking_at(detector, inspected, number, reconstruction=keep),
            lambda looked: self._show_looked(inspected, number, looked),
        )
        self._opening = number

    def _bring(self, number: int) -> bool:
        inspected = self.session.inspected
        return inspected is not None and bring(self._viewer, inspected, number)

    def _show_looked(self, inspected: Inspected, number: int, looked: Looked) -> None:
        show_looked(self._viewer, inspected, number, looked)
        self.table.select(number)
        self.panel.say(f"{inspected.names[number]}: {in_words(looked.result)}")

    def _show_more(self, stream: Stream) -> None:
        """Show what a layer's inspection found by now."""
        if not stream.layers:
            put_away(self._viewer, but=stream.source)
        stream.show(self._viewer)

    def _show_stream(self, stream: Stream) -> None:
        """Show what it found, now that it is done."""
        self._show_more(stream)
        self._list(stream.inspected)
        self.panel.say(stream.in_words())
        self._did(stream.source.name, stream.reconstruction)

    def _show_scan(self, scanned: Scanned, keep: bool) -> None:
        put_away(self._viewer, but=scanned.source)
        show_scan(self._viewer, scanned)
        self.session.inspected = scanned.inspected
        self.panel.say(scanned.in_words())
        self._did(scanned.source.name, keep)

    def _left(self, stream: Stream) -> str:
        if not stream.results:
            return "cancelled"
        self._show_stream(stream)
        return f"cancelled; {stream.in_words()}"

    def _show_folder(self, found: Found, folder: Path, keep: bool) -> None:
        put_away(self._viewer)
        self._did(folder, keep)
        if not found.results:
            self._list(found.inspected)
            self.open(int(np.nanargmax(found.inspected.scores)))
            return
        source, *_ = show_stack(self._viewer, found, folder.name)
        self._list(replace(found.inspected, layer=str(source.unique_id)))

    def _did(self, source: scripts.Source, keep: bool) -> None:
        self.session.did(scripts.Action(scripts.inspected(source, reconstruction=keep)))

    def _list(self, inspected: Inspected) -> None:
        self.session.inspected = inspected
        sheet = self.table.sheet
        failed, unusable = (int((sheet["verdict"] == word).sum()) for word in ("fail", UNUSABLE))
        left = f", {unusable} cannot be inspected" if unusable else ""
        scored = int(np.count_nonzero(~np.isnan(inspected.scores)))
        self.panel.say(
            f"{failed} of {scored} images fail{left}; double-click a row to see the image"
        )

    def _follow_viewer(self) -> None:
        """Let the table's current row be what the sliders show, and some keys work over the canvas too."""
        self._viewer.dims.events.current_step.connect(self._slid)
        steps = (self._next, self._previous, self._undecided)
        for shortcut, step in zip(shortcuts.INSPECT, steps, strict=True):
            self._viewer.bind_key(shortcut.key, _weakly(step), overwrite=True)

    def _next(self) -> None:
        self.table.step(1)

    def _previous(self) -> None:
        self.table.step(-1)

    def _undecided(self) -> None:
        self.table.next_undecided()

    def _slid(self, _: object = None) -> None:
        if not is_alive(self) or (inspected := self.session.inspected) is None:
            return
        for layer in map(bare, self._viewer.layers):
            if str(layer.unique_id) == inspected.layer:
                self.table.select(number_shown(self._viewer, layer))

    def _check(self) -> None:
        if hasattr(self, "header"):
            no_detector = None if self.session.detector else "train or load a detector first"
            self.panel.ready(no_detector or self.source.missing())
            self.header.refresh()

    def _busy(self, running: bool) -> None:
        self._opening = self._filling = None
        self.load_button.setDisabled(running)

    def _show_detector(self) -> None:
        if not is_alive(self):
            return
        detector = self.session.detector
        if self._filling is not None and detector is not None:
            self._filling.follow(detector)
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
        layout.addWidget(CopyButton(self.session))
        layout.addWidget(self.table, 1)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(340)


def _weakly(method: Any) -> Any:
    """Return a key's action that does not keep a closed page alive."""
    reference = WeakMethod(method)

    def act(_: object) -> None:
        alive = reference()
        if alive is not None and is_alive(alive.__self__):
            alive()

    return act
