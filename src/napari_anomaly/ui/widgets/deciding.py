"""What a person says of the images is read when they are listed, and kept by itself, as the preferences say."""

from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.decisions import Decision, decisions_file, keep_decisions, read_decisions
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.preferences import preferences
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.widgets.panel import is_alive


class KeptDecisions:
    """Follows a session's list of images and what is said of them.

    Parameters
    ----------
    session : Session
    owner : QWidget
        As long as Qt has it, decisions are kept.
    """

    failed = Signal(str)
    """A sentence for the person."""

    def __init__(self, session: Session, owner: QWidget) -> None:
        self._session, self._owner = session, owner
        self._inspected: Inspected | None = None
        self._kept: dict[str, Decision] = {}  # as the file had it when it was last read or written
        self._timer = QTimer(owner)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._keep)
        session.inspected_changed.connect(self._read)
        session.decided.connect(self._soon)
        self._read()

    def keep_before_leaving(self) -> None:
        """Keep what waits to be kept."""
        if self._timer.isActive():
            self._timer.stop()
            self._keep()

    def _read(self) -> None:
        if not is_alive(self._owner):
            return
        self.keep_before_leaving()
        self._inspected, self._kept = self._session.inspected, {}
        inspected = self._inspected
        if inspected is None or inspected.root is None:
            return
        try:
            known = read_decisions(_file_of(inspected))
        except (OSError, DataError) as error:
            self.failed.emit(str(error))
            return
        self._kept = known
        keys = {name: inspected.key(k) for k, name in enumerate(inspected.names) if name in known}
        said = self._session.decisions
        said |= {key: known[name] for name, key in keys.items() if key not in said}
        if keys:
            self._session.decided.emit()

    def _soon(self) -> None:
        chosen = preferences()
        if is_alive(self._owner) and chosen.autosave and not self._timer.isActive():
            self._timer.start(1000 * chosen.autosave_seconds)

    def _keep(self) -> None:
        inspected, said = self._inspected, self._session.decisions
        if inspected is None or inspected.root is None or not preferences().autosave:
            return
        now = {name: said.get(inspected.key(k)) for k, name in enumerate(inspected.names)}
        news = {name: one for name, one in now.items() if one != self._kept.get(name)}
        try:
            keep_decisions(_file_of(inspected), news)  # others may have said more meanwhile
        except (OSError, DataError) as error:
            self.failed.emit(f"what you said of the images could not be kept: {error}")
        else:
            self._kept = {name: one for name, one in now.items() if one is not None}


def _file_of(inspected: Inspected) -> Path:
    assert inspected.root is not None
    return decisions_file(inspected.root, preferences().autosave_folder)
