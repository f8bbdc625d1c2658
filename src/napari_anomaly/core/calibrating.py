"""From held-out normals to standardisation and thresholds, in memory that does not grow with their number."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from napari_anomaly.core.calibration import Calibration, normals_needed, smallest_rate
from napari_anomaly.core.combining import combined, leave_one_out
from napari_anomaly.core.data.normals import Reader
from napari_anomaly.core.data.reading import named
from napari_anomaly.core.errors import CalibrationError
from napari_anomaly.core.methods.fitted import Fitted
from napari_anomaly.core.methods.latent import Space
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.preprocess import Undo
from napari_anomaly.core.scoring import look, pooled
from napari_anomaly.core.standardise import Moments, Residuals, Standardisation
from napari_anomaly.core.threads import first_alone, in_order
from napari_anomaly.core.types import AnomalyMap, Image, Progress, Sample

KEPT = 2**28
"""Bytes of residual maps that are kept between the two passes over the normals; the others are looked at again."""

_USUAL_RATE = 0.01

_Seen = tuple[tuple[float, ...], float]
"""What an image's score is made of, and the highest value of its map."""

Result = TypeVar("Result")


class Shown(NamedTuple):
    """What one held-out normal shows: residual maps, latent scores, and the way back to its own grid."""

    residuals: Residuals
    latent: float | None
    undo: Undo


@dataclass
class _Normals:
    """The held-out normals that were looked at: the first ones kept, the others looked at again when asked for."""

    show: Callable[[tuple[Sample, Image]], Shown]
    read: Reader
    samples: list[Sample] = field(default_factory=list)
    kept: list[Shown] = field(default_factory=list)

    def add(self, sample: Sample, shown: Shown) -> None:
        """Keep it if all so far were kept and it fits."""
        fits = (len(self.kept) + 1) * shown.residuals.nbytes <= KEPT
        if fits and len(self.kept) == len(self.samples):
            self.kept.append(shown)
        self.samples.append(sample)

    def shown(self, k: int) -> Shown:
        """Return what the k-th shows."""
        if k < len(self.kept):
            return self.kept[k]
        return self.show((self.samples[k], self.read.again(self.samples[k])))


def calibrating(
    recipe: Recipe,
    fitted: Fitted,
    samples: Sequence[Sample],
    read: Reader,
    *,
    space: Space | None = None,
    false_alarm: float | None = None,
    review: float | None = None,
) -> Generator[Progress, None, tuple[Standardisation, Calibration]]:
    """Standardise by the held-out normals; score each by the statistics of the others, as a new image would be.

    The first of two passes sums the residuals, the second takes one image's out of the sums and scores it. A single
    normal has no others: then nothing is standardised. Where map and latent both count, each normal's p-values are by
    the others as well.

    Raises
    ------
    DataError, ImageError
        If the normals cannot be used; tells the name.
    CalibrationError
        If they are too few for the rate.
    """

    def show(job: tuple[Sample, Image]) -> Shown:
        one = named(job[0], lambda: look(recipe, fitted, job[1], space))
        return Shown(one.residuals, one.latent, one.undo)

    def score(k: int) -> tuple[_Seen, _Seen | None]:
        one = normals.shown(k)
        others = Standardisation.of(moments.without(one.residuals), kind)
        seen = judged(one, others)
        return seen, judged(one, others.pooled()) if elsewhere else None

    def judged(one: Shown, standardisation: Standardisation) -> _Seen:
        anomaly_map = on_own_grid(standardisation.apply(one.residuals), one.undo)
        return parts_of(recipe, anomaly_map, one.latent), float(anomaly_map.max())

    alone = first_alone(show)  # it compiles
    normals, moments = _Normals(show, read), Moments.none((1, 1, 1))
    with closing(read(samples, lambda *job: alone(job))) as looked:
        for count, (sample, shown) in enumerate(looked, 1):
            start = moments if moments.count else Moments.none(shown.residuals.shape)
            moments = start.add(shown.residuals)
            normals.add(sample, shown)
            yield Progress("calibrating", count, 2 * max(count, len(samples)))
    kind = recipe.standardise if moments.count > 1 else "none"
    elsewhere = kind == "place" and recipe.score == "map" and fitted.reach() is not None
    scored: list[tuple[_Seen, _Seen | None]] = []
    with closing(in_order(score, range(moments.count))) as results:
        for one in results:
            scored.append(one)
            yield Progress("calibrating", moments.count + len(scored), 2 * moments.count)
    parts, peaks = (np.array(one) for one in zip(*(here for here, _ in scored), strict=True))
    anywhere = [(there[0][0], there[1]) for _, there in scored if there is not None]
    rate = wanted_rate(false_alarm, moments.count)
    both = recipe.score == "both"
    return Standardisation.of(moments, kind), Calibration(
        leave_one_out(parts) if both else parts[:, 0],
        peaks,
        rate,
        review,
        parts if both else None,
        np.array(anywhere) if anywhere else None,
    )


def wanted_rate(wanted: float | None, n: int) -> float:
    """The wanted rate, checked against n normals; or the usual one, as far as n supports it."""
    if wanted is None:
        return max(_USUAL_RATE, smallest_rate(n))
    if not 0 < wanted < 1:
        raise CalibrationError(
            f"found the false-alarm rate {wanted}; expected a share between 0 and 1"
        )
    if wanted < smallest_rate(n):
        raise CalibrationError(
            f"found {n} held-out normal images; a false-alarm rate of {wanted:g} needs "
            f"{normals_needed(wanted)}. Give more normal images, hold out a larger share, or accept "
            f"{smallest_rate(n):.3g}."
        )
    return wanted


def on_own_grid(standardised: np.ndarray, undo: Undo) -> AnomalyMap:
    """Bring a standardised map ``(y, x)`` back onto the image's own pixels."""
    return undo(np.asarray(standardised, np.float32)[..., None])[..., 0]


def parts_of(recipe: Recipe, anomaly_map: AnomalyMap, latent: float | None) -> tuple[float, ...]:
    """Return what an image's score is made of: the score of its map, its latent score, or one after the other."""
    of_map = pooled(anomaly_map, recipe.pool)
    if recipe.score == "map":
        return (of_map,)
    assert latent is not None  # the recipe says that the method has it
    return (latent,) if recipe.score == "latent" else (of_map, latent)


def score_of(
    recipe: Recipe, calibration: Calibration, anomaly_map: AnomalyMap, latent: float | None
) -> float:
    """Return an image's score from its map and its latent score."""
    parts = parts_of(recipe, anomaly_map, latent)
    if calibration.parts is None:
        return parts[0]
    return combined((parts[0], parts[1]), calibration.parts)
