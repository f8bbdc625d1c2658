"""A form for whatever knobs a recipe has."""

import ast
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, SpinBox
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_anomaly.core.methods.recipes import Knob, Recipe, changed, knobs_of

_WORDS = {"method": "Method", "training": "Training", "preprocess": "Images", "residual": "Map"}
_MOST = 1_000_000_000


class RecipeForm(QWidget):
    """The knobs of one recipe, by section, and a button that restores them.

    Parameters
    ----------
    recipe : Recipe
        Its values are the defaults.
    """

    edited = Signal()

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        self._knobs = {knob.path: knob for knob in knobs_of(recipe)}
        self.fields = {path: field_for(knob) for path, knob in self._knobs.items()}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for title, paths in _sections(self._knobs).items():
            layout.addWidget(QLabel(f"<b>{title}</b>"))
            layout.addLayout(self._rows(paths))
        restore = QPushButton("Restore Defaults")
        restore.clicked.connect(self.restore)
        layout.addWidget(restore)

    @property
    def recipe(self) -> Recipe:
        """The recipe as the form shows it.

        Raises
        ------
        RecipeError
            A value is impossible; the message names the knob.
        """
        typed = {path: value_of(field) for path, field in self.fields.items()}
        return changed(
            self._recipe,
            {path: value for path, value in typed.items() if value != self._knobs[path].value},
        )

    def restore(self) -> None:
        """Set every knob back."""
        for path, knob in self._knobs.items():
            self.fields[path].value = _shown(knob)

    def _rows(self, paths: Iterable[str]) -> QFormLayout:
        rows = QFormLayout()
        rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for path in paths:
            field = self.fields[path]
            field.native.setToolTip(self._knobs[path].help)
            field.changed.connect(lambda _: self.edited.emit())
            name = QLabel(path.rpartition(".")[2].replace("_", " "))
            name.setToolTip(self._knobs[path].help)
            rows.addRow(name, field.native)
        return rows


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
    digits = 2 if knob.value >= 0.1 or knob.value == 0 else 5
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


def _sections(paths: Iterable[str]) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for path in paths:
        titles = [_WORDS[part] for part in path.split(".")[:-1] if part in _WORDS]
        sections.setdefault(titles[-1] if titles else "Decision", []).append(path)
    return sections
