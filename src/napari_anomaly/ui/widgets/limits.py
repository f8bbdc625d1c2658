"""A plot with vertical lines to drag."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from qtpy.QtCore import Qt

from napari_anomaly.ui.plots import ThemedPlot

if TYPE_CHECKING:
    import napari.viewer

_REACH = 8  # pixels beside a line where the mouse still takes it
_STYLES = {"fail": "-", "review": "--"}


class LimitPlot(ThemedPlot):
    """A plot below two lines, ``"fail"`` and ``"review"``, that are moved without drawing the plot anew.

    Parameters
    ----------
    viewer : napari.Viewer
    paint : callable
        Draws into the cleared axes.
    dragged : callable
        Gets the name of a line and where the mouse drags it; says where it then is by `put_lines`.
    """

    def __init__(
        self,
        viewer: "napari.viewer.Viewer",
        paint: Callable[[Axes], None],
        dragged: Callable[[str, float], None],
    ) -> None:
        super().__init__(viewer, self._paint_lines)
        self._paint_below, self._dragged = paint, dragged
        self._places: dict[str, float] = {}
        self._lines: dict[str, Line2D] = {}
        self._below: Any = None
        self._held: str | None = None
        self.canvas.mpl_connect("draw_event", self._keep)
        self.canvas.mpl_connect("button_press_event", self._press)
        self.canvas.mpl_connect("motion_notify_event", self._drag)
        self.canvas.mpl_connect("button_release_event", self._release)

    def put_lines(self, places: Mapping[str, float]) -> None:
        """Put the lines somewhere; those that are not named are hidden."""
        self._places = dict(places)
        if self._below is not None:
            self.canvas.restore_region(self._below)
            self._draw_lines()
            self.canvas.update()  # blit would wait for the whole window to be painted

    def _paint_lines(self, axes: Axes) -> None:
        self._below = None
        self._paint_below(axes)
        low, high = axes.get_xlim()
        axes.set_xlim(min([low, *self._places.values()]), max([high, *self._places.values()]))
        self._lines = {
            name: axes.axvline(
                self._places.get(name, high), color="black", linestyle=style, animated=True
            )
            for name, style in _STYLES.items()
        }

    def _keep(self, _: object) -> None:
        self._below = self.canvas.copy_from_bbox(self.canvas.figure.bbox)
        self._draw_lines()

    def _draw_lines(self) -> None:
        for name, line in self._lines.items():
            if name in self._places:
                line.set_xdata([self._places[name]] * 2)
                self.axes.draw_artist(line)

    def _near(self, event: Any) -> str | None:
        """Return the line under the mouse; of two the nearer, and of two in one place the one to review."""
        if event.inaxes is not self.axes:
            return None
        far = {
            name: abs(self.axes.transData.transform((place, 0))[0] - event.x)
            for name, place in self._places.items()
        }
        nearest = min(reversed(far), key=lambda name: far[name], default=None)
        return nearest if nearest is not None and far[nearest] <= _REACH else None

    def _press(self, event: Any) -> None:
        self._held = self._near(event) if event.button == 1 else None

    def _drag(self, event: Any) -> None:
        over = self._held or self._near(event)
        self.canvas.setCursor(Qt.CursorShape.SplitHCursor if over else Qt.CursorShape.ArrowCursor)
        if self._held is not None and event.xdata is not None:
            self._dragged(self._held, event.xdata)

    def _release(self, _: object) -> None:
        self._held = None
