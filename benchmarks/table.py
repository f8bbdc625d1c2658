"""Time to scroll, sort, filter and judge a table of ten thousand images, on a display or a virtual one.

Run::

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/table.py

A step is one notch of a mouse wheel (three rows) or one page, drawn to its end, thumbnails arriving meanwhile; the time
is that for which the window would not answer.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import quantiles

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.data.files import write_png
from napari_anomaly.core.data.folders import Dataset
from napari_anomaly.core.types import Sample
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.widgets.folder import FolderTable
from napari_anomaly.ui.widgets.rows import COLUMNS

ORDERS = (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder) * 2


class Judged:
    """As much of a detector as the table asks for."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration


def listed(folder: Path, count: int) -> Inspected:
    """List so many images, of 64 files of 512 x 512 pixels."""
    rng = np.random.default_rng(0)
    for k in range(64):
        write_png(folder / f"{k}.png", rng.integers(0, 255, (512, 512), np.uint8), level=1)
    kinds = ("good", "hole", "crack", "stain")
    samples = [Sample(Path("train.png"), "train/good/0.png")] + [
        Sample(folder / f"{k % 64}.png", f"test/{kinds[k % 4]}/{k:05}.png", "test", kinds[k % 4])
        for k in range(count - 1)
    ]
    names = tuple(sample.name for sample in samples)
    return Inspected(
        names, rng.normal(1, 1, count), tuple(samples), Dataset(folder, tuple(samples))
    )


def milliseconds(work: Callable[[], object]) -> float:
    """Time some work with everything that the window draws after it."""
    start = time.perf_counter()
    work()
    QApplication.processEvents()
    return 1000 * (time.perf_counter() - start)


def tell(what: str, times: list[float]) -> None:
    cuts = quantiles(times, n=100, method="inclusive")
    print(f"{what:32} median {cuts[49]:6.1f} ms   p99 {cuts[98]:6.1f} ms   ({len(times)} times)")


def scrolled(table: FolderTable, by: int, times: int) -> list[float]:
    """Scroll on, as fast as it goes, from the top again after the last row."""
    bar = table.view.verticalScrollBar()
    return [
        milliseconds(lambda k=k: bar.setValue((k * by) % (bar.maximum() + 1))) for k in range(times)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    rows = parser.parse_args().rows
    app = QApplication.instance() or QApplication([])
    rng = np.random.default_rng(1)
    normals = rng.normal(0, 1, 200)
    session = Session()
    session.detector = Judged(Calibration(normals, normals, 0.01, 0.05))  # type: ignore[assignment]
    table = FolderTable(ViewerModel(), session)
    table.resize(620, 900)
    with tempfile.TemporaryDirectory() as folder:
        inspected = listed(Path(folder), rows)
        print(
            f"list {rows} rows: {milliseconds(lambda: setattr(session, 'inspected', inspected)):.0f} ms"
        )
        table.show()
        app.processEvents()
        tell("scroll by a notch", scrolled(table, 3, 1000))
        tell("scroll by a page", scrolled(table, 20, 500))
        rates = [Calibration(normals, normals, k / 100, 0.5) for k in range(1, 41)]
        moved = [milliseconds(lambda c=c: setattr(session, "detector", Judged(c))) for c in rates]
        tell("move the threshold", moved)
        for column, name in enumerate(COLUMNS[1:], 1):
            tell(
                f"sort by {name}",
                [milliseconds(partial(table.rows.sort, column, k)) for k in ORDERS],
            )
        words = ("c", "cr", "crack", "") * 5
        tell("type in the filter", [milliseconds(partial(table.text.setText, w)) for w in words])


if __name__ == "__main__":
    main()
