"""Compare: what was found against the ground truth, and several detectors against each other."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QTabWidget

from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.widgets.panel import says_closed
from napari_anomaly.ui.widgets.side_by_side import DetectorsPage
from napari_anomaly.ui.widgets.truth import TruthPage

if TYPE_CHECKING:
    import napari.viewer


class CompareWidget(QTabWidget):
    """Two pages: ground truth, and detectors."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.truth = TruthPage(viewer, self.session)
        self.detectors = DetectorsPage(viewer, self.session)
        self.addTab(self.truth, "Ground truth")
        self.addTab(self.detectors, "Detectors")
        self.setMinimumWidth(340)

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers; napari calls this."""
        self.truth.follow()
        self.detectors.reset_choices()

    def changeEvent(self, event: QEvent | None) -> None:
        """Show map and regions again when the page is closed."""
        super().changeEvent(event)
        if says_closed(event, self):
            self.truth.show_button.setChecked(False)
