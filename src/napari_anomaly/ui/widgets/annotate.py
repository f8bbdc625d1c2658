"""Annotate: the machine's regions and a person's strokes become ground truth, kept and saved as masks."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.core.errors import AnomalyError, DataError
from napari_anomaly.ui import annotating, shortcuts
from napari_anomaly.ui.family import family_of, number_shown
from napari_anomaly.ui.forms import tip
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.shortcuts import Shortcut
from napari_anomaly.ui.widgets.keeping import Keeping, images_in_words
from napari_anomaly.ui.widgets.layer_box import LayerBox
from napari_anomaly.ui.widgets.panel import is_alive
from napari_anomaly.ui.widgets.source import bare, images_in
from napari_anomaly.ui.writers import MaskExistsError, painted_good, write_some_masks

if TYPE_CHECKING:
    import napari.viewer

Place = tuple[float, ...]


class AnnotateWidget(QScrollArea):
    """Accept, erase, merge, split and draw regions of the ground truth of one image layer."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self.session = session_of(viewer)
        self._told: set[int] = set()
        self._places: list[Place] = []  # where a person clicked: one, or several to be merged
        self.layer_box, self.chosen, self.state = LayerBox(), _text(), _text()
        self.keeping = Keeping(self._painted, self._number)
        self.save_button = QPushButton("Save masks ...")
        self.keys = QToolButton()
        self.buttons = {key: self._button(text, act) for key, text, act in self._actions()}
        self._lay_out()
        self._connect()
        self.reset_choices()

    @property
    def layer(self) -> Image | None:
        """The image layer that is annotated."""
        chosen: Image | None = self.layer_box.layer
        return chosen

    @property
    def truth(self) -> Labels | None:
        """Its ground truth, if it has one."""
        return None if self.layer is None else annotating.truth_of(self._viewer, self.layer)

    @property
    def regions(self) -> Labels | None:
        """What the machine found in it."""
        family = None if self.layer is None else family_of(self._viewer, self.layer)
        return None if family is None else family.regions

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers, keeping the choice; napari calls this."""
        self.layer_box.offer(images_in(self._viewer))
        self._look()

    def accept(self, places: list[Place]) -> None:
        """Copy the machine's regions at these places into the ground truth."""
        regions = self._regions_or_why()
        self._accept({annotating.label_at(regions, place) for place in places} - {0})

    def accept_all(self, _: list[Place]) -> None:
        """Copy all of the machine's regions in the image shown."""
        image = annotating.image_of(self._regions_or_why(), self._number())
        self._accept({int(label) for label in np.unique(image)} - {0})

    def erase(self, places: list[Place]) -> None:
        """Erase the regions of the ground truth at these places."""
        self._change(lambda image: annotating.erased(image, self._labels_at(places)))

    def merge(self, places: list[Place]) -> None:
        """Make one region of those at these places and those that were clicked."""
        chosen = self._places + places
        self._change(
            lambda image: annotating.merged(
                image, self._labels_at(chosen) & set(np.unique(image).tolist())
            )
        )

    def split(self, places: list[Place]) -> None:
        """Cut the region of the ground truth at the last of these places."""
        label = max(self._labels_at(places[-1:]))
        first = annotating.free_label(self._painted())
        self._change(lambda image: annotating.split(image, label, first))

    def draw(self, _: list[Place]) -> None:
        """Let the person draw a new region."""
        truth = self._painted()
        truth.visible = True
        truth.selected_label = annotating.free_label(truth)
        self._viewer.layers.selection.active = truth
        truth.mode = "polygon"
        self.say("click around the region; a double click closes it. Paint brush: key 2")

    def save(self, root: Path, *, overwrite: bool = False) -> list[str]:
        """Write masks of the images that were painted in; what was kept of them is removed then.

        Images that count as good are named and stay unsaved; the others are written.
        """
        if (truth := self.truth) is None:
            return []
        self._look()
        self.keeping.look()
        layer, dirty = truth.as_layer_data_tuple(), sorted(self.keeping.dirty)
        good = painted_good(layer, dirty)
        numbers = [number for number in dirty if number not in good]
        # of good ones alone nothing can be written, which is an error that says why
        paths = write_some_masks(root, layer, numbers or dirty, overwrite=overwrite)
        self.keeping.saved(numbers)
        self.say(
            f"in {root / 'ground_truth'}: masks of {images_in_words(len(paths))}" + _unsaved(good)
        )
        self._look()
        return paths

    def say(self, text: str, *, error: bool = False) -> None:
        """Show how it stands."""
        self.state.setText(text)
        self.state.setStyleSheet("font-weight: bold" if error else "")

    def hideEvent(self, event: Any) -> None:
        """Keep what was painted before the page goes."""
        self.keeping.keep_before_leaving()
        super().hideEvent(event)

    def _actions(self) -> list[tuple[Shortcut, str, Callable[[list[Place]], None]]]:
        return [
            (shortcuts.ACCEPT, "Accept", self.accept),
            (shortcuts.ACCEPT_ALL, "Accept all", self.accept_all),
            (shortcuts.ERASE, "Erase", self.erase),
            (shortcuts.MERGE, "Merge", self.merge),
            (shortcuts.SPLIT, "Split", self.split),
            (shortcuts.DRAW, "Draw", self.draw),
        ]

    def _button(self, text: str, act: Callable[[list[Place]], None]) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(lambda: self._do(act, list(self._places)))
        return button

    def _do(self, act: Callable[[list[Place]], None], places: list[Place]) -> None:
        self.say("")
        try:
            act(places)
        except AnomalyError as error:
            self.say(str(error), error=True)

    def _connect(self) -> None:
        self.layer_box.currentIndexChanged.connect(self._turned)
        self._viewer.dims.events.current_step.connect(self._forget_places)
        self._viewer.layers.selection.events.active.connect(self._turn_to)
        self.keeping.changed.connect(self._show)
        self.keeping.failed.connect(lambda text: self.say(text, error=True))
        self.save_button.clicked.connect(self._ask_save)
        self.keys.toggled.connect(self._unfold)
        self._unfold(False)
        for key, _, act in self._actions():
            self._viewer.bind_key(key.key, self._on_key(act), overwrite=True)
        self._viewer.mouse_drag_callbacks.append(self._clicked)

    def _on_key(self, act: Callable[[list[Place]], None]) -> Callable[[Any], None]:
        def pressed(viewer: Any) -> None:
            if is_alive(self) and self.isVisible():
                self._do(act, [tuple(viewer.cursor.position)])

        return pressed

    def _clicked(self, _: Any, event: Any) -> Generator[None, None, None]:
        place, more = tuple(event.position), "Shift" in event.modifiers
        yield
        if event.type == "mouse_move" or not is_alive(self):
            return  # a drag
        active = bare(self._viewer.layers.selection.active)
        if getattr(active, "mode", "pan_zoom") == "pan_zoom":
            self._places = [*self._places, place] if more else [place]
            self._say_chosen()

    def _turned(self, *_: object) -> None:
        self._forget_places()
        self._look()

    def _forget_places(self, *_: object) -> None:
        """Forget what was clicked: it is not on screen any more."""
        if is_alive(self) and self._places:
            self._places = []
            self._say_chosen()

    def _say_chosen(self) -> None:
        regions, truth = self.regions, self.truth
        found = [0 if regions is None else annotating.label_at(regions, at) for at in self._places]
        own = [0 if truth is None else annotating.label_at(truth, at) for at in self._places]
        named = [f"the machine's region {label}" for label in found if label]
        named += [f"region {label} of the ground truth" for label in own if label]
        self.chosen.setText(", ".join(dict.fromkeys(named)) or "nothing: click a region")

    def _number(self) -> int:
        return 0 if self.layer is None else number_shown(self._viewer, self.layer)

    def _regions_or_why(self) -> Labels:
        if (regions := self.regions) is None:
            raise DataError("the machine found no regions in this layer yet: inspect it first")
        return regions

    def _accept(self, which: set[int]) -> None:
        if not which:
            raise DataError("there is no region of the machine's here; point at one, or click it")
        machine = annotating.image_of(self._regions_or_why(), self._number())
        first = annotating.free_label(self._painted())
        self._change(lambda image: annotating.accepted(image, machine, which, first))

    def _labels_at(self, places: list[Place]) -> set[int]:
        truth = self._painted()
        labels = {annotating.label_at(truth, place) for place in places} - {0}
        if not labels:
            raise DataError(
                "there is no region of the ground truth here; point at one, or click it"
            )
        return labels

    def _change(self, operation: Callable[[np.ndarray], np.ndarray]) -> None:
        truth, number = self._painted(), self._number()
        after = operation(annotating.image_of(truth, number))
        if not annotating.write(truth, {number: after}):
            self.say("nothing changed: that is in the ground truth already")
        self._viewer.layers.selection.active = truth  # napari undoes in the layer that is selected
        self._say_chosen()

    def _painted(self) -> Labels:
        """Return the ground truth; a new one if there is none."""
        if self.layer is None:
            raise DataError("open an image first")
        truth = self.truth or bare(annotating.new_truth(self._viewer, self.layer))
        if not isinstance(truth.data, np.ndarray):
            raise DataError(
                f"{truth.name}: its masks are read when looked at and cannot be painted in; open fewer images"
            )
        self._look()
        return truth

    def _turn_to(self, *_: object) -> None:
        """Choose the image whose ground truth was selected: what is painted there is to be kept."""
        active = bare(self._viewer.layers.selection.active) if is_alive(self) else None
        if not isinstance(active, Labels) or active is self.truth:
            return
        for number, layer in enumerate(self.layer_box.layers):
            if annotating.truth_of(self._viewer, layer) is active:
                self.layer_box.setCurrentIndex(number)
                return

    def _look(self) -> None:
        """Watch the ground truth that belongs to the chosen layer, and offer what was kept of it."""
        self.keeping.follow(self.layer, self.truth)
        self._show()

    def _show(self) -> None:
        dirty = set(self.keeping.dirty)
        nothing = None if self.layer is not None else "open an image layer first"
        for key, button in self.buttons.items():
            machine = key in (shortcuts.ACCEPT, shortcuts.ACCEPT_ALL)
            why = nothing or ("inspect this layer first" if machine and not self.regions else None)
            button.setEnabled(why is None)
            button.setToolTip(tip(why or f"{key.does} ({key.key}); with the mouse: click it first"))
        self.save_button.setEnabled(bool(dirty))
        self.save_button.setToolTip(
            "as ground_truth/<defect>/NAME_mask.png, of the images changed"
            if dirty
            else "nothing was painted since the last time"
        )
        self.save_button.setText(
            f"Save masks of {images_in_words(len(dirty))} ..." if dirty else "Save masks ..."
        )
        if dirty != self._told:
            self._told = dirty
            self.session.truth_changed.emit()

    def _ask_save(self) -> None:
        start = "" if self.layer is None else str(self.layer.metadata.get("path") or "")
        if folder := QFileDialog.getExistingDirectory(
            self, "Folder that gets ground_truth/", start
        ):
            self._do(lambda _: self._save_asking(Path(folder)), [])

    def _save_asking(self, folder: Path) -> None:
        yes = QMessageBox.StandardButton.Yes
        try:
            self.save(folder)
        except MaskExistsError as error:
            if QMessageBox.question(self, "Replace masks?", f"{error}\n\nReplace them?") == yes:
                self.save(folder, overwrite=True)

    def _unfold(self, shown: bool) -> None:
        self.keys.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self.key_list.setVisible(shown)

    def _lay_out(self) -> None:
        inside = QWidget()
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("image", self.layer_box)
        rows.addRow("clicked", self.chosen)
        grid = QGridLayout()
        for k, button in enumerate(self.buttons.values()):
            grid.addWidget(button, k // 2, k % 2)
        self.keys.setText("Keys")
        self.keys.setCheckable(True)
        self.keys.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.key_list = _keys()
        layout = QVBoxLayout(inside)
        layout.addLayout(rows)
        layout.addLayout(grid)
        for widget in (self.keeping, self.save_button, self.state, self.keys, self.key_list):
            layout.addWidget(widget)
        layout.addStretch()
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(340)


def _unsaved(good: dict[int, str]) -> str:
    if not good:
        return ""
    more = f" and {len(good) - 1} more" if len(good) > 1 else ""
    return (
        f". Not saved: {next(iter(good.values()))}{more}, painted but counted as good; "
        "erase the paint, or move the image to the folder of its defect"
    )


def _text() -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    return label


def _keys() -> QWidget:
    widget = QWidget()
    rows = QFormLayout(widget)
    undo = Shortcut("Ctrl+Z", "undo, in one step; Ctrl+Shift+Z: redo")
    for one in (*shortcuts.ANNOTATE, undo, *shortcuts.INSPECT, *shortcuts.TABLE, *shortcuts.WHY):
        about = _text()
        about.setText(one.does)
        rows.addRow(one.key, about)
    return widget
