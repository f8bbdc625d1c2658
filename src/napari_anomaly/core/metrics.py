"""Detection quality from scores and truth, exact: no binned thresholds, ties counted as ties.

Negatives are normal images or pixels, positives defective ones; higher scores are stranger. Only
the distinct scores of positives can change a curve's height, so a curve has one pair of corners for
each of them, and the many negatives are only ever sorted and counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.ndimage import label

_EIGHT = np.ones((3, 3), dtype=bool)

Counts = Int[np.ndarray, " k"]
Vertices = tuple[Float[np.ndarray, " v"], Float[np.ndarray, " v"]]


@dataclass(frozen=True, eq=False)
class RankCurve:
    """Everything ROC and precision-recall curves need to know about two groups of scores.

    Attributes
    ----------
    n_negatives, n_positives : int
        Both at least 1.
    thresholds : array, ``(k,)``
        The distinct scores of positives, falling.
    hits : int array, ``(k,)``
        Positives at or above each threshold.
    above, at_or_above : int arrays, ``(k,)``
        Negatives strictly above, and at or above, each threshold.
    """

    n_negatives: int
    n_positives: int
    thresholds: Real[np.ndarray, " k"]
    hits: Counts
    above: Counts
    at_or_above: Counts

    @property
    def auroc(self) -> float:
        """Chance that a positive scores above a negative; a tie counts half."""
        positives = np.diff(self.hits, prepend=0)
        # In integers: twice the pairs lost, at most 2 * 1e8 * 1e8 for 1e8 pixels of each.
        lost_twice = int(positives @ (self.above + self.at_or_above))
        all_twice = 2 * self.n_negatives * self.n_positives
        return (all_twice - lost_twice) / all_twice

    @property
    def average_precision(self) -> float:
        """Precision at each distinct score of a positive, weighted by the recall it adds.

        Not interpolated: scikit-learn's ``average_precision_score``.
        """
        positives = np.diff(self.hits, prepend=0)
        return float(positives @ (self.hits / (self.hits + self.at_or_above))) / self.n_positives

    def roc(self) -> Vertices:
        """Corners of the ROC curve: false-positive rate and true-positive rate, both rising."""
        return self.false_positive_rate, _steps(self.hits / self.n_positives)

    def precision_recall(self) -> Vertices:
        """Recall and precision at each threshold, recall rising."""
        return self.hits / self.n_positives, self.hits / (self.hits + self.at_or_above)

    @property
    def false_positive_rate(self) -> Float[np.ndarray, " v"]:
        """Corners of every curve over negatives: 0, just above and at each threshold, 1."""
        pairs = np.stack([self.above, self.at_or_above], axis=1).ravel()
        return np.concatenate([[0], pairs, [self.n_negatives]]) / self.n_negatives


def rank_curve(negatives: Real[np.ndarray, " n"], positives: Real[np.ndarray, " m"]) -> RankCurve:
    """Compare the scores of negatives with those of positives.

    Raises
    ------
    ValueError
        If either group is empty or holds NaN.
    """
    _check_scores(negatives, positives)
    return _ranks(np.sort(negatives), np.sort(positives)[::-1])


def auroc(y: Bool[np.ndarray, " n"], s: Real[np.ndarray, " n"]) -> float:
    """Area under the ROC curve of scores `s`, where `y` is True for defects."""
    return _image_curve(y, s).auroc


def average_precision(y: Bool[np.ndarray, " n"], s: Real[np.ndarray, " n"]) -> float:
    """Average precision of scores `s`, where `y` is True for defects."""
    return _image_curve(y, s).average_precision


@dataclass(frozen=True, eq=False)
class PixelScores:
    """One image's map, taken apart by its mask.

    Attributes
    ----------
    normal : array, ``(n,)``
        Values of defect-free pixels.
    defective : array, ``(m,)``
        Values of defective pixels.
    weights : float64 array, ``(m,)``
        1 / area of the 8-connected ground-truth region that each defective pixel belongs to.
    n_regions : int
        Ground-truth regions in this image.
    """

    normal: Real[np.ndarray, " n"]
    defective: Real[np.ndarray, " m"]
    weights: Float[np.ndarray, " m"]
    n_regions: int


def pixel_scores(
    anomaly_map: Real[np.ndarray, "y x"], gt_mask: Bool[np.ndarray, "y x"]
) -> PixelScores:
    """Take a map apart by its mask, so that the map itself need not be kept.

    Raises
    ------
    ValueError
        If mask and map differ in size, the mask is not boolean, or the map holds NaN.
    """
    _check_pair(anomaly_map, gt_mask)
    regions, n_regions = label(gt_mask, structure=_EIGHT)
    weights = 1 / np.bincount(regions.ravel())[regions[gt_mask]]
    return PixelScores(anomaly_map[~gt_mask], anomaly_map[gt_mask], weights, n_regions)


@dataclass(frozen=True, eq=False)
class PixelCurve:
    """All pixels of a test set, ranked once for every pixel metric.

    Attributes
    ----------
    ranks : RankCurve
        Of all defect-free against all defective pixels.
    overlap : float64 array, ``(k,)``
        Share of a ground-truth region at or above each threshold, mean over regions (PRO).
    """

    ranks: RankCurve
    overlap: Float[np.ndarray, " k"]

    @property
    def auroc(self) -> float:
        """Pixel AUROC."""
        return self.ranks.auroc

    @property
    def average_precision(self) -> float:
        """Pixel average precision."""
        return self.ranks.average_precision

    def pro(self) -> Vertices:
        """Corners of the PRO curve: false-positive rate and mean overlap, both rising."""
        return self.ranks.false_positive_rate, _steps(self.overlap)

    def aupro(self, limit: float = 0.3) -> float:
        """Area under the PRO curve up to a false-positive rate, divided by that rate.

        The rate counts all defect-free pixels of the test set, those of defective images too; the
        curve is linear between its corners and cut at the limit.

        References
        ----------
        Bergmann et al. 2021, "The MVTec Anomaly Detection Dataset", section 5.3,
        https://doi.org/10.1007/s11263-020-01400-4
        """
        if not 0 < limit <= 1:
            raise ValueError(f"Found an AU-PRO limit of {limit:g}; expected one in (0, 1].")
        x, y = self.pro()
        inside = x <= limit
        x_cut = np.append(x[inside], limit)
        y_cut = np.append(y[inside], np.interp(limit, x, y))
        return float(np.trapezoid(y_cut, x_cut)) / limit


def pixel_curve(parts: Iterable[PixelScores]) -> PixelCurve:
    """Rank the pixels of a test set.

    Memory: two copies of the pixels while the parts are joined (a generator's parts are let go
    after that), then one copy and about 60 bytes for each defective pixel.

    Raises
    ------
    ValueError
        If there is no defective or no defect-free pixel.
    """
    normal, defective, weights, n_regions = _gather(parts)
    _check_scores(normal, defective)
    normal.sort()  # in place, and SIMD for float32
    order = np.argsort(defective)[::-1]
    ranks = _ranks(normal, defective[order])
    overlap = np.cumsum(weights[order])[ranks.hits - 1] / n_regions
    return PixelCurve(ranks, overlap)


@dataclass(frozen=True)
class Confusion:
    """Decisions against truth; ``a + b`` adds the counts.

    Attributes
    ----------
    hits, false_alarms, escapes, passes : int
        True positives, false positives, false negatives, true negatives.
    """

    hits: int
    false_alarms: int
    escapes: int
    passes: int

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.escapes + other.escapes,
            self.passes + other.passes,
        )

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 2 hits / (2 hits + false alarms + escapes)."""
        return _share(2 * self.hits, self.false_alarms + self.escapes)

    @property
    def iou(self) -> float:
        """Intersection over union: hits / (hits + false alarms + escapes)."""
        return _share(self.hits, self.false_alarms + self.escapes)

    @property
    def precision(self) -> float:
        """Share of what is called defective that is: hits / (hits + false alarms)."""
        return _share(self.hits, self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of positives that are found: hits / (hits + escapes)."""
        return _share(self.hits, self.escapes)

    @property
    def false_alarm_rate(self) -> float:
        """Share of negatives called defective (overkill)."""
        return _share(self.false_alarms, self.passes)

    @property
    def escape_rate(self) -> float:
        """Share of positives that slip through (underkill)."""
        return _share(self.escapes, self.hits)


def confusion(truth: Bool[np.ndarray, "..."], decided: Bool[np.ndarray, "..."]) -> Confusion:
    """Count decisions against truth; images ``(n,)`` or pixels ``(y, x)`` alike."""
    _check_mask(truth, decided.shape)
    hits = int(np.count_nonzero(truth & decided))
    false_alarms = int(np.count_nonzero(decided)) - hits
    escapes = int(np.count_nonzero(truth)) - hits
    return Confusion(hits, false_alarms, escapes, truth.size - hits - false_alarms - escapes)


def pixel_confusion(
    anomaly_map: Real[np.ndarray, "y x"], gt_mask: Bool[np.ndarray, "y x"], threshold: float
) -> Confusion:
    """Count the pixels of one image; those strictly above the threshold are called defective."""
    _check_pair(anomaly_map, gt_mask)
    return confusion(gt_mask, anomaly_map > np.float64(threshold))


def _image_curve(y: np.ndarray, s: np.ndarray) -> RankCurve:
    _check_mask(y, s.shape)  # ~y of integers would silently pick other elements
    return rank_curve(s[~y], s[y])


def _gather(
    parts: Iterable[PixelScores],
) -> tuple[Real[np.ndarray, " n"], Real[np.ndarray, " m"], Float[np.ndarray, " m"], int]:
    """Join the parts; on return they can be freed, before anything is sorted."""
    parts = list(parts) or [PixelScores(np.empty(0), np.empty(0), np.empty(0), 0)]
    return (
        np.concatenate([p.normal for p in parts]),
        np.concatenate([p.defective for p in parts]),
        np.concatenate([p.weights for p in parts]),
        sum(p.n_regions for p in parts),
    )


def _ranks(negatives: Real[np.ndarray, " n"], positives: Real[np.ndarray, " m"]) -> RankCurve:
    """`negatives` rising, `positives` falling, neither empty nor with NaN."""
    last = np.flatnonzero(np.append(positives[1:] != positives[:-1], True))
    thresholds = positives[last]
    n = len(negatives)
    # Rising queries walk through memory in order, which is several times faster than falling ones.
    below = np.searchsorted(negatives, thresholds[::-1], side="left")[::-1]
    below_or_at = np.searchsorted(negatives, thresholds[::-1], side="right")[::-1]
    return RankCurve(n, len(positives), thresholds, last + 1, n - below_or_at, n - below)


def _steps(heights: Float[np.ndarray, " k"]) -> Float[np.ndarray, " v"]:
    """Heights at the corners of `RankCurve.false_positive_rate`.

    Between two scores of positives only negatives join, so the curve is level; negatives that tie
    with a positive join together with it, on a diagonal.
    """
    return np.repeat(np.append(0.0, heights), 2)


def _share(part: int, rest: int) -> float:
    if part + rest == 0:
        raise ValueError("Found nothing to count; a share of nothing is not a number.")
    return part / (part + rest)


def _check_scores(negatives: Real[np.ndarray, " n"], positives: Real[np.ndarray, " m"]) -> None:
    if not (len(negatives) and len(positives)):
        raise ValueError(
            f"Found {len(negatives)} normal and {len(positives)} defective scores; "
            "a ranking needs at least one of each."
        )
    if np.isnan(negatives).any() or np.isnan(positives).any():
        raise ValueError("Found NaN among the scores; NaN has no rank.")


def _check_pair(anomaly_map: np.ndarray, gt_mask: np.ndarray) -> None:
    _check_mask(gt_mask, anomaly_map.shape)
    if np.isnan(anomaly_map).any():
        raise ValueError("The anomaly map holds NaN; NaN has no rank.")


def _check_mask(mask: np.ndarray, shape: tuple[int, ...]) -> None:
    if mask.dtype != np.bool_:
        raise ValueError(f"Found truth of {mask.dtype}; expected bool, True for defective.")
    if mask.shape != shape:
        raise ValueError(f"Found truth of shape {mask.shape} for an array of shape {shape}.")
