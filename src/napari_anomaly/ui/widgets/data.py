"""How the normal images are used: what is held out, what belongs together, how long it may take."""

from magicgui.widgets import FloatSpinBox, LineEdit, SpinBox
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_anomaly.ui.forms import form_layout, patient

HELD_OUT = 0.25
_DAY = 86_400


class DataForm(QWidget):
    """Choices of ``fit_steps`` that are not part of the recipe."""

    def __init__(self) -> None:
        super().__init__()
        self.held_out = FloatSpinBox(value=HELD_OUT, min=0.05, max=0.9, step=0.05)
        self.held_out.tooltip = (
            "share of the normal images that is not trained on, for thresholds and p-values"
        )
        self.group = LineEdit(value="")
        self.group.native.setPlaceholderText(r"for example part(\d+)")
        self.group.tooltip = (
            "Several photos of one part are nearly copies: if some are trained on and others held "
            "out, the threshold comes out too low. A regular expression that finds the part in the "
            r"file's name keeps them on one side: part(\d+) takes part07_a.png and part07_b.png "
            "together. Empty: every file on its own. For folders only"
        )
        self.budget = FloatSpinBox(value=0, max=_DAY, step=10)
        self.budget.native.setDecimals(0)
        self.budget.native.setSpecialValueText("none")
        self.budget.native.setSuffix(" s")
        self.budget.tooltip = "seconds after which training stops early; none: to its end"
        self.review = FloatSpinBox(value=0, min=0, max=0.9, step=0.05)
        self.review.native.setDecimals(3)
        self.review.native.setSpecialValueText("no such band")
        self.review.tooltip = (
            "wanted share of normal images that do not pass outright; those between this and the false-alarm rate "
            "get the verdict review, for a person to look at"
        )
        self.seed = SpinBox(value=0, max=2**31 - 1)
        self.seed.tooltip = "decides which images are held out, and everything random in training"
        self._lay_out()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("<b>Data</b>"))
        rows = form_layout()
        named = (
            ("held out", self.held_out),
            ("group", self.group),
            ("budget", self.budget),
            ("review", self.review),
            ("seed", self.seed),
        )
        for name, field in named:
            label = QLabel(name)
            label.setToolTip(field.tooltip or "")
            patient(field.native)
            rows.addRow(label, field.native)
        layout.addLayout(rows)

    @property
    def calibration(self) -> float:
        """Share of the normal images that is held out."""
        return float(self.held_out.value)

    @property
    def pattern(self) -> str | None:
        """What photos of one part have in common in their names; None where they have no names."""
        return self.group.value.strip() or None if self.group.enabled else None

    @property
    def seconds(self) -> float | None:
        """Time budget of the training."""
        return float(self.budget.value) or None

    def restore(self) -> None:
        """Set all back."""
        self.held_out.value, self.group.value, self.budget.value = HELD_OUT, "", 0
        self.review.value, self.seed.value = 0, 0
