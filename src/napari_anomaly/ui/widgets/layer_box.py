"""A choice of layers."""

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_anomaly.ui.forms import patient


class LayerBox(QComboBox):
    """A list of layers that keeps the choice when the layers change.

    Parameters
    ----------
    none : str, optional
        What stands first, for no layer; taken where the chosen layer is gone. Without it the last layer is taken.
    """

    def __init__(self, none: str | None = None) -> None:
        super().__init__()
        self._before = [] if none is None else [none]
        self.layers: list[Any] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        patient(self)
        self.offer(())

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        number = self.currentIndex() - len(self._before)
        return self.layers[number] if 0 <= number < len(self.layers) else None

    def offer(self, layers: Sequence[Any]) -> None:
        """List layers, keeping the choice, without a signal."""
        chosen, self.layers = self.layer, list(layers)
        self.blockSignals(True)
        self.clear()
        self.addItems([*self._before, *(layer.name for layer in layers)])
        kept = [k for k, layer in enumerate(layers, len(self._before)) if layer is chosen]
        self.setCurrentIndex(kept[0] if kept else 0 if self._before else len(layers) - 1)
        self.blockSignals(False)
