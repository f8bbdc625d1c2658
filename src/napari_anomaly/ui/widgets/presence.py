"""Presence check: a few pictures with and without something in, and which of others show it out."""

from collections.abc import Callable, Generator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, FileEdit, LineEdit, SpinBox
from napari.layers import Labels, Shapes
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.cropping import crop_of
from napari_anomaly.ui.devices import share
from napari_anomaly.ui.forms import form_layout, patient
from napari_anomaly.ui.layers import slices, slide_to
from napari_anomaly.ui.marking import ABSENT, PRESENT, Box, reading_marks
from napari_anomaly.ui.planes import names_of
from napari_anomaly.ui.widgets.layer_box import LayerBox
from napari_anomaly.ui.widgets.panel import WorkPanel
from napari_anomaly.ui.widgets.saving import ask_where_to_save
from napari_anomaly.ui.widgets.source import SourceChooser, bare
from napari_anomaly.ui.widgets.table import ImageTable

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_anomaly.core.presence.check import PresenceCheck
    from napari_anomaly.core.presence.checking import Checked

FILES = "Presence check (*.presence)"
COLUMNS = ("image", "verdict", "probability")


class PresenceWidget(QScrollArea):
    """Mark a few images, train, check the others."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self.check: PresenceCheck | None = None
        self._checked: Image | None = None  # whose images the table lists
        self.source = SourceChooser(viewer, self._look)
        self.source.folder_edit.line_edit.native.setPlaceholderText("folder of images with it")
        self.absent = FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True)
        self.absent.line_edit.native.setPlaceholderText("folder of images without it")
        self.absent.line_edit.tooltip = "a folder of images that do not show it"
        self.absent.choose_btn.text = "Browse"
        self.marks = LayerBox("none yet")
        self.marks.setToolTip(
            f"a Labels layer over the images: paint some of the region with {PRESENT} where it is "
            f"present, with {ABSENT} where it is absent; images without paint are left out",
        )
        self.region = LayerBox("none: whole images")
        self.region.setToolTip("a Shapes layer whose first rectangle holds the place to look at")
        self.model = ComboBox(choices=["svm", "cnn"], value="svm")
        self.model.tooltip = (
            "svm: edges and intensities, seconds; cnn: a small network, a minute or more"
        )
        self.group = LineEdit(value="")
        self.group.native.setPlaceholderText(r"for example part(\d+)")
        self.group.tooltip = (
            "a regular expression that finds the part in an image's name: photographs of one part "
            "are held out together, and count once. Empty: every image on its own"
        )
        self.seed = SpinBox(value=0, max=2**31 - 1)
        self.seed.tooltip = "decides what is held out together, and everything random in training"
        self.training = WorkPanel("Train", self.train)
        self.summary = QLabel()
        self.save_button, self.load_button = QPushButton("Save ..."), QPushButton("Load ...")
        self.others = SourceChooser(viewer, self._look)
        self.checking = WorkPanel("Check", self.check_others)
        self.table = ImageTable(COLUMNS)
        self._lay_out()
        self.absent.changed.connect(lambda _: self._look())
        self.marks.currentIndexChanged.connect(lambda _: self._look())
        self.save_button.clicked.connect(self._ask_save)
        self.load_button.clicked.connect(self._ask_load)
        for panel in (self.training, self.checking):
            panel.toggled.connect(lambda _: self._look())
        self.table.cellClicked.connect(lambda row, _: self.go_to(row))
        self.reset_choices()

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers; napari calls this."""
        self.source.refresh()
        self.others.refresh()
        layers = [bare(layer) for layer in self._viewer.layers]
        self.marks.offer([layer for layer in layers if isinstance(layer, Labels)])
        self.region.offer([layer for layer in layers if isinstance(layer, Shapes)])
        self._look()

    def train(self) -> None:
        """Train with what is marked or lies in the two folders; the check and its accuracy are shown."""
        region = self._box()
        sides = self._sides(region)
        choices: dict[str, Any] = {
            "region": region,
            "model": self.model.value,
            "seed": self.seed.value,
            "group": self.group.value.strip() or None,
        }

        def steps() -> "Generator[Progress, None, PresenceCheck]":
            share()
            from napari_anomaly.core.presence.check import fit_presence_steps

            return (yield from fit_presence_steps(*sides(), **choices))

        self.training.run(steps, self._show)

    def check_others(self) -> None:
        """Check the images of the chosen layer or folder; verdicts are listed."""
        check, layer, folder = self.check, self.others.layer, self.others.folder
        if check is None:
            return

        def steps() -> "Generator[Progress, None, Checked]":
            from napari_anomaly.core.data.folders import samples_of
            from napari_anomaly.core.presence.checking import check_files, check_images

            if layer is not None:
                images = slices(layer)
                named = dict(zip(_unique(names_of(layer, len(images))), images, strict=True))
                return (yield from check_images(check, named))
            return (yield from check_files(check, samples_of([folder] if folder else [])))

        self.checking.run(steps, lambda found: self._list(found, layer))

    def go_to(self, row: int) -> None:
        """Bring the image of a table row into view."""
        number = self.table.number_of(row)
        if number is not None and self._checked is not None:
            slide_to(self._viewer, self._checked, number)

    def save(self, path: Path) -> None:
        """Write the present check."""
        if self.check is not None:
            self.check.save(path)
            self.training.say(f"saved as {path}")

    def load(self, path: Path) -> None:
        """Read a check in the background and make it the present one."""

        def steps() -> "Generator[Progress, None, PresenceCheck]":
            yield Progress("loading", 0, 1)
            share()
            from napari_anomaly.core.presence.check import load_presence

            return load_presence(path)

        self.training.run(steps, self._show)

    def _box(self) -> Box | None:
        """The drawn rectangle in pixels.

        Raises
        ------
        DataError
            What is drawn is no upright rectangle.
        """
        shapes = self.region.layer
        if shapes is None:
            return None
        crop = crop_of(shapes, self.source.layer)
        if crop.box is None:
            raise DataError(
                f"{shapes.name}: found a polygon or a turned rectangle; expected an upright rectangle; draw it anew"
            )
        return crop.box

    def _sides(self, region: Box | None) -> Callable[[], tuple[Any, Any]]:
        """Return what gives the pictures with and without it, read in the thread."""
        layer, marks = self.source.layer, self.marks.layer
        if layer is None or marks is None:
            with_it, without = str(self.source.folder), str(_folder(self.absent))
            return lambda: (with_it, without)
        images = slices(layer)
        names = _unique(names_of(layer, len(images)))
        told = reading_marks(marks, layer, region)

        def sides() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
            read: dict[bool | None, dict[str, np.ndarray]] = {True: {}, False: {}}
            for name, image, mark in zip(names, images, told(), strict=True):
                if mark is not None:
                    read[mark][name] = np.asarray(image)
            return read[True], read[False]

        return sides

    def _show(self, check: "PresenceCheck") -> None:
        from napari_anomaly.core.presence.words import about

        self.check = check
        self.summary.setText("<br>".join(map(escape, about(check))))
        self._look()

    def _list(self, found: "Checked", layer: "Image | None") -> None:
        self._checked = layer
        rows = [(one.verdict, one.probability) for one in found.answers]
        self.table.fill(found.names, rows, [str(one) for one in found.answers])
        self.table.sortItems(COLUMNS.index("probability"))  # the most clearly absent first
        absent = sum(not one.present for one in found.answers)
        click = "" if layer is None else "; click a row to see the image"
        self.checking.say(f"absent in {absent} of {len(found.answers)} images{click}")

    def _look(self) -> None:
        """Allow what can be done now; say what is missing for the rest."""
        if not hasattr(self, "table"):
            return
        layered = self.source.layer is not None
        for row, shown in ((self.marks, layered), (self.absent.native, not layered)):
            self.rows.setRowVisible(row, shown)
        self.training.ready(
            "a check is running" if self.checking.running else self._missing(layered)
        )
        untrained = None if self.check else "train or load a check first"
        busy = "training is running" if self.training.running else None
        self.checking.ready(busy or untrained or self.others.missing())
        self.save_button.setEnabled(self.check is not None and not self.training.running)
        self.save_button.setToolTip(busy or untrained or "")
        self.load_button.setDisabled(self.training.running)

    def _missing(self, layered: bool) -> str | None:
        if layered:
            return None if self.marks.layer else "choose the Labels layer that marks the images"
        if missing := self.source.missing():
            return missing
        return None if _folder(self.absent) else "choose the folder of images without it"

    def _ask_save(self) -> None:
        path = ask_where_to_save(self, "Save check", "check.presence", FILES)
        if path is not None:
            try:
                self.save(path)
            except OSError as error:
                self.training.say(f"{path}: cannot be written ({error.strerror})", error=True)

    def _ask_load(self) -> None:
        if path := QFileDialog.getOpenFileName(self, "Load check", "", FILES)[0]:
            self.load(Path(path))

    def _lay_out(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        self.rows = form_layout()
        self.rows.addRow("images", self.source)
        self.rows.addRow("without it", self.absent.native)
        self.rows.addRow("marks", self.marks)
        self.rows.addRow("region", self.region)
        for name, field in (("model", self.model), ("group", self.group), ("seed", self.seed)):
            patient(field.native)
            self.rows.addRow(name, field.native)
        layout.addLayout(self.rows)
        layout.addWidget(self.training)
        self.summary.setWordWrap(True)
        layout.addWidget(self.summary)
        buttons = QHBoxLayout()
        buttons.addWidget(self.save_button)
        buttons.addWidget(self.load_button)
        layout.addLayout(buttons)
        others = form_layout()
        others.addRow("check", self.others)
        layout.addLayout(others)
        layout.addWidget(self.checking)
        layout.addWidget(self.table, 1)
        layout.addStretch()
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(340)


def _folder(edit: FileEdit) -> Path | None:
    text = str(edit.line_edit.value).strip()
    folder = Path(text).expanduser()
    return folder if text and folder.is_dir() else None


def _unique(names: Sequence[str]) -> list[str]:
    """Tell apart what a layer's metadata calls alike."""
    if len(set(names)) == len(names):
        return list(names)
    return [f"{name} [{k}]" for k, name in enumerate(names)]
