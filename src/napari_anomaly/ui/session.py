"""The one thing Train and Inspect share: the viewer's present detector."""

from typing import TYPE_CHECKING, Any

from psygnal import Signal

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector


class Session:
    """Holds a viewer's present detector and tells when it changes."""

    changed = Signal()

    def __init__(self) -> None:
        self._detector: Detector | None = None

    @property
    def detector(self) -> "Detector | None":
        """The detector trained or loaded last."""
        return self._detector

    @detector.setter
    def detector(self, detector: "Detector") -> None:
        self._detector = detector
        self.changed.emit()


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
