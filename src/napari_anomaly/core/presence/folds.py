"""Cross-validation that keeps classes in proportion and photographs of one part together."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.presence.proportions import Proportion, proportion
from napari_anomaly.core.types import Progress

FEWEST = 3
"""Parts of each class below which nothing is fitted."""

_MOST_FOLDS = 10

Labels = Bool[np.ndarray, " n"]
Decisions = Float[np.ndarray, " n"]
Decide = Callable[[Labels], Generator[Progress, None, Decisions]]
"""From a mask of the held-out images to what a model of all others decides about them."""


@dataclass(frozen=True)
class Answers:
    """Held-out images of one class: how many were told right, of how many, that show how many parts."""

    right: int
    total: int
    parts: int

    @property
    def rate(self) -> Proportion:
        """Share that was told right."""
        return proportion(self.right, self.total, self.parts)


@dataclass(frozen=True)
class Validation:
    """What cross-validation says about images that a model was not trained on.

    Attributes
    ----------
    folds : int
    present, absent : Answers
        Of images that show what is looked for, and of the others.
    parts : int
        Different parts among all images; as many as images where none were grouped.
    misjudged : tuple of str
        Names of the images told wrong.
    """

    folds: int
    present: Answers
    absent: Answers
    parts: int
    misjudged: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Images of both classes."""
        return self.present.total + self.absent.total

    @property
    def accuracy(self) -> Proportion:
        """Share of all held-out images that was told right."""
        return proportion(self.present.right + self.absent.right, self.total, self.parts)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the classes' shares: .5 for a check that always says the same."""
        return (self.present.rate.value + self.absent.rate.value) / 2

    @property
    def confusion(self) -> dict[str, dict[str, int]]:
        """Count held-out images: the truth, then what was said."""
        return {
            "present": {
                "present": self.present.right,
                "absent": self.present.total - self.present.right,
            },
            "absent": {
                "present": self.absent.total - self.absent.right,
                "absent": self.absent.right,
            },
        }


def folds(present: Labels, parts: Int[np.ndarray, " n"], *, seed: int) -> list[Labels]:
    """Return masks of the images that each fold holds out; every image is held out once.

    There are 10 folds, or as many as the smaller class has parts: then each fold holds out one part of it, and a
    proportionate share of the other class. Leaving out one image at a time would instead shift the classes' balance
    against each held-out image, which makes uninformative pictures look worse than chance.

    Parameters
    ----------
    present : bool array, ``(n,)``
    parts : int array, ``(n,)``
        Images with the same number stay in one fold.
    seed : int
        Decides which images are held out together.

    Raises
    ------
    DataError
        A class has fewer than 3 parts, or the parts cannot be spread over the folds.

    References
    ----------
    Parker, Günter and Bedo 2007, doi:10.1186/1471-2105-8-326 (bias of leaving one out; stratification mends it).
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to load

    fewest = min(_counted(parts[present], "present"), _counted(parts[~present], "absent"))
    alone = len(np.unique(parts)) == len(parts)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    order = int(np.random.default_rng(seed).integers(2**31))
    splitter = kind(min(_MOST_FOLDS, fewest), shuffle=True, random_state=order)
    held = []
    for _, rows in splitter.split(parts, present, None if alone else parts):
        mask = np.zeros(len(parts), bool)
        mask[rows] = True
        held.append(mask)
    used = [mask for mask in held if mask.any()]
    if any(len(np.unique(present[~mask])) < 2 for mask in used):
        raise DataError(
            "the parts that group keeps together cannot be spread: some fold would be left with images of one class to "
            "train on; expected more parts, or parts of fewer images. Change group or add images"
        )
    return used


def _counted(parts: Int[np.ndarray, " m"], which: str) -> int:
    count = len(np.unique(parts))
    if count < FEWEST:
        images = "image" if len(parts) == 1 else "images"
        shown = "" if count == len(parts) else f" of {count} different part(s)"
        raise DataError(
            f"found {len(parts)} {images}{shown} where it is {which}; expected at least {FEWEST} for each of present "
            f"and absent, since fewer say nothing about others. Add images"
        )
    return count


def cross_validated(
    decide: Decide, present: Labels, held: Sequence[Labels]
) -> Generator[Progress, None, Decisions]:
    """Decide about every image by a model that was trained on other folds alone.

    Parameters
    ----------
    decide : callable
        Trains on all images but the given ones, and decides about those.
    held : sequence of bool array
        From :func:`folds`.

    Yields
    ------
    Progress
        Over all folds.
    """
    decisions = np.full(len(present), np.nan)
    for k, mask in enumerate(held):
        steps = decide(mask)
        try:
            while True:
                now = next(steps)
                done, total = k * now.total + now.step, len(held) * now.total
                yield Progress("cross-validating", done, total, now.loss)
        except StopIteration as end:
            decisions[mask] = end.value
        finally:
            steps.close()
    return decisions


def validated(
    decisions: Decisions,
    present: Labels,
    parts: Int[np.ndarray, " n"],
    names: Sequence[str],
    *,
    folds: int,
) -> Validation:
    """Count what was told right about held-out images; above 0 is present."""
    right = (decisions > 0) == present

    def answers(of: Labels) -> Answers:
        return Answers(int(right[of].sum()), int(of.sum()), len(np.unique(parts[of])))

    wrong = tuple(name for name, good in zip(names, right, strict=True) if not good)
    return Validation(folds, answers(present), answers(~present), len(np.unique(parts)), wrong)
