"""Joins the rooms: a recipe and normal images become a detector, a detector and an image an inspection."""

import hashlib
import json
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from napari_anomaly.core import checkpoint
from napari_anomaly.core.calibration import Calibration, normals_needed, smallest_rate
from napari_anomaly.core.checkpoint import StateFile
from napari_anomaly.core.data.normals import Data, Reader, name_of, source
from napari_anomaly.core.data.split import split
from napari_anomaly.core.errors import (
    AnomalyError,
    CalibrationError,
    CheckpointError,
    ImageError,
    TrainingError,
)
from napari_anomaly.core.methods.fitted import Fitted
from napari_anomaly.core.methods.recipes import (
    VAE,
    Autoencoder,
    Linear,
    Recipe,
    from_plain,
    recipe_of,
    to_plain,
)
from napari_anomaly.core.nn.devices import device_kind
from napari_anomaly.core.preprocess import Pixels, Undo
from napari_anomaly.core.progress import finished, watched
from napari_anomaly.core.regions import regions
from napari_anomaly.core.scoring import Look, look, pooled
from napari_anomaly.core.standardise import Moments, Standardisation
from napari_anomaly.core.types import AnomalyMap, Image, Inspection, Progress, Sample

_USUAL_RATE = 0.01
_LOOKS = 16  # images looked at to settle colour and grid


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
            rate = _rate(false_alarm, old.n)
            return replace(self, calibration=Calibration(old.scores, old.peaks, rate, review))
        samples, read = source(normals)
        if not samples:
            raise CalibrationError("found no normal images; expected at least 1 to calibrate with")
        looks = [
            _named(sample, lambda image=image: look(self.recipe, self.fitted, image))
            for sample, image in read(samples)
        ]
        provenance = replace(self.provenance, n_calibration=len(looks))
        return finished(
            _calibrating(self.recipe, self.fitted, looks, false_alarm, review, provenance)
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


def fit(
    data: Data, recipe: "str | Recipe | Linear | Autoencoder | VAE" = "linear", **choices: Any
) -> Detector:
    """Fit a detector to normal images, with a progress bar on standard error.

    Takes the arguments of :func:`fit_steps`; blocks until done.
    """
    return watched(fit_steps(data, recipe, **choices))


def fit_steps(
    data: Data,
    recipe: "str | Recipe | Linear | Autoencoder | VAE" = "linear",
    *,
    seed: int = 0,
    false_alarm: float | None = None,
    calibration: float = 0.25,
    group: str | None = None,
    budget: float | None = None,
    state_file: str | PathLike[str] | None = None,
) -> Generator[Progress, None, Detector]:
    """Fit a detector to normal images, step by step.

    Parameters
    ----------
    data : Dataset, folder or arrays
        Of a dataset only ``data.train`` is used; test images are never seen.
    recipe : str, method knobs or Recipe
        A name of ``RECIPES``, ``na.VAE(latent=64)``, or a whole recipe.
    seed : int
        Decides the split and everything random in training.
    false_alarm : float, optional
        Wanted share of normal images that fail; None: 0.01, or the smallest rate that the held-out normals support.
    calibration : float
        Share of the normals held out for standardisation and thresholds.
    group : str, optional
        Regular expression; images whose names share its first group (or whole match) stay on one side of the split.
    budget : float, optional
        Seconds after which training stops early; None: to the end of the recipe.
    state_file : path, optional
        Where an interrupted training leaves its state. If it exists, training continues from there, to the same
        result as without the interruption; it is removed at the end. An existing folder holds one such file for each
        recipe, seed and set of images.

    Yields
    ------
    Progress

    Returns
    -------
    Detector

    Raises
    ------
    DataError, ImageError
        If the images cannot be used.
    CalibrationError
        If the held-out normals are too few for ``false_alarm``; before any training.
    TrainingError
        If the loss stops being finite.
    """
    began = time.monotonic()
    recipe, name = (
        recipe_of(recipe),
        recipe if isinstance(recipe, str) else recipe_of(recipe).method.name,
    )
    samples, read = source(data)
    parts = split(samples, calibration=calibration, seed=seed, group=group)
    _rate(false_alarm, len(parts.calibration))
    recipe, images, names = yield from _read_training(recipe, parts.train, read)
    keeper = None if state_file is None else _keeper(Path(state_file), recipe, seed, images)
    try:
        fitted = yield from recipe.method.implementation().fit_steps(
            recipe.method, images, seed=seed, budget=budget, keeper=keeper
        )
    except TrainingError as error:
        where = "" if error.image is None else f" (first in {names[error.image]})"
        raise TrainingError(f"{error}{where}", error.image) from error
    looks: list[Look] = []
    for sample, image in read(parts.calibration):
        looks.append(_named(sample, partial(look, recipe, fitted, image)))
        yield Progress("calibrating", len(looks), 2 * max(len(looks), len(parts.calibration)))
    provenance = Provenance(
        method=name,
        seed=seed,
        version=version("napari-anomaly"),
        device=device_kind(),
        n_train=len(images),
        n_calibration=len(looks),
        fit_seconds=0.0,
        data=name_of(data),
    )
    detector = yield from _calibrating(recipe, fitted, looks, false_alarm, None, provenance)
    provenance = replace(provenance, fit_seconds=time.monotonic() - began)
    if keeper is not None:
        keeper.path.unlink(missing_ok=True)
    return replace(detector, provenance=provenance)


def _rate(wanted: float | None, n: int) -> float:
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


def _keeper(path: Path, recipe: Recipe, seed: int, images: np.ndarray) -> StateFile:
    """State file that belongs to this recipe, seed and images alone."""
    digest = hashlib.sha256(json.dumps([to_plain(recipe), seed, images.shape]).encode())
    digest.update(np.ascontiguousarray(images).data)
    fingerprint = digest.hexdigest()
    return StateFile(path / f"{fingerprint[:16]}.partial" if path.is_dir() else path, fingerprint)


def _named(sample: Sample, work: Any) -> Any:
    """Do the work; an image's error tells the image's name."""
    try:
        return work()
    except ImageError as error:
        raise ImageError(f"{sample.name}: {error}") from error


def _read_training(
    recipe: Recipe, samples: Sequence[Sample], read: Reader
) -> Generator[Progress, None, tuple[Recipe, np.ndarray, list[str]]]:
    """The recipe with what preprocessing learned, the normalised images ``(n, y, x, c)`` and their names."""
    looked_at = samples[:: max(1, len(samples) // _LOOKS)]
    steps = recipe.preprocess.settle(image for _, image in read(looked_at))
    ready: list[Pixels] = []
    names: list[str] = []
    for sample, image in read(samples):
        ready.append(_named(sample, lambda image=image: steps.apply(image)[0]))
        names.append(sample.name)
        yield Progress("reading", len(ready), max(len(ready), len(samples)))  # pages come on top
    images = steps.stacked(ready)
    normalise = steps.normalise.fit(images)
    mean, std = normalise.moments()
    images -= mean
    images /= std
    learned = replace(steps, normalise=normalise, grid=images.shape[1:])
    return replace(recipe, preprocess=learned), images, names


def _on_own_grid(standardised: np.ndarray, undo: Undo) -> AnomalyMap:
    return undo(np.asarray(standardised, np.float32)[..., None])[..., 0]


def _score(recipe: Recipe, fitted: Fitted, anomaly_map: AnomalyMap, latent: float | None) -> float:
    return fitted.image_score(pooled(anomaly_map, recipe.pool), latent)


def _calibrating(
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
        Calibration(np.array(scores), np.array(peaks), _rate(false_alarm, len(looks)), review),
        provenance,
    )
