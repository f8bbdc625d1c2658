"""What the pages share: the viewer's present detector, what it found last, and what a person says of it."""

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_anomaly.ui.scripts import Action, text_of

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector
    from napari_anomaly.ui.decisions import Decision
    from napari_anomaly.ui.inspected import Inspected


class Session:
    """Holds a viewer's present detector and the list of what was inspected last, and tells when they change.

    Attributes
    ----------
    decisions : dict
        From ``Inspected.key`` of an image to what a person says of it; changed by `decide`.
    """

    changed = Signal()
    """The detector is another, or has other thresholds."""

    inspected_changed = Signal()
    """Other images were inspected."""

    decided = Signal()
    """A person said of an image that it is good or defect, or took it back."""

    truth_changed = Signal()
    """Ground truth was painted in, or saved: ``metadata["dirty"]`` of a truth layer has other numbers in it.

    Whoever changes that set, of the layer's images that were painted in since they were saved, emits this.
    """

    script_changed = Signal()
    """A page did something that can be copied as a script."""

    def __init__(self) -> None:
        self._detector: Detector | None = None
        self._inspected: Inspected | None = None
        self.decisions: dict[str, Decision] = {}
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

    def decide(self, key: str, decision: "Decision | None") -> None:
        """Remember what a person says of an image, by its ``Inspected.key``; None forgets it."""
        if decision is None:
            self.decisions.pop(key, None)
        else:
            self.decisions[key] = decision
        self.decided.emit()

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
