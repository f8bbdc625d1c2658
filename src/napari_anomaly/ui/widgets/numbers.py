"""A table of values that changes row by row, in place, and sorts by value."""

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

Value = str | float | None
NOTHING = QModelIndex()


class _Rows(QAbstractTableModel):
    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.columns = columns
        self.rows: list[Sequence[Value]] = []

    def rowCount(self, parent: QModelIndex = NOTHING) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = NOTHING) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        value = self.rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.UserRole:  # what is sorted by: unknown comes first
            return -1.0 if value is None else value
        if role == Qt.ItemDataRole.DisplayRole:
            return in_short(value)
        if role == Qt.ItemDataRole.ToolTipRole and isinstance(value, str):
            return value
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.columns[section][0]
            if role == Qt.ItemDataRole.ToolTipRole:
                return self.columns[section][1]
        return None


class NumbersTable(QTableView):
    """Rows numbered as they were given, however they are sorted.

    Parameters
    ----------
    columns : sequence of (str, str)
        Headings and what they mean.
    """

    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._rows = _Rows(columns)
        self._sorted = QSortFilterProxyModel()
        self._sorted.setSourceModel(self._rows)
        self._sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self._sorted.setDynamicSortFilter(
            False
        )  # a row stays under the mouse while its numbers change
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            across.setMinimumSectionSize(44)
            across.setMaximumSectionSize(130)  # of a long name; the tip has all of it
            across.setStretchLastSection(True)
            down.setVisible(False)

    def fill(self, rows: Sequence[Sequence[Value]]) -> None:
        """Show other rows."""
        self._rows.beginResetModel()
        self._rows.rows = list(rows)
        self._rows.endResetModel()

    def set_row(self, number: int, row: Sequence[Value]) -> None:
        """Change one row."""
        self._rows.rows[number] = row
        last = self._rows.columnCount() - 1
        self._rows.dataChanged.emit(self._rows.index(number, 0), self._rows.index(number, last))

    def number_of(self, index: QModelIndex) -> int:
        """Return which of the given rows a cell belongs to."""
        return self._sorted.mapToSource(index).row()

    def texts(self) -> list[list[str]]:
        """Return what is shown, in the order given."""
        return [[in_short(value) for value in row] for row in self._rows.rows]


def in_short(value: Value) -> str:
    """Write a value: three digits, whole numbers whole, a dash for what is not known."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
