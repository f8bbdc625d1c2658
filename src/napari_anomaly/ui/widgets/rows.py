"""The rows of the table of images, for Qt. Sorts and filters ten thousand at once instead of comparing pairs."""

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QBrush, QColor, QIcon

from napari_anomaly.ui.forms import tip
from napari_anomaly.ui.sheet import UNUSABLE, Sheet, arranged, next_undecided

COLUMNS = ("", "image", "score", "verdict", "you", "p", "mask", "defect", "split")
"""Headings; the first is the thumbnail. The most wanted come first: a dock is narrow."""

TIPS = {
    "image": "the image's file or slice; * means that it was painted in and not saved",
    "score": "how strange its strangest place is; to compare with the limit, not between detectors",
    "verdict": "what the detector says at the present thresholds",
    "you": "what you say: G good, D defect, Backspace takes it back",
    "p": "share of normal images that score at least as high",
    "mask": "ground truth: a file, painted here, or none",
    "defect": "kind of defect: the folder that the image lies in",
    "split": "side of the folder; images to train on are not inspected, and have no score",
}

_NUMBERS = ("score", "p")
_COLOURS = {  # of Okabe and Ito: told apart by colour-blind people; each with its own text colour for either theme
    "fail": ("#d55e00", "#ffffff"),
    "defect": ("#d55e00", "#ffffff"),
    "review": ("#f0e442", "#000000"),
    "pass": ("#009e73", "#ffffff"),
    "good": ("#009e73", "#ffffff"),
    UNUSABLE: ("#666666", "#ffffff"),
}
_BRUSHES = {word: tuple(QBrush(QColor(one)) for one in pair) for word, pair in _COLOURS.items()}
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Rows(QAbstractTableModel):
    """A sheet as Qt reads it.

    Parameters
    ----------
    parent : QObject
    picture : callable
        Returns the thumbnail of an image, by number.
    """

    def __init__(self, parent: QObject, picture: Callable[[int], QIcon | None]) -> None:
        super().__init__(parent)
        self._picture = picture
        self._sheet: Sheet = {}
        self._names: tuple[str, ...] = ()
        self._reasons: tuple[str, ...] = ()
        self._by, self._descending = "score", True
        self._text, self._state = "", "all"
        self.order = np.empty(0, int)

    def show(self, names: tuple[str, ...], reasons: tuple[str, ...], sheet: Sheet) -> None:
        """List other images."""
        self._names, self._reasons, self._sheet = names, reasons, sheet
        self._arrange()

    def update(self, changed: Sheet) -> None:
        """Take over columns that changed."""
        self._sheet |= changed
        if not np.array_equal(self.order, self._arranged()):
            self._arrange()
        elif len(self.order):
            self.dataChanged.emit(
                self.index(0, 0), self.index(len(self.order) - 1, len(COLUMNS) - 1)
            )

    def narrow(self, text: str, state: str) -> None:
        """List only what fits; see `arranged`."""
        self._text, self._state = text, state
        self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; Qt calls this when a heading is clicked."""
        if COLUMNS[column]:
            self._by, self._descending = COLUMNS[column], order == Qt.SortOrder.DescendingOrder
            self._arrange()

    def picture_came(self, numbers: list[int]) -> None:
        """Draw these images' thumbnails."""
        rows = np.flatnonzero(np.isin(self.order, numbers))
        if len(rows):
            self.dataChanged.emit(self.index(int(rows[0]), 0), self.index(int(rows[-1]), 0))

    def number_of(self, row: int) -> int | None:
        """Return which image a row shows."""
        return int(self.order[row]) if 0 <= row < len(self.order) else None

    def row_of(self, number: int | None) -> int | None:
        """Return the row of an image; None if it is not listed."""
        rows = np.flatnonzero(self.order == number)
        return int(rows[0]) if len(rows) else None

    def undecided_after(self, row: int) -> int | None:
        """Return the row of the next image of which no person has said anything."""
        return next_undecided(self._sheet, self.order, row) if self._sheet else None

    def told(self, column: str) -> set[str]:
        """Return the different words in a column."""
        return set(self._sheet[column])

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the images that are listed."""
        return 0 if parent is not None and parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a heading or its tip."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return TIPS.get(COLUMNS[section]) if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        number = self.number_of(index.row())
        if number is None:
            return None
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._words(column, number)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column in _NUMBERS else _LEFT
        if role == Qt.ItemDataRole.DecorationRole:
            return None if column else self._picture(number)
        if role in (Qt.ItemDataRole.BackgroundRole, Qt.ItemDataRole.ForegroundRole):
            return self._brush(column, number, role == Qt.ItemDataRole.ForegroundRole)
        return self._about(number) if role == Qt.ItemDataRole.ToolTipRole else None

    def _words(self, column: str, number: int) -> str:
        if not column:
            return ""
        value = self._sheet[column][number]
        if column in _NUMBERS:
            return "" if np.isnan(value) else f"{value:.3g}"
        return f"* {value}" if column == "image" and self._sheet["dirty"][number] else value

    def _brush(self, column: str, number: int, text: bool) -> QBrush | None:
        if column not in ("verdict", "you"):
            return None
        brushes = _BRUSHES.get(self._sheet[column][number])
        return None if brushes is None else brushes[text]

    def _about(self, number: int) -> str:
        sheet, name = self._sheet, self._names[number]
        if self._reasons and self._reasons[number]:
            return tip(f"{name}\ncannot be inspected: {self._reasons[number]}")
        if np.isnan(sheet["score"][number]):
            return tip(f"{name}\nnot inspected: one of the images to train on")
        said = f", you say {sheet['you'][number]}" if sheet["you"][number] else ""
        unsaved = "\npainted in and not saved" if sheet["dirty"][number] else ""
        return tip(
            f"{name}\n{sheet['verdict'][number]}, score {sheet['score'][number]:.3g}, "
            f"p = {sheet['p'][number]:.3g}{said}{unsaved}"
        )

    def _arranged(self) -> np.ndarray:
        return arranged(self._sheet, self._by, self._descending, self._text, self._state)

    def _arrange(self) -> None:
        if self._sheet:
            self.beginResetModel()
            self.order = self._arranged()
            self.endResetModel()
