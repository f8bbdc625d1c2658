"""A table of images and their numbers that sorts by number and remembers which image a row is."""

from collections.abc import Sequence
from pathlib import PurePath

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_anomaly.core.data.files import IMAGE_SUFFIXES
from napari_anomaly.ui.forms import tip


class ImageTable(QTableWidget):
    """One row per image, its name first; hidden until it is filled.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(0, len(columns))
        self.setHorizontalHeaderLabels(list(columns))
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:  # Qt's stubs allow for tables without headers
            across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            across.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            down.setVisible(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setMinimumHeight(160)
        self.setVisible(False)

    def fill(
        self, names: Sequence[str], rows: Sequence[Sequence[str | float]], tips: Sequence[str]
    ) -> None:
        """Show a name and a row of values for each image; ``tips`` appear under the mouse, with the whole name."""
        self.setSortingEnabled(False)
        self.setRowCount(len(names))
        for number, (name, row, about) in enumerate(zip(names, rows, tips, strict=True)):
            for column, value in enumerate((_short(name), *row)):
                self.setItem(number, column, _cell(value, number, f"{name}\n{about}"))
        self.setSortingEnabled(True)
        self.setVisible(True)

    def number_of(self, row: int) -> int | None:
        """Return which image a row shows, counted as in :meth:`fill`."""
        item = self.item(row, 0)
        return None if item is None else int(item.data(Qt.ItemDataRole.UserRole))


def _short(name: str) -> str:
    """Leave out what all names of a folder share; the tip has it."""
    path = PurePath(name.removeprefix("test/"))
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


class _Number(QTableWidgetItem):
    """A cell that sorts by its number, not by its text."""

    def __init__(self, value: float) -> None:
        super().__init__(f"{value:.3g}" if isinstance(value, float) else str(value))
        self.number = value

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return isinstance(other, _Number) and self.number < other.number


def _cell(value: str | float, number: int, about: str) -> QTableWidgetItem:
    cell = QTableWidgetItem(value) if isinstance(value, str) else _Number(value)
    cell.setToolTip(tip(about))
    cell.setData(Qt.ItemDataRole.UserRole, number)
    return cell
