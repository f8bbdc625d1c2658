"""Which thresholds held-out normals can support, what they promise, and what is known to judge them by."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.core.detector import Detector
    from napari_anomaly.core.types import Verdict
    from napari_anomaly.ui.inspected import Inspected


class Scores(NamedTuple):
    """Image scores by what is known of the images, ``(n,)`` each."""

    good: np.ndarray
    defective: np.ndarray
    unknown: np.ndarray

    @property
    def judged(self) -> bool:
        """Whether there are good images and defects to judge a threshold by."""
        return bool(len(self.good) and len(self.defective))


def rate_at(calibration: "Calibration", threshold: float) -> float:
    """Return the rate whose threshold is nearest; above all scores of normals it is the smallest that holds.

    The k-th largest of n scores is the threshold of the rate ``k / (n + 1)``; of equal scores the smallest rate counts.
    """
    offered = np.sort(calibration.scores)[::-1]
    return float(_rates(calibration)[np.argmin(np.abs(offered - threshold))])


def stepped(calibration: "Calibration", rate: float | None, steps: int) -> float:
    """Return the rate that lets some more (or fewer) of the normals through; of None the false-alarm rate's."""
    rates = _rates(calibration)
    start = calibration.false_alarm if rate is None else rate
    rank = int(np.searchsorted(rates, start, side="right"))
    return float(rates[np.clip(rank - 1 + steps, 0, len(rates) - 1)])


def with_false_alarm(detector: "Detector", rate: float) -> "Detector":
    """Return the detector with another false-alarm rate; a smaller review rate is raised to it.

    Raises
    ------
    CalibrationError
        The normals are too few for it; names the number needed.
    """
    review = detector.calibration.review
    return detector.calibrate(false_alarm=rate, review=review and max(review, rate))


def with_review(detector: "Detector", rate: float | None) -> "Detector":
    """Return the detector with another review band; None: without.

    Raises
    ------
    CalibrationError
        The rate is below the false-alarm rate, or the normals are too few for it.
    """
    return detector.calibrate(false_alarm=detector.calibration.false_alarm, review=rate)


def guarantee(calibration: "Calibration") -> str:
    """Say what the rates promise about good images, and what that rests on."""
    from napari_anomaly.core.words import promise, review_promise  # loads JAX

    said = [promise(calibration)]
    if calibration.review is not None:
        said.append(review_promise(calibration))
    said.append(f"From {calibration.n} normal images that were held out of training")
    return ". ".join(said) + "."


def known_kind(defect: str | None, split: str | None) -> str | None:
    """Return what is known of an image to judge by: nothing of one that was trained on."""
    return defect if split in (None, "test") else None


def known_scores(
    inspected: "Inspected | None",
    defects: Sequence[str | None] = (),
    splits: Sequence[str | None] = (),
) -> Scores:
    """Sort scores by what is known of their images.

    Only test images are known to be good: of the others the network has learned, or nobody said so.

    Parameters
    ----------
    inspected : Inspected or None
    defects, splits : sequence of str or None
        What the metadata of a layer says of each image, for what was inspected in one.
    """
    if inspected is None:
        return Scores(*(np.zeros(0) for _ in Scores._fields))
    kinds: list[str | None] = [
        one.defect if one.split == "test" else None for one in inspected.samples
    ] or [known_kind(*one) for one in zip_longest(defects, splits)]
    if len(kinds) != len(inspected.scores):
        kinds = [None] * len(inspected.scores)
    scored = ~np.isnan(inspected.scores)
    unknown = np.array([kind is None for kind in kinds], bool)
    good = np.array([kind == "good" for kind in kinds], bool)
    groups = (good, ~good & ~unknown, unknown)
    return Scores(*(inspected.scores[group & scored] for group in groups))


def verdict_counts(scores: Scores, calibration: "Calibration") -> dict[str, Any]:
    """Count verdicts, in the names of a report: ``n_good_pass``, ``n_defect_fail``, ..."""
    counts: dict[str, Any] = {"review_target": calibration.review}
    for name, group in zip(("good", "defect", "unknown"), scores, strict=True):
        verdicts = [calibration.verdict(score) for score in group.tolist()]
        counts |= {f"n_{name}_{one}": verdicts.count(one) for one in _VERDICTS}
    return counts


_VERDICTS: "tuple[Verdict, ...]" = ("pass", "review", "fail")


def _rates(calibration: "Calibration") -> np.ndarray:
    return np.arange(1, calibration.n + 1) / (calibration.n + 1)


def verdicts_in_words(scores: Scores, calibration: "Calibration") -> str:
    """Say what the present rates do to what was inspected last."""
    total = sum(map(len, scores))
    if not total:
        return "Nothing inspected yet: only the held-out normals are shown."
    counts = verdict_counts(scores, calibration)
    said = []
    for name, group in zip(("good", "defect", "unknown"), scores, strict=True):
        if len(group):
            kind = {"good": "known to be good", "defect": "defective", "unknown": "not known"}[name]
            numbers = ", ".join(f"{counts[f'n_{name}_{one}']} {one}" for one in _VERDICTS)
            said.append(f"{len(group)} {kind}: {numbers}")
    return f"Inspected last, {'; '.join(said)}."


def capability_in_words(calibration: "Calibration") -> str:
    """Say how far the scores of held-out normals keep from the threshold, as process control does."""
    from napari_anomaly.core.capability import upper_capability

    one = upper_capability(calibration.scores, calibration.threshold)
    if one.index is None:
        return f"Cpk: none, the {one.n} held-out normals have one and the same score."
    if one.percentile_index is not None:
        form = f"{one.percentile_index:.2f} from percentiles"
    elif one.percentile_index_at_most is not None:
        form = f"at most {one.percentile_index_at_most:.2f} from percentiles"
    else:
        form = "no percentile form, the threshold is below the median"
    return f"Cpk of the held-out normals (one-sided): {one.index:.2f}; {form}. {one.note}"
