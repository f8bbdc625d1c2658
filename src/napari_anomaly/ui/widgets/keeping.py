"""What a person painted is kept by itself, as the preferences say, and offered again after a crash."""

from collections.abc import Callable, Generator

from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QMessageBox, QPushButton, QVBoxLayout, QWidget

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.autosave import (
    Offer,
    Sidecar,
    forget,
    keep_steps,
    offer_of,
    restore,
    sidecar_of,
)
from napari_anomaly.ui.preferences import preferences
from napari_anomaly.ui.strokes import Watch
from napari_anomaly.ui.widgets.panel import is_alive
from napari_anomaly.ui.workers import Job


class Keeping(QWidget):
    """Watches the ground truth of one image layer, keeps what is painted, and shows what was kept before.

    Parameters
    ----------
    painted : callable
        Gives the ground truth that a restored offer goes to; makes it if there is none.
    shown : callable
        Gives the number of the image on screen.
    """

    changed = Signal()
    """Other images may be dirty now."""

    failed = Signal(str)
    """A sentence for the person."""

    def __init__(self, painted: Callable[[], Labels], shown: Callable[[], int]) -> None:
        super().__init__()
        self._painted, self._shown = painted, shown
        self._layer: Image | None = None
        self._watch: Watch | None = None
        self._offer: Offer | None = None
        self.offered = QLabel()
        self.offered.setTextFormat(Qt.TextFormat.PlainText)
        self.offered.setWordWrap(True)
        self.restore_button, self.discard_button = QPushButton("Restore"), QPushButton("Discard")
        self.restore_button.clicked.connect(self.restore)
        self.discard_button.clicked.connect(self._ask_discard)
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.timeout.connect(self._keep)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.offered, self.restore_button, self.discard_button):
            layout.addWidget(widget)
        self._show()

    @property
    def dirty(self) -> set[int]:
        """Numbers of the images whose labels are not in the folder's masks."""
        return set() if self._watch is None else self._watch.dirty

    def look(self) -> None:
        """Find images that undo or redo changed since."""
        if self._watch is not None:
            self._watch.look()

    def follow(self, layer: Image | None, truth: Labels | None) -> None:
        """Watch the ground truth of this layer, and offer what was kept of it."""
        if truth is not (None if self._watch is None else self._watch.truth):
            self._watch_over(layer, truth)
        elif layer is self._layer:
            return
        self._layer = layer
        self._offer = None if layer is None else offer_of(_place_of(layer), truth)
        self._show()

    def keep_now(self) -> None:
        """Keep what was painted, without waiting."""
        self.timer.stop()
        failure = None
        try:
            for _ in self._steps():
                pass
        except OSError as error:
            failure = error
        self._tell(failure)

    def keep_before_leaving(self) -> None:
        """Keep what waits to be kept."""
        if self.timer.isActive():
            self.keep_now()

    def saved(self, numbers: list[int]) -> None:
        """Note that images are in the masks now, and remove what was kept of them."""
        if self._watch is not None and self._layer is not None:
            self._watch.saved(numbers)
            forget(_place_of(self._layer), numbers)
            self.changed.emit()

    def restore(self) -> None:
        """Put what was kept before into the ground truth."""
        if (offer := self._offer) is not None:
            restore(self._painted(), offer)
            self._answered()

    def discard(self) -> None:
        """Forget what was kept before, for good."""
        if self._offer is not None and self._layer is not None:
            forget(_place_of(self._layer), self._offer.images)
            self._answered()

    def _ask_discard(self) -> None:
        yes = QMessageBox.StandardButton.Yes
        text = "Forget these labels for good? This cannot be undone."
        if QMessageBox.question(self, "Discard", text) == yes:
            self.discard()

    def _watch_over(self, layer: Image | None, truth: Labels | None) -> None:
        if self._watch is not None:
            self.keep_now()
            self._watch.truth.events.disconnect(self._touched)
        self._layer, self._watch = layer, None if truth is None else Watch(truth)
        if truth is not None:
            truth.events.paint.connect(self._touched)
            truth.events.set_data.connect(self._touched)
            self._keep_what_waits()
        self.changed.emit()

    def _touched(self, *_: object) -> None:
        if self._watch is None or not is_alive(self):
            return
        self._watch.look({self._shown()})
        self.changed.emit()
        self._keep_what_waits()

    def _keep_what_waits(self) -> None:
        if self._watch is not None and self._watch.touched:
            self._keep_soon()

    def _keep_soon(self) -> None:
        """Keep after so many seconds at most: further strokes do not put it off."""
        chosen = preferences()
        if chosen.autosave and not self.timer.isActive():
            self.timer.start(1000 * chosen.autosave_seconds)

    def _steps(self) -> Generator[Progress, None, int]:
        watch, layer = self._watch, self._layer
        if watch is None or layer is None or not preferences().autosave:
            return 0
        waiting = () if self._offer is None else tuple(self._offer.images)
        return (yield from keep_steps(watch, _place_of(layer), waiting))

    def _keep(self) -> None:
        Job(
            self._steps,
            progressed=lambda _: None,
            ended=lambda outcome: self._tell(outcome.error),
            stopped=lambda: None,
            wanted=lambda: is_alive(self),
        )

    def _tell(self, error: Exception | None) -> None:
        if error is not None:
            self.failed.emit(f"what was painted could not be kept: {error}")
        self.changed.emit()

    def _answered(self) -> None:
        self._offer = None
        self._keep_soon()
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        offer = self._offer
        self.setVisible(offer is not None)
        if offer is not None:
            self.offered.setText(
                f"Labels of {images_in_words(len(offer.images))}, kept {offer.time:%d %b %H:%M}, "
                "were never saved as masks. What you paint in these images is not kept until you choose."
            )


def _place_of(layer: Image) -> Sidecar:
    return sidecar_of(layer, preferences().autosave_folder)


def images_in_words(count: int) -> str:
    """Say how many images."""
    return f"{count} image{'' if count == 1 else 's'}"
