"""Train: normal images in, a detector out."""

import threading
from collections.abc import Generator
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, FloatSpinBox
from napari.layers import Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.cropping import crop_of
from napari_anomaly.ui.devices import device_name, share
from napari_anomaly.ui.family import number_shown
from napari_anomaly.ui.forms import RecipeForm, patient
from napari_anomaly.ui.interrupted import Interrupted
from napari_anomaly.ui.memory import release
from napari_anomaly.ui.normals import LayerNormals, chosen
from napari_anomaly.ui.preferences import preferences
from napari_anomaly.ui.remembered import recall, remember
from napari_anomaly.ui.scripts import Action, loaded, trained
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.steps import with_crop
from napari_anomaly.ui.training import fit_apart, fit_here
from napari_anomaly.ui.widgets.copying import CopyButton
from napari_anomaly.ui.widgets.data import DataForm
from napari_anomaly.ui.widgets.header import Header
from napari_anomaly.ui.widgets.live import LiveTraining
from napari_anomaly.ui.widgets.panel import WorkPanel, is_alive
from napari_anomaly.ui.widgets.saving import ask_where_to_save
from napari_anomaly.ui.widgets.source import SourceChooser, bare

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.core.detector import Detector

PATIENCE = 5.0
"""Seconds that a training waits for a cancelled one to write its state."""

FILES = "Anomaly detector (*.anomaly)"


class TrainWidget(QScrollArea):
    """Choose normal images and a method, train, save."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self.session = session_of(viewer)
        self._resting = threading.Event()  # set while no training works in the background
        self._resting.set()
        self.live = LiveTraining(viewer)
        self.source = SourceChooser(viewer, self._check)
        self.method = ComboBox(choices=list(RECIPES), value="linear")
        self.about = _text()
        self.settings = QToolButton()
        self.data = DataForm()
        self.apart = QCheckBox("Train in a process of its own")
        self.apart.setToolTip(
            "all the memory that the training takes, of a GPU too, is given back when it ends; it takes some seconds "
            "more to start. The detector is the same. How this begins is chosen in Preferences"
        )
        self._restore_process()
        self.form, self._fold = RecipeForm(RECIPES["linear"]), QVBoxLayout()
        self.rate = FloatSpinBox(value=0, min=0, max=0.5, step=0.01)
        self.rate.native.setDecimals(3)
        self.rate.native.setSpecialValueText("automatic")
        self.rate.tooltip = (
            "wanted share of normal images that fail; automatic: 0.01, or the lowest that the "
            "number of normal images supports"
        )
        self.review, self.seed = self.data.review, self.data.seed
        self.panel = WorkPanel("Train", self.train)
        self.header = Header(self.session, self.source, self.panel)
        self.summary = _text()
        self.save_button, self.load_button = QPushButton("Save ..."), QPushButton("Load ...")
        self.release_button = QPushButton("Release memory")
        self.release_button.clicked.connect(lambda: self.panel.say(release()))
        self._lay_out()
        self._busy(False)
        self.settings.toggled.connect(self._unfold)
        self.method.changed.connect(lambda _: self._new_form())
        self.save_button.clicked.connect(self._ask_save)
        self.load_button.clicked.connect(self._ask_load)
        self.panel.toggled.connect(self._busy)
        self.session.changed.connect(self._show_detector)
        self._recall()
        self._unfold(False)
        self._new_form()
        self._show_detector()
        self._check()

    @property
    def recipe(self) -> Recipe:
        """The recipe as the form shows it, with the region of interest."""
        recipe, shapes = self.form.recipe, self.form.shapes
        return recipe if shapes is None else with_crop(recipe, crop_of(shapes, self.source.layer))

    def reset_choices(self, *_: object) -> None:
        """Follow the viewer's layers; napari calls this."""
        self.source.refresh()
        self.form.offer(self._drawn())

    def train(self) -> None:
        """Train with what is chosen; progress and result are shown."""
        recipe, layer, folder = self.recipe, self.source.layer, self.source.folder
        data = (
            str(folder)
            if layer is None
            else LayerNormals.of(layer, number_shown(self._viewer, layer))
        )
        choices: dict[str, Any] = {
            "seed": self.seed.value,
            "false_alarm": self.rate.value or None,
            "review": self.review.value or None,
            "calibration": self.data.calibration,
            "group": self.data.pattern,
            "budget": self.data.seconds,
        }
        kept = Interrupted()
        watched = self.live.begin(partial(chosen, data))
        ready = fit_apart if self.apart.isChecked() else fit_here
        before, rested = self._resting, threading.Event()
        self._resting = rested

        def steps() -> "Generator[Progress, None, Detector]":
            try:
                before.wait(PATIENCE)
                normals = data if isinstance(data, str) else data.images
                fitting = ready()(normals, recipe, state_file=kept.folder, **choices)
                return (yield from watched(kept.watch(fitting)))
            finally:
                rested.set()

        remember(method=self.method.value, **({"folder": str(folder)} if folder else {}))
        source = layer.name if layer is not None else Path(str(folder))
        code = trained(source, self.method.value, recipe, choices)
        self.panel.run(
            steps,
            lambda found: self._trained(found, code, apart=ready is fit_apart),
            self.live.progressed,
            left=kept.in_words,
        )

    def save(self, path: Path) -> None:
        """Write the present detector."""
        if self.session.detector is not None:
            self.session.detector.save(path)
            remember(detector=str(path))
            self.panel.say(f"saved as {path}")

    def load(self, path: Path) -> None:
        """Read a detector in the background and make it the present one."""
        remember(detector=str(path))
        self.panel.run(loading(path), lambda found: self._done(found, loaded(path)))

    def _trained(self, detector: "Detector", code: str, *, apart: bool) -> None:
        self._done(detector, code)
        if apart:
            self.panel.say(
                "the training's process has ended: all memory that it took is free again"
            )

    def _done(self, detector: "Detector", code: str) -> None:
        self.session.detector = detector
        self.session.did(Action(code, makes=detector))

    def _check(self) -> None:
        if hasattr(self, "header"):
            self.panel.ready(self.source.missing())
            self.header.refresh()
            self.data.group.enabled = self.source.layer is None

    def _recall(self) -> None:
        """Begin with the method and, where the viewer shows no images, the folder of last time."""
        last = recall()
        if last.method in RECIPES:
            self.method.value = last.method
        self.source.recall(last.folder)

    def _drawn(self) -> list[Shapes]:
        return [layer for layer in map(bare, self._viewer.layers) if isinstance(layer, Shapes)]

    def _unfold(self, unfolded: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow
        self.settings.setArrowType(arrow)
        self.data.setVisible(unfolded)
        self.apart.setVisible(unfolded)
        self.form.setVisible(unfolded)

    def _new_form(self) -> None:
        recipe = RECIPES[self.method.value]
        old, self.form = self.form, RecipeForm(recipe)
        self.form.offer(self._drawn(), old.shapes)
        self.form.restored.connect(self.data.restore)
        self.form.restored.connect(self._restore_process)
        self.form.setVisible(self.settings.isChecked())
        self._fold.addWidget(self.form)
        self._fold.removeWidget(old)
        old.hide()  # it is deleted only when Qt comes to rest
        old.deleteLater()
        self.about.setText((type(recipe.method).__doc__ or "").strip().split("\n")[0])

    def _restore_process(self) -> None:
        self.apart.setChecked(preferences().own_process)

    def _busy(self, running: bool) -> None:
        self.load_button.setDisabled(running)
        self.release_button.setDisabled(running)
        self.release_button.setToolTip(
            "not while a training runs: it uses the memory"
            if running
            else "forget compiled code and unused arrays; the memory goes to what napari computes next. "
            "Detectors stay and work as before"
        )
        if not running:
            self.live.rest()

    def _show_detector(self) -> None:
        if not is_alive(self):
            return
        detector = self.session.detector
        self.summary.setText("" if detector is None else in_words(detector))
        self.save_button.setEnabled(detector is not None)
        self.save_button.setToolTip("" if detector else "train or load a detector first")

    def _ask_save(self) -> None:
        folder = Path(recall().detector).parent
        path = ask_where_to_save(self, "Save detector", str(folder / "detector.anomaly"), FILES)
        if path is not None:
            try:
                self.save(path)
            except OSError as error:
                self.panel.say(f"{path}: cannot be written ({error.strerror})", error=True)

    def _ask_load(self) -> None:
        if path := ask_which_detector(self):
            self.load(path)

    def _lay_out(self) -> None:
        self.settings.setText("Settings")
        self.settings.setCheckable(True)
        self.settings.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.settings.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("normal images", self.source)
        rows.addRow("method", self.method.native)
        rows.addRow(self.about)
        rows.addRow("false alarms", self.rate.native)
        rows.addRow(self.settings)
        self._fold.addWidget(self.data)
        self._fold.addWidget(self.apart)
        self._fold.addWidget(self.form)
        rows.addRow(self._fold)
        for name, field in (("method", self.method), ("false alarms", self.rate)):
            patient(field.native)
            field.native.setAccessibleName(name)
        layout.addWidget(self.header)
        layout.addLayout(rows)
        layout.addWidget(self.panel)
        layout.addWidget(self.live)
        layout.addWidget(CopyButton(self.session))
        layout.addWidget(self.summary)
        buttons = QHBoxLayout()
        buttons.addWidget(self.save_button)
        buttons.addWidget(self.load_button)
        buttons.addWidget(self.release_button)
        layout.addLayout(buttons)
        layout.addStretch(1)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(368)


def ask_which_detector(parent: QWidget | None) -> Path | None:
    """Ask for a detector's file, beginning where the last one was."""
    begin = recall().detector
    path, _ = QFileDialog.getOpenFileName(parent, "Load detector", begin, FILES)
    return Path(path) if path else None


def loading(path: Path) -> Any:
    """Return the steps that read a detector."""

    def steps() -> "Generator[Progress, None, Detector]":
        yield Progress("loading", 0, 1)
        share()
        from napari_anomaly.core.detector import load  # loads JAX, in the thread

        return load(path)

    return steps


def in_words(detector: "Detector") -> str:
    """Say what a detector was made from and what it promises."""
    made, calibration = detector.provenance, detector.calibration
    data = "a layer" if made.data == "arrays" else escape(made.data)
    return (
        f"<b>{escape(made.method)}</b>, seed {made.seed}, from {data}: {made.n_train} images "
        f"trained on, {made.n_calibration} others held out; {made.fit_seconds:.1f} s on "
        f"{escape(device_name(made.device))}.<br>An image fails above score {calibration.threshold:.3g}: "
        f"at most {calibration.false_alarm:.1%} of normal images are expected to, "
        f"with 95 % confidence fewer than {calibration.false_alarm_bound():.1%}.{_on_review(calibration)}"
    )


def _on_review(calibration: "Calibration") -> str:
    if calibration.review is None:
        return ""
    return (
        f"<br>Between {calibration.review_threshold:.3g} and that it is for a person to review: "
        f"{calibration.review_load:.1%} of normal images are expected there."
    )


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
