"""A button that copies the last action as a script."""

from qtpy.QtWidgets import QApplication, QPushButton

from napari_anomaly.ui.session import Session
from napari_anomaly.ui.widgets.panel import is_alive


class CopyButton(QPushButton):
    """Puts a session's script on the clipboard; disabled until there is one."""

    def __init__(self, session: Session) -> None:
        super().__init__("Copy as script")
        self._session = session
        self.clicked.connect(self.copy)
        session.script_changed.connect(self._check)
        session.changed.connect(self._check)
        self._check()

    def copy(self) -> None:
        """Copy it."""
        clipboard = QApplication.clipboard()
        if clipboard is not None and (text := self._session.script):
            clipboard.setText(text)

    def _check(self) -> None:
        if is_alive(self):
            script = self._session.script
            self.setDisabled(script is None)
            self.setToolTip(
                "nothing to copy yet: train, load, inspect or compare first"
                if script is None
                else "copy what was done last as Python, for napari's console"
            )
