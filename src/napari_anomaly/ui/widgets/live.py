"""What Train shows while it trains: the loss, the reconstructions of some images; and how it may be ended early."""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from matplotlib.axes import Axes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.drawn import DrawnLayer
from napari_anomaly.ui.losses import Losses
from napari_anomaly.ui.plots import ThemedPlot
from napari_anomaly.ui.watching import pictured

if TYPE_CHECKING:
    import napari.viewer

T = TypeVar("T")

_REDRAW = 250  # milliseconds
RECONSTRUCTIONS = "reconstructions while training"
_COLOURS = ("tab:blue", "tab:orange", "tab:green")


_HEIGHT = 240  # pixels: what follows fits on a laptop's screen


class LiveTraining(QWidget):
    """Loss plot, its switches, and a button that ends a training early and keeps what it learned."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._losses, self._drawn = Losses(), 0
        self._end_early: Callable[[], None] | None = None
        self._samples = DrawnLayer(viewer, "samples")
        self._rebuilt = DrawnLayer(viewer, RECONSTRUCTIONS)
        self.keep = QPushButton("Stop and keep")
        self.keep.setToolTip(
            "end this training now and make a detector of what it has learned so far; "
            "of two trainings, one after the other, it ends the one that runs"
        )
        self.keep.clicked.connect(self._finish)
        self.log = QCheckBox("log scale")
        self.log.setToolTip("loss on a logarithmic axis: shows small changes late in a training")
        self.log.toggled.connect(self._plot_anew)
        self.watch = QCheckBox("show reconstructions")
        self.watch.setChecked(True)
        self.watch.setToolTip(
            "a layer with a few of the normal images, and under each what the network makes of it by now. "
            "Takes about a hundredth of the time; changes nothing in what is learned"
        )
        self._wanted = True  # read by the thread, which must not ask Qt
        self.watch.toggled.connect(self._want)
        self.plot = ThemedPlot(viewer, self._paint)
        self.plot.setFixedHeight(_HEIGHT)
        self._timer = QTimer(self)
        self._timer.setInterval(_REDRAW)
        self._timer.timeout.connect(self._follow)
        self._lay_out()

    def begin(
        self, images: Callable[[], Sequence[Any]]
    ) -> Callable[[Generator[Progress, None, T]], Generator[Progress, None, T]]:
        """Get ready for a training; return what its steps are to go through, in its thread."""
        losses = self._losses = Losses()
        self._drawn, self._end_early = 0, None
        self.plot.setVisible(False)
        self.keep.setVisible(False)
        self._timer.start()
        return lambda steps: pictured(losses.watch(steps), images, lambda: self._wanted)

    def progressed(self, now: Progress) -> None:
        """Show a picture, and whether what runs can be ended early."""
        if now.picture is not None:
            rebuilt = now.running is not None and now.running.rebuild is not None
            (self._rebuilt if rebuilt else self._samples).show(now.picture)
        finish = None if now.running is None else now.running.finish
        if finish is not self._end_early:  # another training, or none
            self._end_early = finish
            self.keep.setVisible(finish is not None)
            self.keep.setEnabled(finish is not None)

    def rest(self) -> None:
        """Nothing runs any more; the curve stays."""
        self._timer.stop()
        self._follow()
        self._end_early = None
        self.keep.setVisible(False)

    def _finish(self) -> None:
        if self._end_early is not None:
            self._end_early()
            self.keep.setEnabled(False)

    def _want(self, wanted: bool) -> None:
        self._wanted = wanted

    def _follow(self) -> None:
        """Draw if there is something new."""
        if self._losses.count != self._drawn:
            self.plot.setVisible(True)
            self._plot_anew()

    def _plot_anew(self) -> None:
        self._drawn = self._losses.count
        if self._drawn:
            self.plot.draw()

    def _paint(self, axes: Axes) -> None:
        curves = self._losses.curves()
        for (stage, points), colour in zip(curves.items(), _COLOURS, strict=False):
            axes.plot(*points, color=colour, linewidth=1.2, label=stage)
        axes.set(xlabel="step", ylabel="training loss")
        if self.log.isChecked() and any((losses > 0).any() for _, losses in curves.values()):
            axes.set_yscale("log", nonpositive="mask")
        if len(curves) > 1:
            axes.legend(fontsize="small")

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        switches = QHBoxLayout()
        switches.addWidget(self.watch)
        switches.addWidget(self.log)
        for widget in (self.keep, self.plot):
            layout.addWidget(widget)
            widget.setVisible(False)
        layout.addLayout(switches)
