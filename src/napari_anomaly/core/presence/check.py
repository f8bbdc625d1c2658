"""Is it there? Two sets of pictures become a check, a check and an image an answer."""

import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter, ValidationError

from napari_anomaly.core import checkpoint
from napari_anomaly.core.data.normals import name_of
from napari_anomaly.core.errors import AnomalyError, CheckpointError, RecipeError
from napari_anomaly.core.preprocess import Crop, Grid, Preprocessing
from napari_anomaly.core.presence import svm
from napari_anomaly.core.presence.folds import (
    Decisions,
    Labels,
    Validation,
    cross_validated,
    folds,
    validated,
)
from napari_anomaly.core.presence.pictures import Pictures, Region, read_pictures
from napari_anomaly.core.presence.probability import probability, slope
from napari_anomaly.core.presence.proportions import Proportion
from napari_anomaly.core.types import Image, Progress

Kind = Literal["svm", "cnn"]

_FILE = "presence check"


@runtime_checkable
class Model(Protocol):
    """A fitted classifier."""

    def decide(self, described: np.ndarray, /) -> Decisions:
        """Return decision values ``(n,)``; above 0 is present."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return everything that is needed to rebuild it."""


@runtime_checkable
class Learner(Protocol):
    """What the module of each kind of classifier offers."""

    def describe(self, images: Float[np.ndarray, "n y x c"], /) -> np.ndarray:
        """Turn images in [0, 1] into what the classifier takes, each by itself."""

    def fit_steps(
        self, described: np.ndarray, present: Labels, /, *, channels: int, seed: int
    ) -> Generator[Progress, None, Model]:
        """Fit; everything that is learned comes from what is given."""

    def restore(self, arrays: Mapping[str, np.ndarray], grid: Grid, /) -> Model:
        """Rebuild a model for images of a shape ``(y, x, c)`` from its arrays."""


@dataclass(frozen=True)
class Origin:
    """Where a check comes from."""

    seed: int
    version: str
    good: str
    defect: str
    fit_seconds: float


@dataclass(frozen=True)
class Presence:
    """What a check says about one image, and what that rests on.

    Attributes
    ----------
    present : bool
        Whether it is there.
    probability : float
        Of presence, in [0, 1], for pictures of which half show it; at least .5 exactly where ``present``, unless the
        check separates nothing and it is .5 throughout.
    decision : float
        Distance from the boundary in the classifier's own units; above 0 is present.
    validation : Validation
        How the same way of training did on held-out images.
    """

    present: bool
    probability: float
    decision: float
    validation: Validation

    @property
    def verdict(self) -> Literal["present", "absent"]:
        """The answer as a word."""
        return "present" if self.present else "absent"

    def __str__(self) -> str:
        """Say the answer and what it rests on."""
        found = self.validation
        return (
            f"{self.verdict}, probability of presence {self.probability:.3f}; of {found.total} held-out images "
            f"{found.accuracy} were told right"
        )


@dataclass(frozen=True, eq=False)
class PresenceCheck:
    """Tells whether something is in a region of interest. Immutable; made by :func:`fit_presence`.

    Attributes
    ----------
    kind : {"svm", "cnn"}
    preprocess : Preprocessing
        Cuts out the region and brings it onto the grid of the training pictures.
    model : Model
        Trained on all pictures.
    slope : float
        From decision to probability: see :func:`~napari_anomaly.core.presence.probability.slope`.
    validation : Validation
        From cross-validation: models trained on the other folds, not this one.
    origin : Origin
    """

    kind: Kind
    preprocess: Preprocessing
    model: Model
    slope: float
    validation: Validation
    origin: Origin

    @property
    def accuracy(self) -> Proportion:
        """Share of held-out pictures that was told right, with its 95 % interval: ``.value``, ``.low``, ``.high``."""
        return self.validation.accuracy

    @property
    def region(self) -> Crop | None:
        """The region of interest; None: the whole image."""
        first = self.preprocess.steps[0]
        return first if isinstance(first, Crop) else None

    def check(self, image: Image) -> Presence:
        """Tell whether it is there.

        Parameters
        ----------
        image : array, ``(y, x)`` or ``(y, x, c)``
            The whole image, not the region alone; integers by their dtype's range, floats in [0, 1], unless the check
            has a ``data_range``.

        Raises
        ------
        ImageError
            The image cannot be used, or does not hold the region.
        """
        pixels, _ = self.preprocess.apply(image)
        described = _learner(self.kind).describe(pixels[None])
        decision = float(self.model.decide(described)[0])
        return Presence(decision > 0, probability(decision, self.slope), decision, self.validation)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write one ``.presence`` file (safetensors and JSON) atomically; an existing one is replaced."""
        path = Path(path)
        header = {
            "model": self.kind,
            "preprocess": TypeAdapter(Preprocessing).dump_python(self.preprocess, mode="json"),
            "slope": self.slope,
            "validation": asdict(self.validation),
            "origin": asdict(self.origin),
        }
        checkpoint.write(path, _FILE, header, self.model.arrays())
        return path


def fit_presence(good: Pictures, defect: Pictures, **choices: Any) -> PresenceCheck:
    """Fit a presence check, with a progress bar on standard error.

    Takes the arguments of :func:`fit_presence_steps`; blocks until done.
    """
    from napari_anomaly.core.progress import watched

    return watched(fit_presence_steps(good, defect, **choices))


def fit_presence_steps(
    good: Pictures,
    defect: Pictures,
    *,
    region: Region = None,
    model: Kind = "svm",
    seed: int = 0,
    group: str | None = None,
    data_range: tuple[float, float] | None = None,
) -> Generator[Progress, None, PresenceCheck]:
    r"""Fit a presence check, step by step: cross-validated first, then on all pictures.

    Parameters
    ----------
    good, defect : folder, dataset, arrays, or arrays by name
        Pictures that show what is looked for, and pictures where it is missing; at least 3 different ones of each. Of
        an MVTec folder as ``good`` the images of ``train/good`` are taken.
    region : tuple of int or Crop, optional
        ``(y0, x0, y1, x1)`` in pixels of the image, half open; None: the whole image.
    model : {"svm", "cnn"}
        A support vector machine on edges and intensities (seconds), or a small network with random changes of its
        training pictures (a minute or more).
    seed : int
        Decides the folds, and everything random in training; at least 0.
    group : str, optional
        Regular expression; pictures whose names share its first group (or whole match) show one part: they stay in one
        fold, and count as one in the intervals. ``r"part(\d+)"``
    data_range : tuple of float, optional
        Intensities that mean black and white, instead of the range of the pixels' type.

    Yields
    ------
    Progress

    Returns
    -------
    PresenceCheck

    Raises
    ------
    DataError, ImageError
        The pictures cannot be used, are too few, or do not hold the region.
    RecipeError
        An impossible region, data range, model or seed.
    """
    began = time.monotonic()
    learner = _learner(model)
    if not 0 <= seed < 2**63:
        raise RecipeError(
            f"found seed={seed}; expected a whole number from 0, of at most 18 digits"
        )
    pictures = yield from read_pictures(
        good, defect, region=region, data_range=data_range, group=group
    )
    held = folds(pictures.present, pictures.parts, seed=seed)
    described, present = learner.describe(pictures.pixels), pictures.present
    fit = partial(learner.fit_steps, channels=pictures.pixels.shape[3], seed=seed)

    def decide(mask: Labels) -> Generator[Progress, None, Decisions]:
        fitted = yield from fit(described[~mask], present[~mask])
        return fitted.decide(described[mask])

    decisions = yield from cross_validated(decide, present, held)
    return PresenceCheck(
        model,
        pictures.preprocess,
        (yield from fit(described, present)),
        slope(decisions, present),
        validated(decisions, present, pictures.parts, pictures.names, folds=len(held)),
        Origin(
            seed,
            version("napari-anomaly"),
            _source_name(good),
            _source_name(defect),
            time.monotonic() - began,
        ),
    )


def load_presence(path: str | PathLike[str]) -> PresenceCheck:
    """Read a check written by :meth:`PresenceCheck.save`.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, of another kind or version, or its arrays do not fit.
    """
    path = Path(path)
    header, arrays = checkpoint.read(path, _FILE)
    try:
        preprocess = TypeAdapter(Preprocessing).validate_python(header["preprocess"])
        if preprocess.grid is None:
            raise CheckpointError("found no grid of the training pictures")
        return PresenceCheck(
            header["model"],
            preprocess,
            _learner(header["model"]).restore(arrays, preprocess.grid),
            TypeAdapter(float).validate_python(header["slope"]),
            TypeAdapter(Validation).validate_python(header["validation"]),
            TypeAdapter(Origin).validate_python(header["origin"]),
        )
    except KeyError as error:
        raise CheckpointError(
            f"{path}: the check cannot be rebuilt: found nothing called {error!s}. Copy the file again or fit anew."
        ) from error
    except (AnomalyError, ValidationError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: the check cannot be rebuilt: {error!s}. Copy the file again or fit anew."
        ) from error


def _learner(kind: str) -> Learner:
    """Return the module of a kind of classifier; the network's loads JAX."""
    if kind == "svm":
        return svm
    if kind == "cnn":
        from napari_anomaly.core.methods import classifier
        from napari_anomaly.core.nn.devices import set_up

        set_up()
        return classifier
    raise RecipeError(f"found model={kind!r}; expected 'svm' or 'cnn'")


def _source_name(pictures: Pictures) -> str:
    return "arrays" if isinstance(pictures, Mapping) else name_of(pictures)
