"""What the pages share: the viewer's present detector, and what it found last."""

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_anomaly.ui.scripts import Action, text_of

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector
    from napari_anomaly.ui.inspected import Inspected


class Session:
    """Holds a viewer's present detector and the list of what was inspected last, and tells when they change."""

    changed = Signal()
    """The detector is another, or has other thresholds."""

    inspected_changed = Signal()
    """Other images were inspected."""

    script_changed = Signal()
    """A page did something that can be copied as a script."""

    def __init__(self) -> None:
        self._detector: Detector | None = None
        self._inspected: Inspected | None = None
        self._made: Action | None = None
        self._last: Action | None = None

    @property
    def detector(self) -> "Detector | None":
        """The detector trained or loaded last."""
        return self._detector

    @detector.setter
    def detector(self, detector: "Detector") -> None:
        self._detector = detector
        self.changed.emit()

    @property
    def inspected(self) -> "Inspected | None":
        """What was inspected last."""
        return self._inspected

    @inspected.setter
    def inspected(self, inspected: "Inspected") -> None:
        self._inspected = inspected
        self.inspected_changed.emit()

    @property
    def script(self) -> str | None:
        """The last action as Python, with how the present detector came to be; None before there was any."""
        return text_of(self._made, self._last, self._detector)

    def did(self, action: Action) -> None:
        """Remember what a page did."""
        if action.makes is None:
            self._last = action
        else:
            self._made, self._last = action, None
        self.script_changed.emit()


def session_of(viewer: Any) -> Session:
    """Return the session of the widgets docked in this viewer, or a new one if there is none yet.

    Found through the docked widgets, so that it lives as long as they do and belongs to one window.
    """
    window = getattr(viewer, "window", None)
    for widget in window.dock_widgets.values() if window is not None else ():
        # the viewer given to a plugin is a proxy and so is what is reached through it
        session = getattr(getattr(widget, "__wrapped__", widget), "session", None)
        if isinstance(session, Session):
            return session
    return Session()
