"""Threshold: choose how many good images may fail, and see at once what that does."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_anomaly.core.errors import AnomalyError
from napari_anomaly.ui.curves import CURVES, UNJUDGED, paint_scores
from napari_anomaly.ui.forms import form_layout, patient, tip
from napari_anomaly.ui.plots import ThemedPlot
from napari_anomaly.ui.session import session_of
from napari_anomaly.ui.thresholds import (
    Scores,
    capability_in_words,
    guarantee,
    known_scores,
    rate_at,
    stepped,
    verdicts_in_words,
    with_false_alarm,
    with_review,
)
from napari_anomaly.ui.widgets.following import REST, Following
from napari_anomaly.ui.widgets.limits import LimitPlot
from napari_anomaly.ui.widgets.panel import is_alive
from napari_anomaly.ui.widgets.rate import RateBox
from napari_anomaly.ui.widgets.stake import StakeForm

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.core.calibration import Calibration

_HEIGHT = 260  # pixels of a plot: both are seen on a laptop's screen

HONEST = (
    "The threshold comes from held-out normal images only. Test images whose defects are known are shown to judge "
    "it; a threshold chosen by them would be hindsight."
)


class ThresholdWidget(QScrollArea):
    """Set the false-alarm rate and the review band of the present detector."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = viewer
        self.session = session_of(viewer)
        self.promise, self.state, self.verdicts, self.capability = (_text() for _ in range(4))
        self._shown = known_scores(None)
        self._drawn_for = np.zeros(0)
        self.histogram = LimitPlot(viewer, self._paint_scores, self._dragged)
        self.rate = RateBox(self.set_false_alarm, self._next_rate, "false alarms")
        self.review = RateBox(self.set_review, self._next_review, "review")
        self.curve = QComboBox()
        self.curve.addItems(list(CURVES))
        self.curve.setToolTip(tip("what the threshold does to test images whose defects are known"))
        self.curve.setAccessibleName("curve")
        patient(self.curve)
        self.stakes = StakeForm(self._draw_curve)
        self.plot = ThemedPlot(viewer, self._paint_curve)
        self.following = Following(viewer, self.session, self, self._say)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._draw_curve)
        self._lay_out()
        self.curve.currentTextChanged.connect(lambda _: self._draw_curve())
        self.session.changed.connect(self._follow)
        self.session.inspected_changed.connect(self._refill)
        self.session.inspected_changed.connect(self._follow)
        self._follow()
        self._draw_curve()

    def set_false_alarm(self, rate: float) -> None:
        """Let another share of the good images fail."""
        if detector := self.session.detector:
            try:
                self.session.detector = with_false_alarm(detector, rate)
            except AnomalyError as error:
                self._say(str(error), error=True)

    def set_review(self, rate: float) -> None:
        """Hand another share of the good images to a person, those that fail included; 0: none."""
        if detector := self.session.detector:
            try:
                self.session.detector = with_review(detector, rate or None)
            except AnomalyError as error:
                self._say(str(error), error=True)

    @property
    def _calibration(self) -> "Calibration | None":
        detector = self.session.detector
        return None if detector is None else detector.calibration

    @property
    def _scores(self) -> Scores:
        inspected, detector = self.session.inspected, self.session.detector
        if inspected is not None and inspected.at_present(detector) is not detector:
            inspected = None  # on another scale: another detector's, or of a scan
        about: Any = {} if inspected is None else self._about(inspected.layer)
        defects, splits = (
            one if isinstance(one, list) else [one]
            for one in (about.get("defect"), about.get("split"))
        )
        return known_scores(inspected, defects, splits)

    def _about(self, layer: str | None) -> dict[str, Any]:
        """Return the metadata of a layer by its id; empty if it is gone."""
        found = (one.metadata for one in self._viewer.layers if str(one.unique_id) == layer)
        return next(found, {})

    def _next_rate(self, steps: int) -> float:
        known = self._calibration
        return 0.0 if known is None else stepped(known, known.false_alarm, steps)

    def _next_review(self, steps: int) -> float:
        known = self._calibration
        if known is None:
            return 0.0
        rate = stepped(known, known.review, steps)
        return rate if rate > known.false_alarm else 0.0

    def _dragged(self, name: str, place: float) -> None:
        """Take the nearest threshold that the normals support, if it is another."""
        known = self._calibration
        if known is None:
            return
        rate = rate_at(known, place)
        if name == "fail" and rate != known.false_alarm:
            self.set_false_alarm(rate)
        elif name == "review" and rate != known.review:
            self.set_review(max(rate, known.false_alarm))

    def _follow(self) -> None:
        """Show the present thresholds."""
        if not is_alive(self):
            return
        known = self._calibration
        for field in (self.rate, self.review):
            field.setEnabled(known is not None)
        if known is None:
            self.promise.setText("Train or load a detector first.")
            return
        self.following.follow()
        self.histogram.put_lines(places_of(known))
        self.rate.show_rate(known.false_alarm)
        self.review.show_rate(known.review or 0)
        self.promise.setText(guarantee(known))
        self.capability.setText(capability_in_words(known))
        self.verdicts.setText(verdicts_in_words(self._shown, known))
        if not np.array_equal(self._drawn_for, known.scores):  # another detector's
            self._refill()
        self._rest.start()

    def _refill(self) -> None:
        """Show other scores."""
        known = self._calibration
        if is_alive(self) and known is not None:
            self._shown, self._drawn_for = self._scores, known.scores
            self.verdicts.setText(verdicts_in_words(self._shown, known))
            self.histogram.draw()
            self._draw_curve()

    def _draw_curve(self) -> None:
        self.stakes.setVisible(self.curve.currentText() == "expected cost")
        self.plot.draw()

    def _paint_scores(self, axes: Axes) -> None:
        if known := self._calibration:
            paint_scores(axes, self._shown, known)

    def _paint_curve(self, axes: Axes) -> None:
        known = self._calibration
        if known is not None and self._shown.judged:
            axes.set_axis_on()
            CURVES[self.curve.currentText()](axes, self._shown, known, self.stakes.stake)
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, UNJUDGED, ha="center", va="center", transform=axes.transAxes)

    def _say(self, text: str, *, error: bool = False) -> None:
        self.state.setText(text)
        self.state.setVisible(bool(text))
        self.state.setStyleSheet("font-weight: bold" if error else "")

    def _lay_out(self) -> None:
        self.rate.setToolTip(
            tip(
                "Wanted share of good images that fail, in percent. The arrow keys go from one that the held-out "
                "normals support to the next; or drag the full line"
            )
        )
        self.review.setToolTip(
            tip(
                "Wanted share of good images that do not pass outright, in percent: those below the false-alarm rate "
                "fail, the others get the verdict review. Or drag the dashed line"
            )
        )
        self.review.setSpecialValueText("no such band")
        rows, curves = form_layout(), form_layout()
        rows.addRow("false alarms", self.rate)
        rows.addRow("review", self.review)
        curves.addRow("curve", self.curve)
        honest = _text()
        honest.setText(HONEST)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.addWidget(self.promise)
        layout.addLayout(rows)
        layout.addWidget(self.state)
        self.histogram.setFixedHeight(_HEIGHT)
        self.plot.setFixedHeight(_HEIGHT)
        layout.addWidget(self.histogram)
        layout.addWidget(self.verdicts)
        layout.addLayout(curves)
        layout.addWidget(self.stakes)
        layout.addWidget(self.plot)
        layout.addWidget(honest)
        layout.addWidget(self.capability)
        layout.addStretch()
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setMinimumWidth(368)


def places_of(calibration: "Calibration") -> dict[str, float]:
    """Say where the lines are."""
    fail = {"fail": calibration.threshold}
    if calibration.review is None:
        return fail
    return fail | {"review": calibration.review_threshold}


def _text() -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    return label
