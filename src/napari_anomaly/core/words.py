"""Results in plain words."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.detector import Detector

_TABLE = (
    *("method", "n_train", "n_calibration", "n_test_good", "n_test_defect"),
    *("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"),
    *("pixel_f1_at_threshold", "false_alarm_target", "false_alarm_rate", "escape_rate"),
    *("fit_seconds", "inspect_ms_per_image", "peak_rss_mb"),
)
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
    if not detector.recipe.localises:
        yield "It says whether an image is unusual, not where: there is no map and there are no regions"


def promise(calibration: Calibration) -> str:
    """Say what the threshold guarantees about good images."""
    one_in = math.floor(1 / calibration.false_alarm + 1e-9)  # 1 / (1 / 49) is 49.00000000000001
    bound = 100 * calibration.false_alarm_bound()
    return (
        f"At most 1 in {one_in} good images is expected to fail; 95 % sure that it is below "
        f"{bound:.2g} %"
    )


def table(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield the main numbers of a report, one a line, then those of each kind of defect."""
    for name in _TABLE:
        yield f"{name:<22} {_number(metrics[name])}"
    for kind, numbers in metrics["per_defect"].items():
        found = ", ".join(f"{name} {_number(numbers[name])}" for name in _OF_EACH_KIND)
        yield f"  {kind} ({numbers['n']}): {found}"


def in_short(metrics: Mapping[str, Any]) -> str:
    """Say in one line how well a report's test images were judged."""
    good, defects = metrics["n_test_good"], metrics["n_test_defect"]
    return (
        f"image AUROC {_number(metrics['image_auroc'])}, "
        f"pixel AUROC {_number(metrics['pixel_auroc'])}; "
        f"{defects * (1 - metrics['escape_rate']):.0f} of {defects} defects caught, "
        f"{good * metrics['false_alarm_rate']:.0f} of {good} good images failed"
    )


def _number(value: Any) -> str:
    """Four digits; a dash where a number cannot be computed."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
