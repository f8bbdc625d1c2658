"""The table of a folder's or a stack's images: sorted, filtered, walked through and marked."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QModelIndex, QSize, Qt, QTimer
from qtpy.QtGui import QKeySequence, QResizeEvent, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.ui.forms import patient
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.painted import painted_in, truths, unsaved_in
from napari_anomaly.ui.sheet import STATES, Sheet, decided, judged, masked, sheet_of
from napari_anomaly.ui.shortcuts import CLEAR, DEFECT, GOOD, NEXT_IMAGE, PREVIOUS_IMAGE, UNDECIDED
from napari_anomaly.ui.strokes import note_strokes
from napari_anomaly.ui.thumbnails import reader_of
from napari_anomaly.ui.widgets.panel import is_alive
from napari_anomaly.ui.widgets.rows import COLUMNS, Rows
from napari_anomaly.ui.widgets.thumbnails import SIDE, Thumbnails

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.ui.decisions import Decision
    from napari_anomaly.ui.session import Session

_TYPICAL = {
    "score": "18.61",
    "you": "defect",
    "p": "0.0476",
    "mask": "painted",
    "defect": "scratched",
}
"""Texts that the columns are as wide as; a column that is not here is as wide as its heading."""

_NAMES = "a" * 10, "a" * 20
"""Between these lies the width of the names: more than that is left out in their middle."""

_MARGIN = 10  # pixels beside a cell's text
_SCORE = COLUMNS.index("score")


class FolderTable(QWidget):
    """Lists the images of ``session.inspected`` and follows the session; hidden until there are some.

    Parameters
    ----------
    viewer : napari viewer
    session : Session
    """

    moved = Signal(int)
    """A person went to another row: the number of its image."""

    opened = Signal(int)
    """A person asked for an image."""

    def __init__(self, viewer: "napari.viewer.Viewer", session: "Session") -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self._silent = False
        self.sheet: Sheet = {}
        self._painted = np.zeros(0, bool)
        self.pictures = Thumbnails(self)
        self.rows = Rows(self, self.pictures.of)
        self.view = _View(self.rows)
        self.text, self.state = QLineEdit(), QComboBox()
        self.count = QLabel()
        self._lay_out()
        self._connect()
        self._list()

    @property
    def number(self) -> int | None:
        """The image of the current row."""
        return self.rows.number_of(self.view.currentIndex().row())

    def select(self, number: int | None) -> None:
        """Make an image's row the current one, without going to the image; nothing if it is not listed."""
        row = self.rows.row_of(number)
        if row is not None and number != self.number:
            self._silent = True
            self.view.setCurrentIndex(self.rows.index(row, 1))
            self._silent = False

    def step(self, by: int) -> None:
        """Open the image so many rows further down, or up."""
        row = self.view.currentIndex().row() + by
        self._open_row(min(max(row, 0), self.rows.rowCount() - 1))

    def next_undecided(self) -> None:
        """Open the next image of which no person has said good or defect."""
        row = self.rows.undecided_after(self.view.currentIndex().row())
        if row is None:
            self.count.setText("all are decided")
        else:
            self._open_row(row)

    def mark(self, decision: "Decision | None") -> None:
        """Say that the current row's image is good or defect, or take it back."""
        if self.number is not None and self._session.inspected is not None:
            self._session.decide(self._session.inspected.key(self.number), decision)

    def refresh_truth(self) -> None:
        """Look anew which images have paint in them, and which of it is not saved."""
        if is_alive(self) and self._session.inspected is not None:
            for layer in truths(self._viewer):
                note_strokes(layer)
                layer.events.paint.connect(self._stroked)  # the same again does nothing
            self._update(self._truth(painted_in(self._viewer, self._session.inspected)))

    def _stroked(self, _: object = None) -> None:
        """Star the painted image, after others that listen to the stroke have noted it."""
        QTimer.singleShot(0, self._star)

    def _star(self) -> None:
        if is_alive(self) and self._session.inspected is not None:
            self._update(self._truth(self._painted))

    def _truth(self, painted: np.ndarray) -> Sheet:
        inspected = self._session.inspected
        assert inspected is not None
        dirty = unsaved_in(self._viewer, inspected)
        self._painted = painted | dirty
        return masked(self.sheet, self._painted, dirty)

    def _list(self) -> None:
        inspected = self._session.inspected
        self.setVisible(inspected is not None)
        if inspected is None:
            return
        self.pictures.read_with(reader_of(self._viewer, inspected))
        self.sheet = sheet_of(inspected)
        self.sheet |= judged(inspected, _limits(inspected, self._session))
        self.sheet |= decided(inspected, self._session.decisions)
        self.sheet |= self._truth(painted_in(self._viewer, inspected))
        self.rows.show(inspected.names, inspected.reasons, self.sheet)
        for column in ("defect", "split"):
            self.view.setColumnHidden(COLUMNS.index(column), len(self.rows.told(column)) < 2)
        self.view.make_room(max(self.sheet["image"], key=len, default=""))
        self.view.sortByColumn(_SCORE, Qt.SortOrder.DescendingOrder)
        self.view.scrollToTop()
        self._counted()

    def _judge(self) -> None:
        inspected = self._session.inspected
        if is_alive(self) and inspected is not None:
            self._update(judged(inspected, _limits(inspected, self._session)))

    def _decide(self) -> None:
        if is_alive(self) and self._session.inspected is not None:
            self._update(decided(self._session.inspected, self._session.decisions))

    def _update(self, changed: Sheet) -> None:
        number = self.number
        self.rows.update(changed)
        self.select(number)
        self._counted()

    def _narrow(self) -> None:
        number = self.number
        self.rows.narrow(self.text.text(), self.state.currentText())
        self.select(number)
        self._counted()

    def _counted(self) -> None:
        inspected = self._session.inspected
        total = 0 if inspected is None else len(inspected.names)
        self.count.setText(f"{self.rows.rowCount()} of {total} images")

    def _open_row(self, row: int) -> None:
        number = self.rows.number_of(row)
        if number is not None:
            self.select(number)
            self.opened.emit(number)

    def _moved(self, current: QModelIndex) -> None:
        number = self.rows.number_of(current.row())
        if number is not None and not self._silent:
            self.moved.emit(number)

    def _connect(self) -> None:
        chosen = self.view.selectionModel()
        if chosen is not None:  # Qt's stubs allow for views without one
            chosen.currentRowChanged.connect(lambda current, _: self._moved(current))
        self.view.doubleClicked.connect(lambda index: self._open_row(index.row()))
        self.text.textChanged.connect(lambda _: self._narrow())
        self.state.currentIndexChanged.connect(lambda _: self._narrow())
        self._bind("Return", lambda: self.step(0))
        self._bind("Enter", lambda: self.step(0))
        self._bind(NEXT_IMAGE.key, lambda: self.step(1))
        self._bind(PREVIOUS_IMAGE.key, lambda: self.step(-1))
        self._bind(UNDECIDED.key, self.next_undecided)
        self._bind(GOOD.key, lambda: self.mark("good"))
        self._bind(DEFECT.key, lambda: self.mark("defect"))
        self._bind(CLEAR.key, lambda: self.mark(None))
        session = self._session
        session.inspected_changed.connect(self._inspected_changed)
        session.changed.connect(self._judge)
        session.decided.connect(self._decide)
        session.truth_changed.connect(self.refresh_truth)

    def _bind(self, key: str, action: Callable[[], None]) -> None:
        """Let a key do something while the table has the focus; typing in the filter stays typing."""
        shortcut = QShortcut(QKeySequence(key), self.view)
        shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
        shortcut.activated.connect(action)

    def _inspected_changed(self) -> None:
        if is_alive(self):
            self._list()

    def _lay_out(self) -> None:
        self.text.setPlaceholderText("filter: words of name or defect")
        self.text.setToolTip("lists images whose name, split or defect holds all of these words")
        self.text.setClearButtonEnabled(True)
        self.state.addItems(STATES)
        self.state.setToolTip(
            "lists images with this verdict; undecided: you have said nothing yet"
        )
        patient(self.state)
        filters, walk, marks = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        filters.addWidget(self.text, 1)
        filters.addWidget(self.state)
        walk.addWidget(_button("Previous", "the image above (Shift+N)", lambda: self.step(-1)))
        walk.addWidget(_button("Next", "the image below (N)", lambda: self.step(1)))
        words = "the next image that you have said nothing of (U)"
        walk.addWidget(_button("Next undecided", words, self.next_undecided))
        words = "the chosen image is good (G, in the table)"
        marks.addWidget(_button("Good", words, lambda: self.mark("good")))
        words = "the chosen image has a defect (D, in the table)"
        marks.addWidget(_button("Defect", words, lambda: self.mark("defect")))
        words = "take back what you said of the chosen image (Backspace, in the table)"
        marks.addWidget(_button("Clear", words, lambda: self.mark(None)))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(filters)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.count)
        layout.addLayout(walk)
        layout.addLayout(marks)


class _View(QTableView):
    """Rows of one height, so that none has to be measured; the names take the width that is left."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.setModel(rows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)  # Tab goes on to the buttons
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setMinimumHeight(240)
        self._names = 0  # width that they want
        down: Any = self.verticalHeader()
        across: Any = self.horizontalHeader()
        down.setVisible(False)
        down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        down.setDefaultSectionSize(SIDE + 4)
        across.setSortIndicator(_SCORE, Qt.SortOrder.DescendingOrder)
        self.setSortingEnabled(True)

    def make_room(self, longest: str) -> None:
        """Make the columns as wide as their texts are in the present font, this name among them."""
        for column, name in enumerate(COLUMNS):
            self.setColumnWidth(column, self._width(_TYPICAL.get(name, name)) if name else SIDE + 8)
        least, most = map(self._width, _NAMES)
        self._names = min(max(least, self._width(f"* {longest}")), most)
        self._widen()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Follow the dock's width."""
        super().resizeEvent(event)
        self._widen()

    def _width(self, text: str) -> int:
        across: Any = self.horizontalHeader()  # its font is the wider, bold one
        return int(across.fontMetrics().horizontalAdvance(text)) + _MARGIN

    def _widen(self) -> None:
        """Give the names what other columns leave."""
        inside: Any = self.viewport()
        shown = [k for k in range(len(COLUMNS)) if k != 1 and not self.isColumnHidden(k)]
        left = inside.width() - sum(map(self.columnWidth, shown))
        self.setColumnWidth(1, max(self._names, left))


def _limits(inspected: Inspected, session: "Session") -> "Calibration | None":
    detector = inspected.at_present(session.detector)
    return None if detector is None else detector.calibration


def _button(text: str, about: str, pressed: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(about)
    button.clicked.connect(lambda _: pressed())
    return button
