"""What the Threshold page draws; its lines for thresholds are its own, to be moved without drawing anew."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from napari_anomaly.core.charts import draw_cost, draw_errors, draw_verdicts
from napari_anomaly.core.costs import Costs, error_rates
from napari_anomaly.core.metrics import rank_curve
from napari_anomaly.ui.thresholds import Scores, verdict_counts

if TYPE_CHECKING:
    from napari_anomaly.core.calibration import Calibration

UNJUDGED = (
    "Needs test images that are known\nto be good or defective:\n"
    "inspect a folder with test/good\nand test/<defect>"
)
_WIDE = (
    20  # times the highest score of a normal, from where on those of normals would share one bar
)
_BINS = 40
_COLOURS = {"good": "tab:blue", "defect": "tab:orange", "not known": "tab:purple"}


@dataclass(frozen=True)
class Stake:
    """What wrong decisions cost, in any one unit, and the true share of defects."""

    false_alarm: float
    escape: float
    prevalence: float


Curve = Callable[[Axes, Scores, "Calibration", Stake], None]


def paint_scores(axes: Axes, scores: Scores, calibration: "Calibration") -> None:
    """Draw histograms: held-out normals as an outline, what was inspected last as bars, stacked."""
    normals = calibration.scores
    everything = np.concatenate([normals, *scores])
    low, high = float(everything.min()), float(everything.max())
    wide = low > 0 and high > _WIDE * normals.max()
    space = np.geomspace if wide else np.linspace
    bins = space(low, high if high > low else low + 1, _BINS + 1).tolist()
    groups = {
        f"{name} ({len(group)})": (group, colour)
        for (name, colour), group in zip(_COLOURS.items(), scores, strict=True)
        if len(group)
    }
    if groups:
        values, colours = zip(*groups.values(), strict=True)
        axes.hist(values, bins, stacked=True, color=colours, label=list(groups))
    label = f"held-out normals ({len(normals)})"
    axes.hist(normals, bins, histtype="step", color="tab:green", linewidth=1.5, label=label)
    axes.set(xlabel="image score", ylabel="images", xscale="log" if wide else "linear")
    axes.legend(fontsize="small")


def paint_errors(axes: Axes, scores: Scores, calibration: "Calibration", stake: Stake) -> None:
    """Draw false alarms and escapes against the threshold."""
    draw_errors(axes, error_rates(scores.good, scores.defective), _limits(calibration))


def paint_precision_recall(
    axes: Axes, scores: Scores, calibration: "Calibration", stake: Stake
) -> None:
    """Draw precision against recall, and where the threshold lies on it."""
    recall, precision = rank_curve(scores.good, scores.defective).precision_recall()
    axes.plot(recall, precision, color="tab:blue")
    caught = np.count_nonzero(scores.defective > calibration.threshold)
    failing = caught + np.count_nonzero(scores.good > calibration.threshold)
    if failing:
        here = (caught / len(scores.defective), caught / failing)
        axes.plot(
            *here, "o", color="black", label=f"at the threshold: {here[1]:.2g}, {here[0]:.2g}"
        )
        axes.legend(fontsize="small", loc="lower left")
    axes.set(title="precision and recall", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set(xlabel="recall: share of defects that fail", ylabel="precision")


def paint_cost(axes: Axes, scores: Scores, calibration: "Calibration", stake: Stake) -> None:
    """Draw the expected cost per image against the threshold."""
    costs = Costs(stake.false_alarm, stake.escape)
    named = {
        "cost_false_alarm": costs.false_alarm,
        "cost_escape": costs.escape,
        "prevalence": stake.prevalence,
    }
    draw_cost(axes, error_rates(scores.good, scores.defective), named, _limits(calibration))


def paint_verdicts(axes: Axes, scores: Scores, calibration: "Calibration", stake: Stake) -> None:
    """Draw how many good images and defects pass, are to be reviewed, and fail."""
    draw_verdicts(axes, verdict_counts(scores, calibration))


CURVES: dict[str, Curve] = {
    "false alarms and escapes": paint_errors,
    "precision and recall": paint_precision_recall,
    "expected cost": paint_cost,
    "verdicts": paint_verdicts,
}


def _limits(calibration: "Calibration") -> dict[str, float]:
    fail = {"fails above": calibration.threshold}
    if calibration.review is None:
        return fail
    return fail | {"review above": calibration.review_threshold}
