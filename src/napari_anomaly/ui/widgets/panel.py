"""What Train and Inspect share: buttons that start, cancel and hold, a bar with the time, a line of state."""

from collections.abc import Callable
from typing import Any

from napari.utils.notifications import notification_manager, show_error, show_warning
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.core.errors import AnomalyError
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.clock import Clock
from napari_anomaly.ui.forms import tip
from napari_anomaly.ui.pace import Pace, in_words
from napari_anomaly.ui.workers import Job, Outcome, Steps

_SHOWN = 3  # warnings shown one by one; a popup each would bury the window
_CANCELLED = "cancelled"
_PAUSE, _RESUME = "Pause", "Resume"
_SECOND = 1000  # milliseconds


class WorkPanel(QWidget):
    """Runs one job at a time and shows its state.

    Parameters
    ----------
    verb : str
        Text of the button: ``"Train"``.
    start : callable
        Called when the button is pressed while nothing runs; calls `run`.
    """

    toggled = Signal(bool)
    """Whether something runs now."""

    def __init__(self, verb: str, start: Callable[[], None]) -> None:
        super().__init__()
        self._verb, self._start = verb, start
        self._jobs: list[Job[Any]] = []  # the running one, or none
        self._reason: str | None = None
        self.button = QPushButton(verb)
        self.button.clicked.connect(self.press)
        self.pause = QPushButton()
        self.pause.clicked.connect(self.hold)
        self.time = QLabel()
        self.time.setToolTip("time worked, without pauses; what the present stage still takes")
        self._clock, self._pace = Clock(), Pace()
        self._tick = QTimer(self)
        self._tick.setInterval(_SECOND)
        self._tick.timeout.connect(self._tell_time)
        self.bar = QProgressBar()
        self.state = QLabel()
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self.state.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 2)
        buttons.addWidget(self.pause, 1)
        layout.addLayout(buttons)
        for widget in (self.bar, self.time, self.state):
            layout.addWidget(widget)
        self._show_running(False)

    @property
    def running(self) -> bool:
        """Whether a job runs."""
        return bool(self._jobs)

    def press(self) -> None:
        """Start, or cancel what runs."""
        if self.running:
            self.cancel()
            return
        try:
            self._start()
        except AnomalyError as error:
            self._fail(error)

    def run(
        self,
        steps: Steps[Any],
        done: Callable[[Any], None],
        progressed: Callable[[Progress], None] | None = None,
        left: Callable[[], str] | None = None,
    ) -> None:
        """Run steps in a thread.

        Parameters
        ----------
        steps : callable
            Makes the generator, in the thread.
        done : callable
            Gets what the steps return.
        progressed : callable, optional
            Gets their progress.
        left : callable, optional
            Says what a cancelled job left, once it has come to rest.
        """

        def progress(now: Progress) -> None:
            self._progress(now)
            if progressed:
                progressed(now)

        if self.running:
            self.cancel()
        self.button.setText("Cancel")
        self.button.setEnabled(True)
        self.bar.setRange(0, 0)
        self._clock, self._pace = Clock(), Pace()
        self._show_running(True)
        self.say("starting ...")
        self._jobs[:] = [
            Job(
                steps,
                progressed=progress,
                ended=lambda outcome: self._end(outcome, done),
                stopped=self.cancel,
                held=self._held,
                closed=lambda: self._closed(left),
                wanted=lambda: is_alive(self),
            )
        ]
        self.toggled.emit(True)

    def cancel(self) -> None:
        """Forget what runs; its thread ends with its next step and its result is dropped."""
        for job in self._jobs:
            job.cancel()
        self._rest(_CANCELLED)

    def hold(self) -> None:
        """Pause what runs, or let it go on."""
        paused = self.pause.text() == _RESUME
        for job in self._jobs:
            (job.resume if paused else job.pause)()
        self.pause.setEnabled(False)
        self.pause.setText("Resuming ..." if paused else "Pausing ...")

    def _held(self, held: bool) -> None:
        (self._clock.hold if held else self._clock.go_on)()
        self.pause.setEnabled(True)
        self.pause.setText(_RESUME if held else _PAUSE)
        self._tell_time()

    def _tell_time(self) -> None:
        said = in_words(self._pace, self._clock())
        self.time.setText(f"paused after {said}" if self.pause.text() == _RESUME else said)

    def _show_running(self, running: bool) -> None:
        self.pause.setText(_PAUSE)
        self.pause.setEnabled(running)
        self.time.setText("")
        for widget in (self.pause, self.bar, self.time):
            widget.setVisible(running)
        (self._tick.start if running else self._tick.stop)()

    def _closed(self, left: Callable[[], str] | None) -> None:
        if left is not None and self.state.text() == _CANCELLED:  # nothing was begun since
            self.say(left())

    def ready(self, reason: str | None) -> None:
        """Allow the button, or say why it cannot be pressed."""
        changed, self._reason = reason != self._reason, reason
        if not self.running:
            self.button.setEnabled(reason is None)
            self.button.setToolTip(tip(reason or ""))
            if changed:
                self.say(reason or "")

    def say(self, text: str, *, error: bool = False) -> None:
        """Show how it stands."""
        self.state.setText(text)
        # bold, not red: no red is readable on both themes, and not everybody sees it
        self.state.setStyleSheet("font-weight: bold" if error else "")

    def _progress(self, now: Progress) -> None:
        self._pace = self._pace.after(now, self._clock())
        # a stage that is done leaves the bar moving: the next may be long in coming
        self.bar.setRange(0, now.total if now.step < now.total else 0)
        self.bar.setValue(now.step)
        loss = "" if now.loss is None else f", loss {now.loss:.4g}"
        self.say(f"{now.stage}: {now.step} of {now.total}{loss}")

    def _end(self, outcome: Outcome[Any], done: Callable[[Any], None]) -> None:
        self._rest("")
        for text in outcome.warned[:_SHOWN]:
            show_warning(text)
        if len(outcome.warned) > _SHOWN:
            show_warning(f"{len(outcome.warned) - _SHOWN} more warnings like these")
        if outcome.error is not None:
            self._fail(outcome.error)
            return
        try:
            done(outcome.value)
        except AnomalyError as error:
            self._fail(error)

    def _rest(self, text: str) -> None:
        self._jobs.clear()
        self.button.setText(self._verb)
        self._show_running(False)
        self.ready(self._reason)
        self.say(text or self._reason or "")
        self.toggled.emit(False)

    def _fail(self, error: Exception) -> None:
        """Show a user's error as a sentence; anything else is ours and keeps its traceback."""
        if isinstance(error, AnomalyError):
            self.say(str(error), error=True)
            show_error(str(error))
        else:
            self.say(f"stopped by an error in the program: {error}", error=True)
            notification_manager.receive_error(type(error), error, error.__traceback__)


def says_closed(event: QEvent | None, page: QWidget) -> bool:
    """Tell whether an event says that napari closed a page: it takes the page's parent away then."""
    if event is None or event.type() != QEvent.Type.ParentChange:
        return False
    return page.parentWidget() is None


def is_alive(widget: QWidget) -> bool:
    """Tell whether Qt still has the widget; a dock that is closed takes its content along."""
    alive: Any = isalive
    return bool(alive(widget))
