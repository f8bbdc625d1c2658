"""``napari-anomaly demo``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_anomaly.cli.common import check_writable
from napari_anomaly.cli.saying import say, tell

if TYPE_CHECKING:
    from napari_anomaly.core.demo import Shown


def demo(
    *,
    out: Path = Path("napari-anomaly-demo"),
    window: Annotated[bool, Parameter(negative="--no-window")] = True,
) -> None:
    """Show the whole line on sample data: draw it, fit, inspect, report; then open napari.

    Parameters
    ----------
    out
        Folder for everything that is made.
    window
        Open napari with the results, where there is a screen.
    """
    check_writable(out / "sample_data")
    from napari_anomaly.core.demo import demonstrate
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.words import in_short

    shown = watched(demonstrate(out))
    for material, one in shown.items():
        say(f"{material}: {in_short(one.report.metrics)}")
    say(f"Reports, pictures and detectors: {out.absolute()}")
    if window:
        _open_demo(shown)


def _open_demo(shown: "Mapping[str, Shown]") -> None:
    from napari_anomaly.ui.launch import WindowError, check_window

    try:
        check_window()
    except WindowError as error:
        tell(f"napari is not opened: {error}")
        return
    from napari_anomaly.ui.demo import show

    show(shown)
