"""A form for whatever knobs a recipe has."""

import ast
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, SpinBox
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import Knob, changed
from napari_anomaly.ui.steps import own_knobs, step_knobs, with_steps

if TYPE_CHECKING:
    from napari.layers import Shapes

_TITLES = {
    "method": "Method",
    "training": "Training",
    "encoding": "Training of the encoder",
    "preprocess": "Images",
    "residual": "Map",
}
_LABELS = {
    "preprocess.steps.*.to": "colour",
    "preprocess.normalise.kind": "normalise",
    "preprocess.clip": "clahe limit",
    "residual.kind": "residual",
    "residual.colour": "residual of",
    "method.down": "halve by",
    "method.training.average": "average weights",
    "method.training.clip": "clip gradient",
    "method.encoding.average": "average weights",
    "method.encoding.clip": "clip gradient",
    "pool": "image score",
    "min_area": "smallest region",
}
"""Words for knobs whose last name alone says too little."""

_MOST = 1_000_000_000


class RecipeForm(QWidget):
    """The knobs of one recipe, by section, and a button that restores them.

    Parameters
    ----------
    recipe : Recipe
        Its values are the defaults.
    """

    edited, restored = Signal(), Signal()

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self._own = {knob.path: knob for knob in own_knobs(recipe)}
        self._knobs = self._own | {knob.path: knob for knob in step_knobs(recipe)}
        self.fields = {path: field_for(knob) for path, knob in self._knobs.items()}
        self._shapes: list[Shapes] = []
        self.region = QComboBox()
        self.region.setToolTip(
            "a Shapes layer whose first rectangle or polygon holds what is inspected; for a folder, "
            "draw it over one of its images"
        )
        patient(self.region)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for title, paths in sections_of(self._knobs).items():
            layout.addWidget(QLabel(f"<b>{title}</b>"))
            rows = self._rows(paths)
            layout.addLayout(rows)
            if title == _TITLES["preprocess"]:
                rows.addRow("region", self.region)
        self.offer(())
        restore = QPushButton("Restore Defaults")
        restore.clicked.connect(self.restore)
        layout.addWidget(restore)

    @property
    def recipe(self) -> Recipe:
        """The recipe as the form shows it, but for the region of interest.

        Raises
        ------
        RecipeError
            A value is impossible; the message names the knob.
        """
        typed = {path: value_of(field) for path, field in self.fields.items()}
        own = {path: typed[path] for path, knob in self._own.items() if typed[path] != knob.value}
        return with_steps(changed(self._recipe, own), typed)

    @property
    def shapes(self) -> "Shapes | None":
        """The layer that holds the region of interest, if one is chosen."""
        number = self.region.currentIndex() - 1
        return self._shapes[number] if 0 <= number < len(self._shapes) else None

    def offer(self, shapes: "Sequence[Shapes]", chosen: "Shapes | None" = None) -> None:
        """List the layers that may hold the region of interest, keeping what is chosen."""
        chosen = chosen or self.shapes
        self._shapes = list(shapes)
        self.region.clear()
        self.region.addItems(["none: whole images", *(layer.name for layer in shapes)])
        kept = [k for k, layer in enumerate(self._shapes) if layer is chosen]
        self.region.setCurrentIndex(1 + kept[0] if kept else 0)

    def restore(self) -> None:
        """Set every knob back."""
        for path, knob in self._knobs.items():
            self.fields[path].value = _shown(knob)
        self.region.setCurrentIndex(0)
        self.restored.emit()

    def _rows(self, paths: Iterable[str]) -> QFormLayout:
        rows = form_layout()
        for path in paths:
            field, text = self.fields[path], self._knobs[path].help
            field.native.setToolTip(text)
            field.changed.connect(lambda _: self.edited.emit())
            patient(field.native)
            name = QLabel(label_of(path))
            name.setToolTip(text)
            rows.addRow(name, field.native)
        return rows


class _Patience(QObject):
    """Leaves the wheel to what scrolls, unless the field was chosen by a click or Tab."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() != QEvent.Type.Wheel or watched.hasFocus():
            return False
        event.ignore()
        return True


def patient(field: QWidget) -> None:
    """Keep a field's value while a person scrolls over it."""
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    field.installEventFilter(_Patience(field))


def tip(text: str) -> str:
    """Give a text the form in which a tooltip shows it as it is, not as markup."""
    if not {"<", "&"} & set(text):
        return text
    return f"<qt>{escape(text)}</qt>".replace("\n", "<br>")


def form_layout() -> QFormLayout:
    """Make rows of a name and a field that share the width of a narrow dock."""
    rows = QFormLayout()
    rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows


def label_of(path: str) -> str:
    """Name a knob for people; the second of two trainings says whose it is."""
    if ".encoding." in path:
        return f"encoder's {label_of(path.replace('.encoding.', '.training.'))}"
    return _LABELS.get(_general(path), path.rpartition(".")[2].replace("_", " "))


def field_for(knob: Knob) -> ValueWidget[Any]:
    """Make the widget that fits a knob's type; tuples and optional values are typed as text."""
    if knob.type is bool:
        return CheckBox(value=knob.value, text="")
    if get_origin(knob.type) is Literal:
        return ComboBox(choices=list(get_args(knob.type)), value=knob.value)
    if knob.type is int:
        least = -_MOST if knob.least is None else int(knob.least)
        most = _MOST if knob.most is None else int(knob.most)
        return SpinBox(value=knob.value, min=least, max=most)
    if knob.type is float:
        return _float_field(knob)
    return LineEdit(value=_shown(knob))


def value_of(field: ValueWidget[Any]) -> Any:
    """Read a field; typed text becomes the Python value it spells, if it spells one."""
    if not isinstance(field, LineEdit):
        return field.value
    text = field.value.strip()
    if text.lower() in ("", "none"):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # the recipe refuses it, and says what it expected


def _float_field(knob: Knob) -> FloatSpinBox:
    written = -int(Decimal(str(knob.value)).as_tuple().exponent)  # .999 shall not become 1.00
    digits = max(written, 2 if knob.value >= 0.1 or knob.value == 0 else 5)
    least = -float(_MOST) if knob.least is None else knob.least
    most = float(_MOST) if knob.most is None else knob.most
    field = FloatSpinBox(value=knob.value, min=least, max=most, step=10.0**-digits)
    field.native.setDecimals(digits)
    field.native.setSingleStep(0.1 if knob.value >= 1 else knob.value / 10 or 0.1)
    field.value = knob.value
    return field


def _shown(knob: Knob) -> Any:
    if knob.type in (bool, int, float) or get_origin(knob.type) is Literal:
        return knob.value
    if isinstance(knob.value, tuple):
        return ", ".join(map(str, knob.value)) + ("," if len(knob.value) == 1 else "")
    return "none" if knob.value is None else str(knob.value)


def _general(path: str) -> str:
    return re.sub(r"\.\d+\.", ".*.", path)


def sections_of(paths: Iterable[str]) -> dict[str, list[str]]:
    """Group knobs under the titles that people read."""
    sections: dict[str, list[str]] = {}
    for path in paths:
        titles = [_TITLES[part] for part in path.split(".")[:-1] if part in _TITLES]
        sections.setdefault(titles[-1] if titles else "Decision", []).append(path)
    return sections
