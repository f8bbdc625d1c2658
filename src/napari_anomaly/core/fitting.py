"""From a recipe and normal images to a detector, step by step."""

import hashlib
import json
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from napari_anomaly.core.checkpoint import StateFile
from napari_anomaly.core.data.normals import Data, Reader, name_of, source
from napari_anomaly.core.data.split import split
from napari_anomaly.core.detector import Detector, Provenance, calibrating, named, wanted_rate
from napari_anomaly.core.errors import TrainingError
from napari_anomaly.core.methods.recipes import (
    VAE,
    Autoencoder,
    Linear,
    Recipe,
    recipe_of,
    to_plain,
)
from napari_anomaly.core.nn.devices import device_kind
from napari_anomaly.core.preprocess import Pixels
from napari_anomaly.core.progress import watched
from napari_anomaly.core.scoring import Look, look
from napari_anomaly.core.types import Progress, Sample

_LOOKS = 16  # images looked at to settle colour and grid


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
    wanted_rate(false_alarm, len(parts.calibration))
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
        looks.append(named(sample, partial(look, recipe, fitted, image)))
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
    detector = yield from calibrating(recipe, fitted, looks, false_alarm, None, provenance)
    provenance = replace(provenance, fit_seconds=time.monotonic() - began)
    if keeper is not None:
        keeper.path.unlink(missing_ok=True)
    return replace(detector, provenance=provenance)


def _keeper(path: Path, recipe: Recipe, seed: int, images: np.ndarray) -> StateFile:
    """State file that belongs to this recipe, seed and images alone."""
    digest = hashlib.sha256(json.dumps([to_plain(recipe), seed, images.shape]).encode())
    digest.update(np.ascontiguousarray(images).data)
    fingerprint = digest.hexdigest()
    return StateFile(path / f"{fingerprint[:16]}.partial" if path.is_dir() else path, fingerprint)


def _read_training(
    recipe: Recipe, samples: Sequence[Sample], read: Reader
) -> Generator[Progress, None, tuple[Recipe, np.ndarray, list[str]]]:
    """The recipe with what preprocessing learned, the normalised images ``(n, y, x, c)`` and their names."""
    looked_at = samples[:: max(1, len(samples) // _LOOKS)]
    steps = recipe.preprocess.settle(image for _, image in read(looked_at))
    ready: list[Pixels] = []
    names: list[str] = []
    sizes: set[tuple[int, ...]] = set()
    for sample, image in read(samples):
        sizes.add(image.shape[:2])
        ready.append(named(sample, lambda image=image: steps.apply(image)[0]))
        names.append(sample.name)
        yield Progress("reading", len(ready), max(len(ready), len(samples)))  # pages come on top
    images = steps.stacked(ready)
    normalise = steps.normalise.fit(images)
    mean, std = normalise.moments()
    images -= mean
    images /= std
    field = sizes.pop() if len(sizes) == 1 else None
    learned = replace(steps, normalise=normalise, grid=images.shape[1:], field=field)
    return replace(recipe, preprocess=learned), images, names
