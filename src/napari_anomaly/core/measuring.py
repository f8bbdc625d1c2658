"""From inspected test images to numbers, overall and for each kind of defect, and to curves."""

import statistics
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.capability import Capability, lower_capability, upper_capability
from napari_anomaly.core.costs import Stakes, cost_curve, error_rates, expected_cost, precision
from napari_anomaly.core.figures import Line, thinned
from napari_anomaly.core.metrics import Confusion, PixelCurve, RankCurve, pixel_curve, rank_curve
from napari_anomaly.core.pimo import PerImageOverlap, per_image_overlap
from napari_anomaly.core.trials import Trial
from napari_anomaly.core.types import Progress, Verdict

if sys.platform != "win32":
    import resource

VERDICTS: tuple[Verdict, ...] = ("pass", "review", "fail")

Numbers = dict[str, Any]
Curves = Mapping[str, Mapping[str, Line]]


def measure(
    trials: Sequence[Trial], calibration: Calibration, stakes: Stakes
) -> Generator[Progress, None, tuple[list[Trial], Numbers, Curves]]:
    """Compute all numbers, overall and for each kind of defect, and the curves.

    Returns
    -------
    trials : list of Trial
        As given, each row with its AUPIMO.
    numbers : dict
        Flat, but for ``per_defect``; None for what cannot be computed.
    curves : mapping
        ``"ROC"``, ``"precision-recall"`` or ``"PRO"`` -> ``"images"`` or ``"pixels"`` -> x and y.
    """
    kinds = sorted({t.sample.defect for t in trials} - {"good"})
    yield Progress("measuring", 0, len(kinds) + 1)
    pixels = _pixel_curve(trials)
    overlap, rated = _with_overlap(trials)
    overall = _of_some(rated, pixels, calibration)
    per_defect = {}
    for step, kind in enumerate(kinds, start=1):
        yield Progress("measuring", step, len(kinds) + 1)
        some = [t for t in rated if t.sample.defect in ("good", kind)]
        same = len(some) == len(rated)
        numbers = overall if same else _of_some(some, _pixel_curve(some), calibration)
        per_defect[kind] = {**_kind_counts(some), **numbers}
    yield Progress("measuring", len(kinds) + 1, len(kinds) + 1)
    numbers = {
        **overall,
        **_effort(rated),
        **_limits(calibration),
        **_bands(rated),
        "false_alarm_rate": _share([t.row.verdict == "fail" for t in _good(rated)]),
        "aupimo_points": overlap.points,
        "aupimo_note": overlap.note,
        **_capabilities(rated, calibration.threshold),
        **_in_use(rated, calibration.threshold, stakes),
        "per_defect": per_defect,
    }
    return rated, numbers, _curves(_image_curve(trials), pixels)


def scores_of(trials: Sequence[Trial], *, good: bool) -> np.ndarray:
    """Scores of the good images, or of the defects, ``(n,)``."""
    return np.array([t.row.score for t in trials if (t.sample.defect == "good") == good], float)


def _of_some(
    trials: Sequence[Trial], pixels: PixelCurve | None, calibration: Calibration
) -> Numbers:
    """Metrics that hold for all defects as well as for one kind."""
    images = _image_curve(trials)
    counts = sum((t.counts for t in trials if t.counts), start=Confusion(0, 0, 0, 0))
    verdicts = [t.row.verdict for t in _defective(trials)]
    overlaps = [t.row.aupimo for t in trials if t.row.aupimo is not None]
    lower = _if_finite(lower_capability, scores_of(trials, good=False), calibration.threshold)
    return {
        "image_auroc": images.auroc if images else None,
        "image_ap": images.average_precision if images else None,
        "pixel_auroc": pixels.auroc if pixels else None,
        "pixel_ap": pixels.average_precision if pixels else None,
        "aupro_30": pixels.aupro(0.3) if pixels else None,
        "aupro_05": pixels.aupro(0.05) if pixels else None,
        "aupimo": statistics.fmean(overlaps) if overlaps else None,
        "pixel_f1_at_threshold": counts.f1 if pixels else None,
        "pixel_iou_at_threshold": counts.iou if pixels else None,
        "escape_rate": _share([v != "fail" for v in verdicts]),
        "escape_rate_past_review": _share([v == "pass" for v in verdicts]),
        "cpl_defect": lower.index if lower else None,
    }


def _kind_counts(trials: Sequence[Trial]) -> Numbers:
    """Of the good images and one kind of defect: how many of the kind, with masks, in each band."""
    defective = _defective(trials)
    bands = Counter(t.row.verdict for t in defective)
    return {
        "n": len(defective),
        "n_masks": sum(t.row.mask for t in defective),
        **{f"n_{verdict}": bands[verdict] for verdict in VERDICTS},
    }


def _with_overlap(trials: Sequence[Trial]) -> tuple[PerImageOverlap, list[Trial]]:
    located = [t for t in trials if t.pixels is not None and t.pixels.n_regions]
    overlap = per_image_overlap(
        [t.pixels for t in _good(trials) if t.pixels is not None],
        [t.pixels for t in located if t.pixels is not None],
    )
    if overlap.scores is None:
        return overlap, list(trials)
    of = dict(zip(map(id, located), overlap.scores, strict=True))
    return overlap, [replace(t, row=replace(t.row, aupimo=of.get(id(t)))) for t in trials]


def _bands(trials: Sequence[Trial]) -> Numbers:
    """Count verdicts of good images and of defects: the confusion matrix with three decisions."""
    counts = Counter((t.sample.defect == "good", t.row.verdict) for t in trials)
    return {
        f"n_{name}_{verdict}": counts[good, verdict]
        for good, name in ((True, "good"), (False, "defect"))
        for verdict in VERDICTS
    } | {
        "review_rate_good": _share([t.row.verdict == "review" for t in _good(trials)]),
        "review_rate_defect": _share([t.row.verdict == "review" for t in _defective(trials)]),
    }


def _limits(calibration: Calibration) -> Numbers:
    return {
        "threshold": calibration.threshold,
        "review_threshold": None if calibration.review is None else calibration.review_threshold,
        "false_alarm_target": calibration.false_alarm,
        "review_target": calibration.review,
        "review_load_expected": calibration.review_load,
    }


def _capabilities(trials: Sequence[Trial], threshold: float) -> Numbers:
    """Of the test images' scores: the threshold does not come from them, so it is not fitted to them."""
    good, defective = scores_of(trials, good=True), scores_of(trials, good=False)
    upper, lower = (
        _if_finite(upper_capability, good, threshold),
        _if_finite(lower_capability, defective, threshold),
    )
    both = [one.index for one in (upper, lower) if one is not None and one.index is not None]
    return {
        "cpu_good": upper.index if upper else None,
        **_details("cpu_good", upper),
        **_details("cpl_defect", lower),
        "cpk": min(both) if len(both) == 2 else None,
    }


def _if_finite(
    capability: Callable[[np.ndarray, float], Capability], scores: np.ndarray, threshold: float
) -> Capability | None:
    usable = len(scores) and np.isfinite(scores).all() and np.isfinite(threshold)
    return capability(scores, threshold) if usable else None


def _details(name: str, one: Capability | None) -> Numbers:
    return {
        f"{name}_percentile": one.percentile_index if one else None,
        f"{name}_percentile_at_most": one.percentile_index_at_most if one else None,
        f"{name}_percentile_chance": one.chance if one else None,
        f"{name}_p_normal": one.p_normal if one else None,
        f"{name}_note": one.note if one else None,
    }


def _in_use(trials: Sequence[Trial], threshold: float, stakes: Stakes) -> Numbers:
    """What the two error rates mean at the true share of defects, and cost."""
    good, defective = scores_of(trials, good=True), scores_of(trials, good=False)
    found: Numbers = {
        "prevalence": stakes.prevalence,
        "cost_false_alarm": stakes.costs.false_alarm if stakes.costs else None,
        "cost_escape": stakes.costs.escape if stakes.costs else None,
        **dict.fromkeys(("ppv_at_prevalence", "expected_cost", "hindsight_cost")),
        "hindsight_threshold": None,
    }
    if stakes.prevalence is None or not (len(good) and len(defective)):
        return found
    rates = error_rates(good, defective)
    at_threshold = rates.at(threshold)
    found["ppv_at_prevalence"] = precision(*at_threshold, stakes.prevalence)
    if stakes.costs is not None:
        curve = cost_curve(rates, stakes.prevalence, stakes.costs)
        found["expected_cost"] = expected_cost(*at_threshold, stakes.prevalence, stakes.costs)
        best, found["hindsight_cost"] = curve.hindsight
        found["hindsight_threshold"] = best if np.isfinite(best) else None  # None: fail every image
    return found


def _effort(trials: Sequence[Trial]) -> dict[str, int | float | None]:
    return {
        "n_test_good": len(_good(trials)),
        "n_test_defect": len(_defective(trials)),
        # The median leaves out the first image, which pays for compiling.
        "inspect_ms_per_image": statistics.median(t.row.inspect_ms for t in trials),
        "peak_rss_mb": _peak_rss_mb(),
    }


def _peak_rss_mb() -> float | None:
    """Peak memory of this process so far, fitting included if it was done here; None on Windows."""
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _good(trials: Sequence[Trial]) -> list[Trial]:
    return [t for t in trials if t.sample.defect == "good"]


def _defective(trials: Sequence[Trial]) -> list[Trial]:
    return [t for t in trials if t.sample.defect != "good"]


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _image_curve(trials: Sequence[Trial]) -> RankCurve | None:
    good, defective = scores_of(trials, good=True), scores_of(trials, good=False)
    return rank_curve(good, defective) if len(good) and len(defective) else None


def _pixel_curve(trials: Sequence[Trial]) -> PixelCurve | None:
    parts = [t.pixels for t in trials if t.pixels is not None]
    rankable = any(p.n_regions for p in parts) and any(p.normal.size for p in parts)
    return pixel_curve(parts) if rankable else None


def _curves(images: RankCurve | None, pixels: PixelCurve | None) -> dict[str, dict[str, Line]]:
    ranks = {"images": images, "pixels": pixels.ranks if pixels else None}
    known = {name: rank for name, rank in ranks.items() if rank}
    return {
        "ROC": {name: thinned(rank.roc()) for name, rank in known.items()},
        "precision-recall": {n: thinned(rank.precision_recall()) for n, rank in known.items()},
        "PRO": {"pixels": thinned(pixels.pro())} if pixels else {},
    }
