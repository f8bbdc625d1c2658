"""What wrong decisions cost, as a row of numbers."""

from collections.abc import Callable

from qtpy.QtWidgets import QDoubleSpinBox, QWidget

from napari_anomaly.ui.curves import Stake
from napari_anomaly.ui.forms import form_layout, patient, tip


class StakeForm(QWidget):
    """Costs of a false alarm and of an escape, and the share of defects."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self.false_alarm, self.escape = _number(1, 1e9), _number(10, 1e9)
        self.prevalence = _number(1, 99.9)
        self.false_alarm.setMinimum(0.001)
        self.prevalence.setMinimum(0.001)
        self.prevalence.setSuffix(" %")
        rows = form_layout()
        rows.setContentsMargins(0, 0, 0, 0)
        told = {
            "false alarm costs": (self.false_alarm, "of a good image that fails, in any unit"),
            "escape costs": (self.escape, "of a defect that passes, in the same unit"),
            "defects": (self.prevalence, "true share of defects among all images, in percent"),
        }
        for name, (field, about) in told.items():
            field.setToolTip(tip(about))
            field.setAccessibleName(name)
            field.valueChanged.connect(lambda _: changed())
            rows.addRow(name, field)
        self.setLayout(rows)

    @property
    def stake(self) -> Stake:
        """The numbers."""
        return Stake(self.false_alarm.value(), self.escape.value(), self.prevalence.value() / 100)


def _number(value: float, top: float) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setDecimals(3)
    field.setRange(0, top)
    field.setValue(value)
    field.setKeyboardTracking(False)
    patient(field)
    return field
