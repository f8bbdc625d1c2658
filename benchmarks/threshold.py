"""Milliseconds of one move of the threshold: rate, verdicts, regions of a 1024 x 1024 image, line of the histogram.

    xvfb-run -a python benchmarks/threshold.py

A napari window with the Threshold page; the map is smooth noise with eight blots. No network is there to run.
"""

import time
from types import SimpleNamespace

import napari
import numpy as np
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.regions import regions
from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.widgets.threshold import ThresholdWidget

SIZE, NORMALS, MOVES = 1024, 120, 200


class FixedDetector(SimpleNamespace):
    def calibrate(self, *, false_alarm, review):
        known = self.calibration
        other = Calibration(known.scores, known.peaks, false_alarm, review)
        return FixedDetector(calibration=other, recipe=self.recipe)


def blotted(rng: np.random.Generator) -> np.ndarray:
    """Return a map whose noise reaches the normals' peaks here and there, with blots far above."""
    noise = gaussian_filter(rng.normal(size=(SIZE, SIZE)), 3)
    anomaly_map = noise / noise.std()
    for y, x in rng.integers(50, SIZE - 50, (8, 2)):
        anomaly_map[y - 12 : y + 12, x - 12 : x + 12] += 8
    return anomaly_map.astype(np.float32)


def inspected(detector: FixedDetector, anomaly_map: np.ndarray) -> Inspection:
    known = detector.calibration
    labels, found = regions(anomaly_map, known.map_threshold, known.map_p_value)
    return Inspection(
        anomaly_map, anomaly_map, 12.0, known.p_value(12.0), known.verdict(12.0),
        known.threshold, known.map_threshold, labels, found,
    )  # fmt: skip


def main() -> None:
    rng = np.random.default_rng(0)
    peaks = rng.uniform(3.5, 5.5, NORMALS)
    detector = FixedDetector(
        calibration=Calibration(peaks, peaks, 0.01), recipe=SimpleNamespace(min_area=9)
    )
    viewer = napari.Viewer()
    page = ThresholdWidget(viewer)
    viewer.window.add_dock_widget(page)
    source = viewer.add_image(np.zeros((SIZE, SIZE), np.float32), name="part")
    add_to_viewer(viewer, inspected(detector, blotted(rng)), source=source)
    page.session.detector = detector
    page.session.inspected = Inspected(("part",), np.array([12.0]))
    QApplication.processEvents()
    spent = []
    for move in range(MOVES):
        rate = (1 + move % 40) / (NORMALS + 1)
        start = time.perf_counter()
        page.set_false_alarm(rate)
        spent.append(1000 * (time.perf_counter() - start))
        QApplication.processEvents()
    median, p99 = np.percentile(spent, [50, 99])
    print(f"{MOVES} moves, {SIZE} x {SIZE}: median {median:.1f} ms, p99 {p99:.1f} ms")
    page.following.cancel()
    viewer.close()


if __name__ == "__main__":
    main()
