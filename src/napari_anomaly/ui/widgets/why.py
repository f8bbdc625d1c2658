"""Why?: a region in, its place, its numbers, what it should look like, and the nearest normal patch out."""

from collections.abc import Generator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.devices import share
from napari_anomaly.ui.family import Family, family_of
from napari_anomaly.ui.forms import form_layout
from napari_anomaly.ui.layers import slices
from napari_anomaly.ui.nearest import MOST, SECONDS, Nearest, likely_normals, nearest, normals_of
from napari_anomaly.ui.planes import names_of
from napari_anomaly.ui.scanning import is_large
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.shortcuts import NEXT_REGION, PREVIOUS_REGION, SIDE_BY_SIDE
from napari_anomaly.ui.side_by_side import (
    Before,
    add_reconstruction,
    put_back,
    reconstruct,
    side_by_side,
)
from napari_anomaly.ui.why import (
    Finding,
    Listed,
    finding,
    in_words,
    limit_of,
    listed,
    look_at,
    plane,
    region_at,
    with_surroundings,
)
from napari_anomaly.ui.widgets.panel import WorkPanel, is_alive, says_closed
from napari_anomaly.ui.widgets.pictures import Pictures
from napari_anomaly.ui.widgets.pointing import follow_clicks, follow_keys
from napari_anomaly.ui.widgets.source import SourceChooser
from napari_anomaly.ui.widgets.table import ImageTable

if TYPE_CHECKING:
    import napari.viewer

COLUMNS = ("image", "region", "p", "x limit", "px")
ROWS = 1000
"""Regions that are listed, the least likely ones; a click on the canvas reaches the others."""

NUMBERS = ("area", "place", "peak", "mean", "chance", "brightness")
_TIPS = {
    "area": "pixels of the region; in brackets with the layer's scale and units",
    "place": "rows y and columns x of its first and last pixels, and its centre of mass, in pixels",
    "peak": "highest value of the anomaly map inside; the limit makes a pixel part of a region",
    "mean": "mean of the anomaly map inside",
    "chance": "how often a normal image has such a peak, by the held-out normal images",
    "brightness": "mean intensity inside, of the image and of its reconstruction, from 0 to 1",
}
_ASIDE, _ALONE = "Side by side", "Back to one view"
_PATIENCE = 300  # milliseconds on one region before the search begins: keys may run over many


class WhyWidget(QScrollArea):
    """Explain the regions of the active layer's inspection."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self.session = session_of(viewer)
        self.family: Family | None = None
        self.found: Finding | None = None
        self._rows: list[Listed] = []
        self._before: Before | None = None  # how it was before the side-by-side view
        self._followed: Any = None  # the layer whose table of regions is watched
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.table = ImageTable(COLUMNS)
        self.back_button, self.next_button = QPushButton("Previous"), QPushButton("Next")
        self.sides_button = QPushButton(_ASIDE)
        self.numbers = {name: QLabel() for name in NUMBERS}
        self.pictures = Pictures(2)
        self.panel = WorkPanel("Find the nearest normal patch", self.search)
        self.source = SourceChooser(viewer, self._check)
        self._soon, self._settled = QTimer(self), QTimer(self)
        self._lay_out()
        self._connect()
        self.refresh()

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers; napari calls this."""
        self.source.refresh()
        self._refresh_soon()

    def refresh(self) -> None:
        """Show the regions of the active layer's family as they are now."""
        family = family_of(self._viewer)
        self.family = family if family is not None and family.regions is not None else None
        regions = None if self.family is None else self.family.regions
        self._follow(regions)
        self._rows = [] if regions is None else listed(regions)[:ROWS]
        self._fill()
        if self.source.missing():
            source = None if self.family is None else self.family.source
            guess = likely_normals(self._viewer, source, self.session.inspected)
            if guess is not None:
                self.source.choose(guess)
        if self.found is not None:
            self._measure(self.found.label)
        self._check()

    def show_region(self, label: int) -> None:
        """Zoom to a region and explain it; the nearest normal patch follows when normal images are known."""
        if self.family is None or self.family.regions is None or not self._measure(label):
            return
        assert self.found is not None
        look_at(self._viewer, self.family.regions, self.found)
        self._select(label)
        self._show_crop()
        self._settled.start()

    def step(self, by: int) -> None:
        """Go to the next or the previous region of the list."""
        row = self.table.currentRow() + by
        if 0 <= row < self.table.rowCount():
            self.table.setCurrentCell(row, 0)

    def pick(self, position: Any) -> None:
        """Explain the region at a place in the world, if there is one."""
        at = region_at(self._viewer, position)
        if at is None:
            return
        layer, label = at
        if self.family is None or layer is not self.family.regions:
            self._viewer.layers.selection.active = layer
            self.refresh()
        self.show_region(label)

    def search(self) -> None:
        """Search the normal images for the patch that looks most like the region."""
        crop, where = self._crop(), self.source.layer or self.source.folder
        if crop is None or where is None or self.found is None:
            return
        name = self._names()[self.found.image]

        def steps() -> Generator[Progress, None, Nearest]:
            return (yield from nearest(crop, normals_of(where, without=name)))

        self.panel.run(steps, self._show_nearest)

    def toggle_sides(self) -> None:
        """Show input, reconstruction, residual and mask in linked views, or everything as it was before."""
        if self._before is not None:
            put_back(self._before)
            self._before = None
            self.sides_button.setText(_ASIDE)
            self._look_again()
        elif self.family is not None:
            self._reconstruct_first(self.family)

    def changeEvent(self, event: QEvent | None) -> None:
        """Go back to one view when the page is closed."""
        super().changeEvent(event)
        if says_closed(event, self) and self._before is not None:
            self.toggle_sides()

    def _reconstruct_first(self, family: Family) -> None:
        detector, source, known = self.session.detector, family.source, family.anomaly_map
        if (
            family.reconstruction is not None
            or detector is None
            or source is None
            or known is None
            or is_large(detector, source)  # a scan keeps none
        ):
            self._arrange()
            return
        images, maps = slices(source), slices(known)

        def steps() -> Generator[Progress, None, np.ndarray | DataError]:
            share()
            try:
                return (yield from reconstruct(detector, images, maps))
            except DataError as error:
                return error  # the other views are shown nevertheless

        def done(made: np.ndarray | DataError) -> None:
            if not isinstance(made, DataError):
                add_reconstruction(self._viewer, source, made, known.data.shape[:-2])
            self._arrange()
            if isinstance(made, DataError):
                self.panel.say(str(made), error=True)

        self.panel.run(steps, done)

    def _arrange(self) -> None:
        self.refresh()
        if self.family is not None:
            self._before = side_by_side(self._viewer, self.family)
            self.sides_button.setText(_ALONE)
            self._look_again()

    def _look_again(self) -> None:
        """Fit the region, or else the image, into views of another size."""
        if self.found is None or self.family is None or self.family.regions is None:
            self._viewer.reset_view()
        else:
            look_at(self._viewer, self.family.regions, self.found)

    def _measure(self, label: int) -> bool:
        """Take the region's numbers anew; say why if it is gone."""
        self.found, problem = None, ""
        try:
            if self.family is not None:
                self.found = finding(self._viewer, self.family, label, self.session.detector)
        except DataError as error:
            problem = str(error)
        self._show_numbers()
        self._check()
        if problem:
            self.panel.say(problem, error=True)
        return self.found is not None

    def _show_numbers(self) -> None:
        detector = self.session.detector
        calibration = None if detector is None else detector.calibration
        told = {} if self.found is None else in_words(self.found, calibration)
        for name, label in self.numbers.items():
            label.setText(told.get(name, "-" if told else ""))
        if self.found is None:
            self.pictures.setVisible(False)

    def _crop(self) -> np.ndarray | None:
        """Cut the region and its surroundings out of the image."""
        if self.found is None or self.family is None or self.family.source is None:
            return None
        image = plane(self.family.source, self.found.image)
        y0, x0, y1, x1 = with_surroundings(self.found.box, image.shape)
        return image[y0:y1, x0:x1]

    def _show_crop(self) -> None:
        if (crop := self._crop()) is not None:
            self._show_pictures([crop], ["this region"])

    def _show_nearest(self, best: Nearest) -> None:
        crop = self._crop()
        if crop is None or crop.shape[:2] != best.patch.shape[:2]:
            return  # another region was chosen meanwhile
        y, x = best.corner
        where = f"nearest normal: {PurePath(best.name).name}, y {y}, x {x}"
        apart = f"; differs by {best.difference:.3g} in intensity (root mean square)"
        self._show_pictures([crop, best.patch], ["this region", where + apart])
        self.panel.say(f"{best.searched} of {best.known} normal images searched")

    def _show_pictures(self, crops: list[np.ndarray], captions: list[str]) -> None:
        """Show crops of the image as the viewer does: in its contrast, and its pixels as tall."""
        assert self.family is not None and self.family.source is not None
        tall, wide = np.abs(self.family.source.scale[-2:])
        self.pictures.show_images(crops, self._limits(crops[0]), captions, float(tall / wide))

    def _limits(self, crop: np.ndarray) -> tuple[float, float]:
        """Return the intensities that the viewer shows black and white."""
        assert self.family is not None and self.family.source is not None
        if not self.family.source.rgb:
            low, high = self.family.source.contrast_limits
            return float(low), float(high)
        return (0.0, 1.0) if crop.dtype.kind == "f" else (0.0, float(np.iinfo(crop.dtype).max))

    def _names(self) -> list[str]:
        if self.family is None or self.family.source is None:
            return []
        return names_of(self.family.source, len(slices(self.family.source)))

    def _fill(self) -> None:
        names = self._names()
        limit = 0.0
        if self.family is not None and self.family.regions is not None:
            limit = limit_of(self.family.regions)
        rows = [
            (one.label, one.p_value, one.peak / limit if limit > 0 else one.peak, one.area)
            for one in self._rows
        ]
        named = [names[row.image] if row.image < len(names) else "" for row in self._rows]
        self.table.blockSignals(True)
        self.table.fill(named, rows, [""] * len(rows))
        self.table.sortItems(3, Qt.SortOrder.DescendingOrder)
        self.table.sortItems(2, Qt.SortOrder.AscendingOrder)
        self.table.blockSignals(False)
        self.table.setColumnHidden(0, len(names) < 2)
        if (across := self.table.horizontalHeader()) is not None:
            across.setStretchLastSection(len(names) < 2)
        self.title.setText(self._title())

    def _title(self) -> str:
        if self.family is None:
            return "no regions yet: inspect an image first"
        assert self.family.regions is not None
        name = self.family.regions.name
        if not self._rows:
            return f"{name}: none, nothing reaches the limit"
        more = f", the {ROWS} least likely" if len(self._rows) == ROWS else ""
        keys = f"{NEXT_REGION.key} next, {PREVIOUS_REGION.key} previous"
        return f"{name}: {len(self._rows)}{more}. Click one in the view or here; {keys}"

    def _select(self, label: int) -> None:
        """Mark the row of a region, without going there once more."""
        self.table.blockSignals(True)
        for row in range(self.table.rowCount()):
            number = self.table.number_of(row)
            if number is not None and self._rows[number].label == label:
                self.table.setCurrentCell(row, 0)
        self.table.blockSignals(False)

    def _row_chosen(self, row: int) -> None:
        number = self.table.number_of(row)
        if number is not None:
            self.show_region(self._rows[number].label)

    def _follow(self, regions: Any) -> None:
        """Watch the table of regions: another limit changes it."""
        if regions is self._followed:
            return
        if self._followed is not None:
            self._followed.events.features.disconnect(self._refresh_soon)
        if regions is not None:
            regions.events.features.connect(self._refresh_soon)
        self._followed = regions

    def _refresh_soon(self, *_: object) -> None:
        if is_alive(self):
            self._soon.start()

    def _search_if_known(self) -> None:
        if self.source.missing() is None and not self.panel.running:
            self.search()
        elif self.panel.running:
            self._settled.start()

    def _check(self) -> None:
        if not hasattr(self, "sides_button"):
            return
        none = "inspect an image first" if self.family is None else None
        self.sides_button.setEnabled(none is None or self._before is not None)
        self.sides_button.setToolTip(
            none
            or f"input, reconstruction, residual and mask in linked views, and back ({SIDE_BY_SIDE.key})"
        )
        chosen = none or ("choose a region first" if self.found is None else None)
        missing = "say below where normal images are: a folder or an image layer"
        self.panel.ready(chosen or (missing if self.source.missing() else None))

    def _connect(self) -> None:
        for timer, wait, call in (
            (self._soon, 100, self.refresh),
            (self._settled, _PATIENCE, self._search_if_known),
        ):
            timer.setSingleShot(True)
            timer.setInterval(wait)
            timer.timeout.connect(call)
        self.table.currentCellChanged.connect(lambda row, *_: self._row_chosen(row))
        self.back_button.clicked.connect(lambda: self.step(-1))
        self.next_button.clicked.connect(lambda: self.step(1))
        self.sides_button.clicked.connect(self.toggle_sides)
        self.session.changed.connect(self._refresh_soon)
        self.session.inspected_changed.connect(self._refresh_soon)
        self._viewer.layers.selection.events.active.connect(self._refresh_soon)
        follow_clicks(self, self._viewer, self.pick)
        keys = {
            NEXT_REGION.key: lambda: self.step(1),
            PREVIOUS_REGION.key: lambda: self.step(-1),
            SIDE_BY_SIDE.key: self.toggle_sides,
        }
        follow_keys(self, self._viewer, keys)

    def _lay_out(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        buttons = QHBoxLayout()
        for button, shortcut in (
            (self.back_button, PREVIOUS_REGION),
            (self.next_button, NEXT_REGION),
        ):
            button.setToolTip(f"{shortcut.does} (key {shortcut.key})")
            buttons.addWidget(button)
        buttons.addWidget(self.sides_button)
        rows = form_layout()
        rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        for name, label in self.numbers.items():
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            heading = QLabel(name)
            heading.setToolTip(_TIPS[name])
            label.setToolTip(_TIPS[name])
            rows.addRow(heading, label)
        self.source.setToolTip(
            f"normal images to search: at most {MOST}, for at most {SECONDS:.0f} s; "
            "of a folder with train/ and test/ only those in train/good"
        )
        layout.addWidget(self.title)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        layout.addLayout(rows)
        layout.addWidget(self.pictures)
        layout.addWidget(self.panel)
        layout.addWidget(QLabel("normal images"))
        layout.addWidget(self.source)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(340)
