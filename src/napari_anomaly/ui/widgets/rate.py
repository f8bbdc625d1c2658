"""A box for a share of good images that steps from one that the normals support to the next."""

import math
from collections.abc import Callable

from qtpy.QtWidgets import QDoubleSpinBox

from napari_anomaly.ui.forms import patient


class RateBox(QDoubleSpinBox):
    """A rate in percent.

    Parameters
    ----------
    chosen : callable
        Gets the rate, a share, that a person set.
    stepped : callable
        Returns the rate some steps up or down.
    """

    def __init__(
        self, chosen: Callable[[float], None], stepped: Callable[[int], float], name: str
    ) -> None:
        super().__init__()
        self._chosen, self._stepped = chosen, stepped
        self.setDecimals(3)
        self.setRange(0, 99.999)
        self.setSuffix(" %")
        self.setKeyboardTracking(False)
        self.setAccessibleName(name)
        patient(self)
        self.valueChanged.connect(lambda percent: chosen(percent / 100))

    def stepBy(self, steps: int) -> None:
        """Go to another rate: the arrow keys, the arrows."""
        self._chosen(self._stepped(steps))

    def show_rate(self, rate: float) -> None:
        """Show a rate, rounded up: rounded down, it would be one that the normals do not support."""
        self.blockSignals(True)
        self.setValue(math.ceil(round(1e5 * rate, 6)) / 1e3)
        self.blockSignals(False)
