"""What a check was made from and what it is worth, in plain words."""

from collections.abc import Iterator

from napari_anomaly.core.presence.check import PresenceCheck
from napari_anomaly.core.presence.folds import Answers

_MODELS = {"svm": "SVM on edges (HOG) and intensities", "cnn": "small CNN"}
_FEW = 20  # parts of a class: of fewer, all told right, one in six may still be told wrong (1 - .025^(1/20) = .17)


def about(check: PresenceCheck) -> Iterator[str]:
    """Yield lines: what it was trained on, and how held-out pictures were told."""
    made, found = check.origin, check.validation
    yield (
        f"{_MODELS[check.kind]}, {_where(check)}; trained on {found.present.total} pictures with it{_of(made.good)} "
        f"and {found.absent.total} without{_of(made.defect)}, seed {made.seed}, {made.fit_seconds:.1f} s"
    )
    yield (
        f"Cross-validated in {found.folds} folds: right for {found.accuracy} of held-out pictures; balanced accuracy "
        f"{found.balanced_accuracy:.1%}"
    )
    yield f"Where it is present: {_answers(found.present)}"
    yield f"Where it is absent: {_answers(found.absent)}"
    if found.parts < found.total:
        yield f"The intervals count the {found.parts} parts that group tells apart, not their photographs"
    if found.balanced_accuracy <= 0.5:
        yield "No better than always saying the same: not usable as it is"
    if min(found.present.parts, found.absent.parts) < _FEW:
        yield f"Fewer than {_FEW} of a class say little about it: collect more before relying on this"
    if found.misjudged:
        yield f"Told wrong: {', '.join(found.misjudged[:8])}{' ...' if len(found.misjudged) > 8 else ''}"


def _of(source: str) -> str:
    return "" if source == "arrays" else f" ({source})"


def _answers(answers: Answers) -> str:
    return f"{answers.right} of {answers.total} told right, {answers.rate}"


def _where(check: PresenceCheck) -> str:
    if check.region is None:
        return "whole image"
    if check.region.box is None:
        return "in a drawn region"
    y0, x0, y1, x1 = check.region.box
    return f"in y {y0} to {y1}, x {x0} to {x1}"
