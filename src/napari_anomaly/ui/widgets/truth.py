"""Ground truth against what was found: numbers of the folder, of each image, of each region, and their colours."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, Qt, QTimer
from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_anomaly.core.errors import AnomalyError
from napari_anomaly.ui.counting import FolderCount, Part, counted_with
from napari_anomaly.ui.difference import COLOURS, add_difference_to_viewer
from napari_anomaly.ui.family import Family, family_of
from napari_anomaly.ui.layers import slide_to
from napari_anomaly.ui.overlap import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, Overlap
from napari_anomaly.ui.readers import MASK_COLOUR
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.sheet import short
from napari_anomaly.ui.tally import in_words
from napari_anomaly.ui.widgets.numbers import NumbersTable, Value
from napari_anomaly.ui.widgets.panel import is_alive
from napari_anomaly.ui.widgets.source import bare

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Labels

IMAGES = (
    ("image", "click a row to see the image"),
    ("IoU", "pixels of truth and regions over pixels of either, 0 to 1; – if there are none"),
    ("PRO", "share of each truth region that was found, averaged, 0 to 1; – without truth"),
    ("regions", "regions of the ground truth, painted or from the folder's masks"),
    ("escapes", "truth regions of which not one pixel was found"),
    ("false", "found regions that touch no truth"),
)
REGIONS = (
    (
        "region",
        "of the image shown: of the ground truth in order of the rows, of the machine by label",
    ),
    ("pixels", "area in pixels"),
    ("share", "what part of it the other side has, 0 to 1"),
    ("on", "regions of the other side that it lies on"),
)
DEBOUNCE, SLICE = 40, 0.015
"""Milliseconds until a change is counted; seconds of counting between two looks at the mouse."""


class TruthPage(QScrollArea):
    """Compare the regions of the present family with its truth."""

    def __init__(self, viewer: "napari.viewer.Viewer", session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._count: FolderCount | None = None
        self._counted: list[tuple[Labels | None, Labels | None, tuple[int, ...]]] = []
        self._drawn: list[Labels] = []  # our two layers, or none
        self._covered: list[Labels] = []  # hidden while they are shown
        self.state, self.summary = _text(), _text()
        self.show_button = QPushButton("Show on the image")
        self.show_button.setCheckable(True)
        self.images, self.regions = NumbersTable(IMAGES), NumbersTable(REGIONS)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.work)
        self._lay_out()
        self.show_button.toggled.connect(self._toggle)
        self.images.clicked.connect(self._go)
        self.images.activated.connect(self._go)  # the Enter key
        session.changed.connect(self._recount)
        viewer.layers.selection.events.active.connect(self.follow)
        viewer.dims.events.current_step.connect(self._show_regions)
        self.follow()

    def follow(self, *_: object) -> None:
        """Take the family of the active layer, or the last inspected one."""
        if not is_alive(self):
            return
        family = family_of(self._viewer)
        parts = (
            [] if family is None or family.regions is None else counted_with(self._viewer, family)
        )
        counted = [(one.regions, one.truth, numbers) for one, numbers in parts]
        if counted != self._counted or self._count is None:
            self._counted = counted
            self._begin(parts)
        if self._drawn and not all(self._is_there(layer) for layer in self._drawn):
            self.show_button.setChecked(False)
        self._check(family)
        self._show_regions()

    def work(self) -> None:
        """Count some of the images that wait, and show their numbers."""
        if self._count is None:
            return
        for number in self._count.work(SLICE):
            self.images.set_row(number, self._row(number))
        self.summary.setText(in_words(self._count))
        self._show_regions()
        for layer in self._drawn:
            layer.refresh()
        if self._count.waiting:
            self._timer.start(0)

    def _begin(self, parts: list[Part]) -> None:
        self._count = None
        self.summary.setText("")
        try:
            count = FolderCount(self._viewer, parts) if parts else None
        except AnomalyError as error:
            self._say(str(error))
            count = None
        self._count = count
        self.images.fill([] if count is None else [self._row(k) for k in range(len(count.images))])
        if count is not None:
            self._say("")
            count.stirred.connect(self._wait)
            self._wait()

    def _check(self, family: Family | None) -> None:
        missing = None
        if family is None or family.regions is None:
            missing = "inspect a layer first: there are no regions to compare"
        elif family.truth is None:
            missing = (
                "this image has no ground truth layer: open the folder with its masks, or paint one"
            )
        self.show_button.setEnabled(missing is None and self._count is not None)
        self.show_button.setToolTip(
            missing or "adds two layers and hides map and regions; press again to bring them back"
        )
        if missing is not None or self._count is not None:
            self._say(missing or "")

    def _wait(self) -> None:
        if is_alive(self) and not self._timer.isActive():
            self._timer.start(DEBOUNCE)

    def _recount(self) -> None:
        if is_alive(self) and self._count is not None:
            self._count.recount()

    def _row(self, number: int) -> list[Value]:
        assert self._count is not None
        name, overlap = short(self._count.images[number].name), self._count.overlap(number)
        if overlap is None:
            return [name, None, None, None, None, None]
        return [
            *(name, overlap.iou, overlap.pro),
            *(len(overlap.truth), overlap.escapes, overlap.false_alarms),
        ]

    def _show_regions(self, *_: object) -> None:
        if not is_alive(self):
            return
        shown = None if self._count is None else self._count.shown
        overlap = None if self._count is None or shown is None else self._count.overlap(shown)
        self.regions.fill([] if overlap is None else _region_rows(overlap))

    def _go(self, index: QModelIndex) -> None:
        """Bring the image of a row on screen: its sliders, or of single images its layers."""
        assert self._count is not None
        number = self.images.number_of(index)
        image = self._count.images[number]
        if image.index:
            slide_to(self._viewer, image.regions, image.number)
            return
        self.show_button.setChecked(False)
        for one in {other.regions: other for other in self._count.images}.values():
            self._set_visible(one.regions, one.regions is image.regions)
        self._viewer.layers.selection.active = image.regions

    def _set_visible(self, regions: "Labels", visible: bool) -> None:
        family = family_of(self._viewer, regions)
        if family is not None:
            for layer in (family.source, family.anomaly_map, family.regions, family.truth):
                if layer is not None:
                    layer.visible = visible

    def _toggle(self, on: bool) -> None:
        family = family_of(self._viewer)
        if on and family is not None and family.regions is not None and family.truth is not None:
            hidden = [family.anomaly_map, family.regions]
            self._covered = [one for one in hidden if one is not None and one.visible]
            self._drawn = add_difference_to_viewer(self._viewer, family)
        for layer in self._covered:
            layer.visible = not on
        if not on:
            drawn, self._drawn, self._covered = self._drawn, [], []
            for layer in filter(self._is_there, drawn):
                self._viewer.layers.remove(layer.name)

    def _is_there(self, layer: "Labels") -> bool:
        return any(bare(one) is bare(layer) for one in self._viewer.layers)

    def _say(self, text: str) -> None:
        self.state.setText(text)
        self.state.setVisible(bool(text))

    def _lay_out(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        legend = QLabel(_legend())
        legend.setWordWrap(True)
        for widget in (self.state, self.show_button, legend, self.summary):
            layout.addWidget(widget)
        layout.addWidget(self.images, 2)
        layout.addWidget(QLabel("regions of the image shown"))
        layout.addWidget(self.regions, 1)
        self.images.setMinimumHeight(160)
        self.regions.setMinimumHeight(100)
        self.setWidget(inside)
        self.setWidgetResizable(True)


def _region_rows(overlap: Overlap) -> list[list[Value]]:
    sides = (("truth", "missed", overlap.truth), ("found", "false alarm", overlap.found))
    return [
        [
            f"{side} {region.label}",
            region.area,
            region.share,
            ", ".join(map(str, region.others)) or nothing,
        ]
        for side, nothing, regions in sides
        for region in regions
    ]


def _legend() -> str:
    named = {
        "found": COLOURS[TRUE_POSITIVE],
        "false alarm": COLOURS[FALSE_POSITIVE],
        "missed": COLOURS[FALSE_NEGATIVE],
    }
    squares = [f'<span style="color:{colour}">■</span> {name}' for name, colour in named.items()]
    outline = f'<span style="color:{MASK_COLOUR[None]}">□</span> truth'
    return " &nbsp; ".join([*squares, outline])


def _text() -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
