"""Results in plain words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.detector import Detector

_TABLE = (
    *("method", "n_train", "n_calibration", "n_test_good", "n_test_defect"),
    *("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"),
    *("aupimo", "pixel_f1_at_threshold", "false_alarm_target", "false_alarm_rate", "escape_rate"),
    *("cpu_good", "cpl_defect"),
    *("fit_seconds", "inspect_ms_per_image", "peak_rss_mb"),
)
_IN_USE = ("ppv_at_prevalence", "expected_cost", "hindsight_cost")
_COMPARED = ("image_auroc", "pixel_auroc", "aupro_30", "false_alarm_rate", "escape_rate")
_OF_EACH_KIND = ("image_auroc", "pixel_auroc", "escape_rate")


def about_detector(detector: Detector) -> Iterator[str]:
    """Yield lines: what it was fitted to, its threshold, what that promises."""
    about, calibration = detector.provenance, detector.calibration
    yield (
        f"Trained on {about.n_train} good images, {about.n_calibration} held out "
        f"({about.method}, {about.device}, {about.fit_seconds:.1f} s)"
    )
    yield f"An image fails above a score of {calibration.threshold:.4g}"
    yield promise(calibration)
    if calibration.review is not None:
        yield f"An image is to be reviewed above a score of {calibration.review_threshold:.4g}"
        yield review_promise(calibration)
    if not detector.recipe.localises:
        yield "It says whether an image is unusual, not where: there is no map and there are no regions"


def promise(calibration: Calibration) -> str:
    """Say what the threshold guarantees about good images."""
    bound = 100 * calibration.false_alarm_bound()
    return (
        f"At most 1 in {_one_in(calibration.false_alarm)} good images is expected to fail; 95 % sure that it is below "
        f"{bound:.2g} %"
    )


def review_promise(calibration: Calibration) -> str:
    """Say what a person is left to look at, and what that guarantees about good images."""
    load, bound = 100 * calibration.review_load, 100 * calibration.review_bound()
    passing = _one_in(calibration.false_alarm if calibration.review is None else calibration.review)
    return (
        f"Of 100 good images {load:.2g} are expected in review; at most 1 in {passing} does not pass outright, 95 % "
        f"sure that it is below {bound:.2g} %"
    )


def bands(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines: what was decided without a person, and what is handed to one; none without a review band."""
    if metrics["review_target"] is None:
        return
    good, defects = metrics["n_test_good"], metrics["n_test_defect"]
    alone = good + defects - metrics["n_good_review"] - metrics["n_defect_review"]
    yield (
        f"Decided alone: {alone} of {good + defects} test images "
        f"({metrics['n_good_pass']} of {good} good ones pass, {metrics['n_defect_fail']} of {defects} defects fail)"
    )
    yield (
        f"Handed to a person: {metrics['n_good_review']} of {good} good images "
        f"({100 * metrics['review_load_expected']:.3g} % expected), "
        f"{metrics['n_defect_review']} of {defects} defects"
    )
    yield (
        f"Decided wrongly: {metrics['n_good_fail']} of {good} good images fail, "
        f"{metrics['n_defect_pass']} of {defects} defects pass"
    )


def _one_in(rate: float) -> int:
    return math.floor(1 / rate + 1e-9)  # 1 / (1 / 49) is 49.00000000000001


def table(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield the main numbers of a report, one a line, then those of each kind of defect."""
    given = [name for name in _IN_USE if metrics[name] is not None]
    for name in (*_TABLE, *given):
        yield f"{name:<22} {_number(metrics[name])}"
    for kind, numbers in metrics["per_defect"].items():
        found = ", ".join(f"{name} {_number(numbers[name])}" for name in _OF_EACH_KIND)
        yield f"  {kind} ({numbers['n']}): {found}"


def in_short(metrics: Mapping[str, Any]) -> str:
    """Say in one line how well a report's test images were judged."""
    good, defects = metrics["n_test_good"], metrics["n_test_defect"]
    caught = defects * (1 - (metrics["escape_rate"] or 0))  # None where there are none
    return (
        f"image AUROC {_number(metrics['image_auroc'])}, "
        f"pixel AUROC {_number(metrics['pixel_auroc'])}; "
        f"{caught:.0f} of {defects} defects caught, "
        f"{good * (metrics['false_alarm_rate'] or 0):.0f} of {good} good images failed"
    )


def notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines: how far AUPIMO and the capability indices can be believed, and why one is missing."""
    for name in ("aupimo", "cpu_good", "cpl_defect"):
        if note := metrics[f"{name}_note"]:
            yield f"{name}: {note}"


def comparison_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the main numbers of a comparison: a line for each category and method, all defects together."""
    together = [row for row in rows if row["defect"] is None]
    widths = [max(len(row[key]) for row in together) for key in ("category", "method")]
    for row in together:
        names = f"{row['category']:<{widths[0]}}  {row['method']:<{widths[1]}}"
        yield "  ".join([names, *(f"{name} {_number(row[name])}" for name in _COMPARED)])


def _number(value: Any) -> str:
    """Four digits; a dash where a number cannot be computed."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
