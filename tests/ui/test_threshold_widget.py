"""The Threshold page as a person uses it."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backend_bases import MouseEvent
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from superqt.utils import WorkerBase

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.regions import regions
from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.widgets.threshold import ThresholdWidget

SECONDS = 30_000
NINE = np.arange(1.0, 10.0)


class FixedDetector(SimpleNamespace):
    """A detector whose calibration is all there is."""

    def calibrate(self, *, false_alarm, review):
        known = Calibration(NINE, NINE, false_alarm, review)
        return FixedDetector(calibration=known, recipe=self.recipe)


def inspected(known, anomaly_map):
    labels, found = regions(anomaly_map, known.map_threshold, known.map_p_value, min_area=1)
    return Inspection(
        anomaly_map, anomaly_map, 8.5, 0.2, "pass", known.threshold, known.map_threshold, labels, found
    )  # fmt: skip


@pytest.fixture
def page(qtbot):
    viewer = ViewerModel()
    widget = ThresholdWidget(viewer)
    qtbot.addWidget(widget)
    known = Calibration(NINE, NINE, 0.1)
    maps = np.zeros((2, 4, 6), np.float32)
    maps[:, 1, 1], maps[:, 3, 4] = 9.5, 6.5
    source = viewer.add_image(np.zeros(maps.shape), name="part")
    widget.added = add_to_viewer(viewer, [inspected(known, one) for one in maps], source=source)
    widget.session.detector = FixedDetector(calibration=known, recipe=SimpleNamespace(min_area=1))
    widget.session.inspected = Inspected(("a", "b"), np.array([8.5, 8.5]))
    yield widget
    widget.following.cancel()
    WorkerBase.await_workers(SECONDS)


def test_without_a_detector_it_says_so(qtbot):
    widget = ThresholdWidget(ViewerModel())
    qtbot.addWidget(widget)
    assert widget.promise.text() == "Train or load a detector first."
    assert not widget.rate.isEnabled()


def test_arrow_keys_go_from_one_rate_to_the_next_and_regions_follow(qtbot, page):
    qtbot.keyClick(page.rate, Qt.Key.Key_Up)
    assert page.session.detector.calibration.threshold == 8
    assert page.rate.value() == 20
    assert page.verdicts.text() == "Inspected last, 2 not known: 0 pass, 0 review, 2 fail."
    for _ in range(2):
        qtbot.keyClick(page.rate, Qt.Key.Key_Up)
    labels = page.added[-1]
    assert np.unique(labels.data[0]).tolist() in (
        [0, 3, 4],
        [0, 1, 2],
    )  # at once, the image on screen
    qtbot.waitUntil(lambda: not page.following.busy, timeout=SECONDS)
    assert np.unique(labels.data).tolist() == [0, 1, 2, 3, 4]
    assert labels.metadata["verdict"] == ["fail", "fail"]


def test_scores_on_another_scale_are_not_set_against_the_limit(page):
    other = FixedDetector(calibration=Calibration(NINE + 1, NINE, 0.1))  # of a scan, say
    page.session.inspected = Inspected(("a",), np.array([8.5]), detector=other)
    assert page.verdicts.text().startswith("Nothing inspected yet")


def test_a_rate_that_the_normals_do_not_support_is_refused(page):
    page.rate.setValue(1)
    assert page.state.text().startswith(
        "A false-alarm rate of 0.01 needs 99 held-out normal images"
    )
    assert page.session.detector.calibration.false_alarm == 0.1


def test_the_rate_shown_can_be_typed(page):
    page.rate.show_rate(1 / 3)
    assert page.rate.value() / 100 >= 1 / 3
    page.rate.show_rate(0.1)
    assert page.rate.value() == 10


def mouse(page, kind, place):
    canvas, axes = page.histogram.canvas, page.histogram.axes
    x, y = axes.transData.transform((place, 0.5))
    canvas.callbacks.process(kind, MouseEvent(kind, canvas, x, y, 1))


def drag(page, start, *places):
    mouse(page, "button_press_event", start)
    for place in places:
        mouse(page, "motion_notify_event", place)
    mouse(page, "button_release_event", places[-1])


def test_lines_are_dragged_and_snap(page):
    page.histogram.canvas.draw()
    drag(page, 9, 8.2, 7.1, 6.8)
    assert page.session.detector.calibration.threshold == 7
    mouse(page, "motion_notify_event", 3)  # released
    assert page.session.detector.calibration.threshold == 7
    page.set_review(0.6)
    drag(page, 4, 5.2)
    assert page.session.detector.calibration.review_threshold == 5
    drag(page, 5, 8.8)  # not beyond the other line
    assert page.session.detector.calibration.review_threshold == 7


def test_review_and_what_is_painted(page):
    page.review.stepBy(1)
    assert page.session.detector.calibration.review == pytest.approx(0.2)
    page.added[-1].data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    page.set_false_alarm(0.5)
    assert page.state.text() == (
        "painted by hand, so left as it is where it was: part anomaly regions"
    )
    assert page.session.detector.calibration.review == 0.5


@pytest.mark.parametrize("number", range(4))
def test_every_curve_is_drawn_or_says_what_it_needs(page, number):
    page.curve.setCurrentIndex(number)
    assert page.plot.axes.texts[0].get_text().startswith("Needs test images")
    layer = page._viewer.layers["part"]
    layer.metadata["defect"] = ["good", "crack", "hole"]
    page._viewer.add_image(np.zeros((4, 6)), name="another")  # is active now
    scores = np.array([8.5, 9.5, np.nan])  # the last one was not inspected
    page.session.inspected = Inspected(("a", "b", "c"), scores, layer=str(layer.unique_id))
    assert page.plot.axes.has_data() or page.plot.axes.images
    assert page.stakes.isHidden() == (page.curve.currentText() != "expected cost")
