"""At the top of a page: what computes, which detector, which images, and how it stands."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_anomaly.ui.devices import device_in_words
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.widgets.panel import WorkPanel, is_alive
from napari_anomaly.ui.widgets.source import SourceChooser

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector

_SECONDS = 2  # between looks at the device's memory while something runs


class Header(QWidget):
    """Four lines that follow the session and one page's choices.

    Parameters
    ----------
    session : Session
    source : SourceChooser
        The page's images.
    panel : WorkPanel
        The page's work.
    """

    def __init__(self, session: Session, source: SourceChooser, panel: WorkPanel) -> None:
        super().__init__()
        self._session, self._source, self._panel = session, source, panel
        self.device, self.detector, self.images, self.state = (_line() for _ in range(4))
        self.device.setToolTip("what computes, and its memory; chosen in Preferences")
        self.detector.setToolTip("what the pages inspect with; shared by all of them")
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setVerticalSpacing(1)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("device", self.device)
        rows.addRow("detector", self.detector)
        rows.addRow("images", self.images)
        rows.addRow("state", self.state)
        self._clock = QTimer(self)
        self._clock.setInterval(_SECONDS * 1000)
        self._clock.timeout.connect(self.refresh)
        session.changed.connect(self.refresh)
        panel.toggled.connect(self._toggled)
        self.refresh()

    def refresh(self) -> None:
        """Look again."""
        if not is_alive(self):
            return
        self.device.setText(device_in_words())
        self.detector.setText(_named(self._session.detector))
        self.images.setText(_chosen(self._source))
        self.state.setText(self._how_it_stands())

    def _how_it_stands(self) -> str:
        if self._panel.running:
            return "working"
        return "ready" if self._panel.button.isEnabled() else "waits for a choice"

    def _toggled(self, running: bool) -> None:
        if running:
            self._clock.start()
        else:
            self._clock.stop()
        self.refresh()


def _line() -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)  # names of files are no markup
    label.setWordWrap(True)
    return label


def _named(detector: "Detector | None") -> str:
    if detector is None:
        return "none yet: train or load one"
    made = detector.provenance
    return f"{made.method}, from {'a layer' if made.data == 'arrays' else made.data}"


def _chosen(source: SourceChooser) -> str:
    if source.layer is not None:
        return str(source.layer.name)
    return "none yet" if source.folder is None else source.folder.name
