"""Asking a person where a file shall go."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget


def ask_where_to_save(parent: QWidget, title: str, name: str, files: str) -> Path | None:
    """Ask for the file to write, and whether an existing one may be replaced.

    Parameters
    ----------
    parent : QWidget
    title : str
        Of the dialog.
    name : str
        Proposed; its suffix is put behind a chosen name that lacks it.
    files : str
        The dialog's filter.

    Returns
    -------
    Path or None
        None if the person thought better of it.
    """
    chosen, _ = QFileDialog.getSaveFileName(parent, title, name, files)
    if not chosen:
        return None
    suffix = Path(name).suffix
    if chosen.endswith(suffix):
        return Path(chosen)  # the dialog has asked
    path = Path(f"{chosen}{suffix}")
    return path if not path.exists() or _may_replace(parent, title, path) else None


def _may_replace(parent: QWidget, title: str, path: Path) -> bool:
    text = f"{path.name} already exists. Do you want to replace it?"
    yes = QMessageBox.StandardButton.Yes
    return bool(QMessageBox.question(parent, title, text) == yes)
