"""A matplotlib plot in the viewer's colours."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_anomaly.ui.widgets.panel import is_alive

if TYPE_CHECKING:
    import napari.viewer

_HEIGHT = 180  # pixels below which labels and curves crowd each other


class ThemedPlot(QWidget):
    """One plot that follows the viewer's theme.

    matplotlib's own canvas, not napari-matplotlib's: that package does not come with a plain installation.

    Parameters
    ----------
    viewer : napari.Viewer
    paint : callable
        Draws into the cleared axes; what it draws black takes the colour of the theme's text.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
    canvas : FigureCanvasQTAgg
        For mouse events and blitting.
    """

    def __init__(self, viewer: "napari.viewer.Viewer", paint: Callable[[Axes], None]) -> None:
        super().__init__()
        self._viewer, self._paint = viewer, paint
        figure = Figure(layout="constrained")
        self.canvas = FigureCanvasQTAgg(figure)
        self.axes = figure.add_subplot()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.setMinimumHeight(_HEIGHT)
        viewer.events.theme.connect(self._follow_theme)

    def draw(self) -> None:
        """Draw anew, when Qt next comes to it."""
        self.axes.clear()
        self._paint(self.axes)
        theme = get_theme(self._viewer.theme)
        recolour(self.canvas.figure, theme.background.as_hex(), theme.text.as_hex())
        self.canvas.draw_idle()

    def _follow_theme(self) -> None:
        if is_alive(self):
            self.draw()


def recolour(figure: Figure, ground: str, ink: str) -> None:
    """Give a figure another background, and what is black in it another colour."""
    figure.set_facecolor(ground)
    for axes in figure.axes:
        axes.set_facecolor(ground)
        axes.tick_params(which="both", colors=ink)
        for spine in axes.spines.values():
            spine.set_edgecolor(ink)
        if legend := axes.get_legend():
            legend.get_frame().set(facecolor=ground, edgecolor=ink)
    for drawn in figure.findobj(lambda one: isinstance(one, (Line2D, Text))):
        if isinstance(drawn, (Line2D, Text)) and same_color(drawn.get_color(), "black"):
            drawn.set_color(ink)
