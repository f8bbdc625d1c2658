"""What a threshold does, drawn: errors against it, verdicts, precision against prevalence, cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_anomaly.core.costs import Costs, ErrorRates, cost_curve, error_rates, precision
from napari_anomaly.core.figures import Limits

_FALSE_ALARMS, _ESCAPES, _COST = "tab:blue", "tab:orange", "tab:green"
_STYLES = ("--", ":")
_RAREST = 1e-4

Scores = Float[np.ndarray, " _"]


def decision_figure(
    good: Scores, defective: Scores, metrics: Mapping[str, Any], limits: Limits
) -> Figure:
    """Draw both errors against the threshold, verdicts against truth, precision against prevalence, and cost.

    Parameters
    ----------
    good, defective : float arrays
        Scores; without one of them only the verdicts are drawn.
    metrics : mapping
        Of the report: numbers of verdicts, prevalence and costs.
    limits : mapping
        Name to threshold; the first is the one to fail.
    """
    known = bool(len(good) and len(defective))
    priced = known and metrics["cost_escape"] is not None
    panels = 1 + 2 * known + priced
    figure = Figure(figsize=(4.6 * panels, 3.9), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, panels)).tolist()
    draw_verdicts(axes[0], metrics)
    if known:
        rates = error_rates(good, defective)
        draw_errors(axes[1], rates, limits)
        _draw_precision(axes[2], rates.at(next(iter(limits.values()))), metrics)
        if priced:
            draw_cost(axes[3], rates, metrics, limits)
    return figure


def draw_errors(axes: Axes, rates: ErrorRates, limits: Limits) -> None:
    """Draw false alarms and escapes against the threshold, which is constant between scores."""
    x = _drawable(rates.thresholds)
    axes.step(x, rates.false_alarms, where="post", color=_FALSE_ALARMS, label="false alarms")
    axes.step(x, rates.escapes, where="post", color=_ESCAPES, label="escapes")
    _draw_limits(axes, limits)
    axes.set(title="errors against the threshold", xlabel="threshold", ylabel="rate")
    axes.set(ylim=(-0.02, 1.02))
    axes.legend(fontsize="small")


def draw_verdicts(axes: Axes, metrics: Mapping[str, Any]) -> None:
    """Draw the numbers of good images and defects that pass, are to be reviewed, and fail."""
    two_bands = metrics["review_target"] is None
    verdicts = ["pass", "fail"] if two_bands else ["pass", "review", "fail"]
    counts = [[metrics[f"n_{truth}_{v}"] for v in verdicts] for truth in ("good", "defect")]
    shares = [[n / max(sum(row), 1) for n in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(counts):
        for x, n in enumerate(row):
            text = f"{n}\n{100 * shares[y][x]:.3g} %"
            colour = "white" if shares[y][x] > 0.5 else "black"
            axes.text(x, y, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(verdicts)), verdicts)
    axes.set_yticks(
        [0, 1], [f"{t} ({sum(r)})" for t, r in zip(("good", "defect"), counts, strict=True)]
    )
    axes.set(title="verdicts (columns) on test images (rows)")


def _draw_precision(axes: Axes, errors: tuple[float, float], metrics: Mapping[str, Any]) -> None:
    shares = np.geomspace(_RAREST, 0.5, 200)
    values = [precision(*errors, share) for share in shares.tolist()]
    drawn = np.array([np.nan if value is None else value for value in values])
    axes.semilogx(shares, drawn, color="tab:purple")
    if np.isnan(drawn).all():
        axes.text(0.5, 0.5, "no test image fails", ha="center", transform=axes.transAxes)
    share, value = metrics["prevalence"], metrics["ppv_at_prevalence"]
    if value is not None:
        axes.plot([share], [value], "o", color="black", label=f"{value:.3g} at {share:g}")
        axes.legend(fontsize="small", loc="upper left")
    axes.set(title="precision, where defects are this rare", xlabel="true share of defects")
    axes.set(ylabel="share of failing images\nthat are defective", ylim=(-0.02, 1.02))


def draw_cost(axes: Axes, rates: ErrorRates, metrics: Mapping[str, Any], limits: Limits) -> None:
    """Draw the expected cost per image against the threshold, for the report's prevalence and costs."""
    costs = Costs(metrics["cost_false_alarm"], metrics["cost_escape"])
    curve = cost_curve(rates, metrics["prevalence"], costs)
    x = _drawable(curve.thresholds)
    axes.step(x, curve.costs, where="post", color=_COST)
    best = int(np.argmin(curve.costs))
    told = f"lowest on these images,\nhindsight ({curve.costs[best]:.3g})"
    axes.plot(x[best], curve.costs[best], "o", mfc="none", color="black", label=told)
    _draw_limits(axes, limits)
    title = f"cost per image, {metrics['prevalence']:g} defective\n"
    axes.set(title=f"{title}false alarm {costs.false_alarm:g}, escape {costs.escape:g}")
    axes.set(xlabel="threshold", ylabel="expected cost")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")


def _draw_limits(axes: Axes, limits: Limits) -> None:
    for style, (name, value) in zip(_STYLES, limits.items(), strict=False):
        axes.axvline(value, color="black", linestyle=style, label=name)


def _drawable(thresholds: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Put minus infinity a little to the left of the lowest score."""
    finite = thresholds[1:]
    return np.concatenate([[finite[0] - 0.03 * (np.ptp(finite) + 1e-9)], finite])
