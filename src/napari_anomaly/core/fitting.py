"""From a recipe and normal images to a detector, step by step."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.calibrating import calibrating, wanted_rate
from napari_anomaly.core.calibration import check_rates
from napari_anomaly.core.checkpoint import StateFile
from napari_anomaly.core.data.normals import Data, Reader, name_of, source
from napari_anomaly.core.data.reading import named
from napari_anomaly.core.data.split import split
from napari_anomaly.core.detector import Detector, Provenance
from napari_anomaly.core.errors import DataWarning, TrainingError
from napari_anomaly.core.methods.latent import learned as learned_space
from napari_anomaly.core.methods.presets import recipe_of
from napari_anomaly.core.methods.recipes import AnyMethod, Recipe
from napari_anomaly.core.methods.settings import to_plain
from napari_anomaly.core.nn.devices import device_kind, set_up
from napari_anomaly.core.normalise import Intensities
from napari_anomaly.core.preprocess import Grid, Pixels, Preprocessing
from napari_anomaly.core.progress import watched
from napari_anomaly.core.scoring import look
from napari_anomaly.core.stack import Stack, cache_bound
from napari_anomaly.core.types import Image, Progress, Sample

_LOOKS = 16  # images looked at to settle colour and grid


def fit(data: Data, recipe: str | Recipe | AnyMethod = "linear", **choices: Any) -> Detector:
    """Fit a detector to normal images, with a progress bar on standard error.

    Takes the arguments of :func:`fit_steps`; blocks until done.
    """
    return watched(fit_steps(data, recipe, **choices))


def fit_steps(
    data: Data,
    recipe: str | Recipe | AnyMethod = "linear",
    *,
    seed: int = 0,
    false_alarm: float | None = None,
    review: float | None = None,
    calibration: float = 0.25,
    group: str | None = None,
    budget: float | None = None,
    state_file: str | PathLike[str] | None = None,
    name: str | None = None,
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
    review : float, optional
        Wanted share of normal images that do not pass outright, at least ``false_alarm``: those between the two rates
        get the verdict ``"review"``. None: no such verdict.
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
    name : str, optional
        What provenance and warnings call the method; None: as the recipe does.

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
        If the held-out normals are too few for ``false_alarm`` or ``review``; before any training.
    TrainingError
        If the loss stops being finite.

    Warns
    -----
    DataWarning
        For each training that the budget ended early.
    """
    began = time.monotonic()
    set_up()
    named_so, recipe = recipe if isinstance(recipe, str) else None, recipe_of(recipe)
    name = name or named_so or recipe.method.name
    samples, read = source(data)
    parts = split(samples, calibration=calibration, seed=seed, group=group)
    n = len(parts.calibration)
    check_rates(n, wanted_rate(false_alarm, n), review)
    recipe, images, seen, fingerprint = yield from _read_training(recipe, parts.train, read)
    keeper = None if state_file is None else _keeper(Path(state_file), recipe, seed, fingerprint)
    try:
        learning = recipe.method.implementation().fit_steps(
            recipe.method,
            images,
            seed=seed,
            budget=budget,
            keeper=keeper,
        )
        shown = _to_be_seen(learning, recipe)
        fitted = yield from _told_if_cut(shown, budget, f"{name_of(data)}, {name}")
    except TrainingError as error:
        where = "" if error.image is None else f" (first in {seen[error.image].name})"
        raise TrainingError(f"{error}{where}", error.image) from error
    space = learned_space(recipe, fitted, images)
    n_train = len(images)
    del images  # the memory is the calibration's now
    standardisation, calibrated = yield from calibrating(
        recipe,
        fitted,
        parts.calibration,
        read,
        space=space,
        false_alarm=false_alarm,
        review=review,
    )
    provenance = Provenance(
        method=name,
        seed=seed,
        version=version("napari-anomaly"),
        device=device_kind(),
        n_train=n_train,
        n_calibration=calibrated.n,
        fit_seconds=time.monotonic() - began,
        data=name_of(data),
    )
    if keeper is not None:
        keeper.path.unlink(missing_ok=True)
    return Detector(recipe, fitted, standardisation, calibrated, provenance, space)


def _to_be_seen(
    steps: Generator[Progress, None, Any], recipe: Recipe
) -> Generator[Progress, None, Any]:
    """Pass the steps on; where the fitted method of now can be had, they say how it rebuilds an image."""
    with closing(steps):
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                return end.value
            if now.running is not None and now.running.fitted is not None:
                rebuild = partial(_rebuilt, recipe, lru_cache(1)(now.running.fitted))
                now = replace(now, running=replace(now.running, rebuild=rebuild))
            yield now


def _rebuilt(
    recipe: Recipe, fitted: Callable[[], Any], image: Image
) -> Float[np.ndarray, "2 y x c"]:
    """What a method sees of an image and makes of it; compiled is what calibrating will need too."""
    pixels, _ = recipe.preprocess.apply(image)
    made = look(recipe, fitted(), image).reconstruction
    pair: np.ndarray = np.clip(np.stack([pixels, made]), 0, 1).astype(np.float32)
    return pair


def _told_if_cut(
    steps: Generator[Progress, None, Any], budget: float | None, label: str
) -> Generator[Progress, None, Any]:
    """Pass the steps on, and warn of each training whose last step never came."""
    last: Progress | None = None

    def warn() -> None:
        if budget is not None and last is not None and last.training and last.step < last.total:
            text = f"{label}: the budget ended {last.stage} at step {last.step} of {last.total}"
            warnings.warn(text, DataWarning, stacklevel=3)

    with closing(steps):
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                warn()
                return end.value
            if last is not None and now.stage != last.stage:
                warn()
            last = now
            yield now


@dataclass(frozen=True)
class _Prepared:
    """A training image as preprocessing leaves it, and what is noted of it."""

    pixels: Pixels
    began: tuple[int, int]
    intensities: Intensities
    digest: bytes


def _prepared(steps: Preprocessing, image: Image) -> _Prepared:
    pixels, _ = steps.apply(image)
    digest = hashlib.sha256(np.ascontiguousarray(pixels).data).digest()
    return _Prepared(pixels, image.shape[:2], Intensities.of(pixels), digest)


def _read_training(
    recipe: Recipe, samples: Sequence[Sample], read: Reader
) -> Generator[Progress, None, tuple[Recipe, Stack, list[Sample], bytes]]:
    """One pass: the recipe with what preprocessing learned, the images, what they are called, their fingerprint."""
    steps = _settled(recipe.preprocess, samples, read)
    seen: list[Sample] = []
    held: list[Pixels] = []
    intensities: list[Intensities] = []
    shapes: set[Grid] = set()
    fields: set[tuple[int, int]] = set()
    digest = hashlib.sha256()

    def prepare(sample: Sample, image: Image) -> _Prepared:
        return named(sample, lambda: _prepared(steps, image))

    with closing(read(samples, prepare)) as pages:
        for sample, one in pages:
            shapes.add(one.pixels.shape)
            grid = steps.common_grid(shapes)
            fields.add(one.began)
            if len(held) == len(seen) and (len(held) + 1) * one.pixels.nbytes <= cache_bound():
                held.append(one.pixels)
            seen.append(sample)
            intensities.append(one.intensities)
            digest.update(one.digest)
            yield Progress("reading", len(seen), max(len(seen), len(samples)))  # pages come on top
    normalise = steps.normalise.learned(intensities)
    field = fields.pop() if len(fields) == 1 else None
    learned = replace(steps, normalise=normalise, grid=grid, field=field)

    def again(k: int) -> Pixels:
        return named(seen[k], lambda: learned.apply(read.again(seen[k]))[0])

    stack = Stack.normalised((len(seen), *grid), held, again, normalise)
    return replace(recipe, preprocess=learned), stack, seen, digest.digest()


def _settled(steps: Preprocessing, samples: Sequence[Sample], read: Reader) -> Preprocessing:
    """Decide by some of the images; by the first that can be read, where none of those can."""
    with closing(read.readable(samples[:: max(1, len(samples) // _LOOKS)])) as images:
        if (one := next(images, None)) is not None:
            return steps.settle(chain([one], images))
    with closing(read.readable(samples)) as images:
        return steps.settle(islice(images, 1))


def _keeper(path: Path, recipe: Recipe, seed: int, images: bytes) -> StateFile:
    """State file that belongs to this recipe, seed and images alone."""
    digest = hashlib.sha256(json.dumps([to_plain(recipe), seed]).encode())
    digest.update(images)
    fingerprint = digest.hexdigest()
    return StateFile(path / f"{fingerprint[:16]}.partial" if path.is_dir() else path, fingerprint)
