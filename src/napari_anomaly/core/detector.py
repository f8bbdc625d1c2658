"""Joins the rooms: a recipe and normal images become a detector, a detector and an image an inspection."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from napari_anomaly.core import checkpoint
from napari_anomaly.core.calibration import Calibration, normals_needed, smallest_rate
from napari_anomaly.core.data.normals import Data, source
from napari_anomaly.core.errors import (
    AnomalyError,
    CalibrationError,
    CheckpointError,
    ImageError,
)
from napari_anomaly.core.methods.fitted import Fitted
from napari_anomaly.core.methods.recipes import (
    Recipe,
    from_plain,
    to_plain,
)
from napari_anomaly.core.preprocess import Undo
from napari_anomaly.core.progress import finished
from napari_anomaly.core.regions import regions
from napari_anomaly.core.scoring import Look, look, pooled
from napari_anomaly.core.standardise import Moments, Standardisation
from napari_anomaly.core.types import AnomalyMap, Image, Inspection, Progress, Sample

_USUAL_RATE = 0.01


@dataclass(frozen=True)
class Provenance:
    """Where a detector comes from."""

    method: str
    seed: int
    version: str
    device: str
    n_train: int
    n_calibration: int
    fit_seconds: float
    data: str


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted method and everything needed to inspect an image. Immutable; made by :func:`fit`.

    Attributes
    ----------
    recipe : Recipe
        As given, with what preprocessing learned filled in.
    fitted : Fitted
    standardisation : Standardisation
    calibration : Calibration
    provenance : Provenance
    """

    recipe: Recipe
    fitted: Fitted
    standardisation: Standardisation
    calibration: Calibration
    provenance: Provenance

    def inspect(self, image: Image) -> Inspection:
        """Find what does not belong in one image.

        Parameters
        ----------
        image : array, ``(y, x)`` or ``(y, x, c)``
            Integers by their dtype's range, floats in [0, 1], unless the recipe has a ``data_range``.

        Returns
        -------
        Inspection
            Everything on the image's own grid. Depends on this image alone.

        Raises
        ------
        ImageError
            If the image cannot be used; the message says what was found and expected.
        """
        shown = look(self.recipe, self.fitted, image)
        anomaly_map = _on_own_grid(self.standardisation.apply(shown.residuals), shown.undo)
        score = _score(self.recipe, self.fitted, anomaly_map, shown.latent)
        labels, found = regions(
            anomaly_map,
            self.calibration.map_threshold,
            self.calibration.map_p_value,
            min_area=self.recipe.min_area,
        )
        reconstruction = np.clip(shown.undo(shown.reconstruction), 0, 1)
        return Inspection(
            reconstruction=reconstruction[..., 0]
            if reconstruction.shape[2] == 1
            else reconstruction,
            anomaly_map=anomaly_map,
            score=score,
            p_value=self.calibration.p_value(score),
            verdict=self.calibration.verdict(score),
            threshold=self.calibration.threshold,
            map_threshold=self.calibration.map_threshold,
            labels=labels,
            regions=found,
        )

    def calibrate(
        self,
        normals: Data | None = None,
        *,
        false_alarm: float | None = None,
        review: float | None = None,
    ) -> "Detector":
        """Return a detector with other thresholds.

        Parameters
        ----------
        normals : Dataset, folder or arrays, optional
            Normal images that were not trained on; map statistics and scores are taken anew from them.
            None keeps those of the fit.
        false_alarm : float, optional
            Wanted share of normal images that fail; None: 0.01, or the smallest rate the normals support.
        review : float, optional
            Wanted share of normal images that are not passed outright.

        Raises
        ------
        CalibrationError
            If the normals are too few for the rate; names the number needed.
        """
        if normals is None:
            old = self.calibration
            rate = wanted_rate(false_alarm, old.n)
            return replace(self, calibration=Calibration(old.scores, old.peaks, rate, review))
        samples, read = source(normals)
        if not samples:
            raise CalibrationError("found no normal images; expected at least 1 to calibrate with")
        looks = [
            named(sample, lambda image=image: look(self.recipe, self.fitted, image))
            for sample, image in read(samples)
        ]
        provenance = replace(self.provenance, n_calibration=len(looks))
        return finished(
            calibrating(self.recipe, self.fitted, looks, false_alarm, review, provenance)
        )

    def save(self, path: str | PathLike[str]) -> Path:
        """Write one ``.anomaly`` file (safetensors and JSON) atomically; an existing one is replaced."""
        path = Path(path)
        header = {
            "recipe": to_plain(self.recipe),
            "provenance": asdict(self.provenance),
            "false_alarm": self.calibration.false_alarm,
            "review": self.calibration.review,
        }
        groups = {
            "method": self.fitted.arrays(),
            "standardisation": self.standardisation.arrays(),
            "calibration": {"scores": self.calibration.scores, "peaks": self.calibration.peaks},
        }
        arrays = {f"{g}/{name}": one for g, group in groups.items() for name, one in group.items()}
        checkpoint.write(path, "detector", header, arrays)
        return path


def load(path: str | PathLike[str]) -> Detector:
    """Read a detector written by :meth:`Detector.save`.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another version, or its arrays do not fit its recipe.
    """
    path = Path(path)
    header, arrays = checkpoint.read(path, "detector")
    groups: dict[str, dict[str, np.ndarray]] = {
        "method": {},
        "standardisation": {},
        "calibration": {},
    }
    try:
        for name, array in arrays.items():
            group, _, inner = name.partition("/")
            groups[group][inner] = array
        recipe = from_plain(header["recipe"])
        return Detector(
            recipe,
            recipe.method.implementation().restore(recipe.method, groups["method"]),
            Standardisation.restore(groups["standardisation"]),
            Calibration(
                **groups["calibration"], false_alarm=header["false_alarm"], review=header["review"]
            ),
            TypeAdapter(Provenance).validate_python(header["provenance"]),
        )
    except KeyError as error:
        raise CheckpointError(
            f"{path}: the detector cannot be rebuilt: found no place for, or nothing called, {error!s}. "
            "Copy the file again or fit anew."
        ) from error
    except (AnomalyError, ValidationError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: the detector cannot be rebuilt: {error!s}. Copy the file again or fit anew."
        ) from error


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


def named(sample: Sample, work: Any) -> Any:
    """Do the work; an image's error tells the image's name."""
    try:
        return work()
    except ImageError as error:
        raise ImageError(f"{sample.name}: {error}") from error


def _on_own_grid(standardised: np.ndarray, undo: Undo) -> AnomalyMap:
    return undo(np.asarray(standardised, np.float32)[..., None])[..., 0]


def _score(recipe: Recipe, fitted: Fitted, anomaly_map: AnomalyMap, latent: float | None) -> float:
    return fitted.image_score(pooled(anomaly_map, recipe.pool), latent)


def calibrating(
    recipe: Recipe,
    fitted: Fitted,
    looks: Sequence[Look],
    false_alarm: float | None,
    review: float | None,
    provenance: Provenance,
) -> Generator[Progress, None, Detector]:
    """Standardise by the held-out normals; score each by the statistics of the others, as a new image would be.

    A single normal has no others: then nothing is standardised.
    """
    kind = recipe.standardise if len(looks) > 1 else "none"
    moments = Moments.none(looks[0].residuals.shape)
    for one in looks:
        moments = moments.add(one.residuals)
    scores, peaks = [], []
    for one in looks:
        others = Standardisation.of(moments.without(one.residuals), kind)
        anomaly_map = _on_own_grid(others.apply(one.residuals), one.undo)
        scores.append(_score(recipe, fitted, anomaly_map, one.latent))
        peaks.append(float(anomaly_map.max()))
        yield Progress("calibrating", len(looks) + len(peaks), 2 * len(looks))
    return Detector(
        recipe,
        fitted,
        Standardisation.of(moments, kind),
        Calibration(
            np.array(scores), np.array(peaks), wanted_rate(false_alarm, len(looks)), review
        ),
        provenance,
    )
