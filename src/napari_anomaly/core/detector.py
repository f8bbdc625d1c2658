"""Joins the rooms: a recipe and normal images become a detector, a detector and an image an inspection."""

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from napari_anomaly.core import checkpoint
from napari_anomaly.core.calibrating import calibrating, on_own_grid, score_of, wanted_rate
from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.data.normals import Data, source
from napari_anomaly.core.errors import (
    AnomalyError,
    CalibrationError,
    CheckpointError,
    ImageError,
    RecipeError,
)
from napari_anomaly.core.methods.fitted import Fitted
from napari_anomaly.core.methods.latent import Space
from napari_anomaly.core.methods.latent import restore as restore_space
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import changed, from_plain, to_plain
from napari_anomaly.core.nn.devices import set_up
from napari_anomaly.core.preprocess import Pixels, Undo
from napari_anomaly.core.regions import regions
from napari_anomaly.core.scoring import TOGETHER, Scorer
from napari_anomaly.core.standardise import Standardisation
from napari_anomaly.core.threads import first_alone, in_order, workers
from napari_anomaly.core.types import AnomalyMap, Image, Inspection

_VALUES = 2**23
"""Of images that are inspected together; larger ones are inspected alone."""


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
    space : Mahalanobis, Neighbours or None
        Where codes of training images lie, if the score needs it.
    """

    recipe: Recipe
    fitted: Fitted
    standardisation: Standardisation
    calibration: Calibration
    provenance: Provenance
    space: Space | None = None

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
        pixels, undo = self.recipe.preprocess.apply(image)
        return self._judged(undo, *self._scorer(pixels))

    def inspect_all(self, images: Iterable[Image]) -> Generator[Inspection, None, None]:
        """Inspect images in threads: in order, bit for bit as :meth:`inspect` each, few held in memory at once.

        Small images of one shape are scored several to a call, so some are drawn ahead of the result that is asked for.

        Raises
        ------
        ImageError
            Where the result of an image that cannot be used would come; names its number, from 0.
        """
        several = 2 * workers()  # one waits for the device while another prepares or finishes
        groups = in_order(
            first_alone(self._inspect_some), _alike(images), threads=several, ahead=several - 1
        )
        with closing(groups):
            for found, error in groups:
                yield from found
                if error is not None:
                    raise error

    def _inspect_some(
        self, numbered: Sequence[tuple[int, Image]]
    ) -> tuple[list[Inspection], ImageError | None]:
        """Inspect images of one shape up to the first that cannot be used; return that error beside them."""
        prepared, failed = [], None
        for number, image in numbered:
            try:
                prepared.append(self.recipe.preprocess.apply(image))
            except ImageError as error:
                failed = ImageError(f"image {number}: {error}")
                failed.__cause__ = error
                break
        scored = self._scorer.each([pixels for pixels, _ in prepared]) if prepared else []
        judged = [self._judged(undo, *one) for (_, undo), one in zip(prepared, scored, strict=True)]
        return judged, failed

    def _judged(
        self, undo: Undo, standardised: AnomalyMap, reconstruction: Pixels, latent: float | None
    ) -> Inspection:
        """Bring what was scored onto the image's own grid, and decide."""
        anomaly_map = on_own_grid(standardised, undo)
        score = score_of(self.recipe, self.calibration, anomaly_map, latent)
        labels, found = regions(
            anomaly_map,
            self.calibration.map_threshold,
            self.calibration.map_p_value,
            min_area=self.recipe.min_area,
        )
        reconstruction = np.clip(undo(reconstruction), 0, 1)
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
            localises=self.recipe.localises,
        )

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer.of(self.recipe, self.fitted, self.standardisation, self.space)

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
            return replace(self, calibration=replace(old, false_alarm=rate, review=review))
        samples, read = source(normals)
        if not samples:
            raise CalibrationError("found no normal images; expected at least 1 to calibrate with")
        from napari_anomaly.core.progress import (
            finished,
        )  # brings a library for progress bars along

        standardisation, calibration = finished(
            calibrating(
                self.recipe,
                self.fitted,
                samples,
                read,
                space=self.space,
                false_alarm=false_alarm,
                review=review,
            )
        )
        provenance = replace(self.provenance, n_calibration=calibration.n)
        return replace(
            self,
            standardisation=standardisation,
            calibration=calibration,
            provenance=provenance,
        )

    def rescore(self, normals: Data, knobs: Mapping[str, Any]) -> "Detector":
        """Return a detector that looks differently at what its method learned, calibrated anew; nothing is trained.

        Parameters
        ----------
        normals : Dataset, folder or arrays
            Normal images that were not trained on.
        knobs : mapping
            As for :func:`changed`: ``{"map": "restoration"}`` of a VAE, ``{"pool": "top", "smooth": 2}``.

        Raises
        ------
        RecipeError
            For a knob that does not exist, an impossible value, or what only a new fit can change.
        """
        recipe = changed(self.recipe, knobs)
        later = getattr(type(recipe.method), "later", ())
        kept = {name: getattr(self.recipe.method, name) for name in later}
        if replace(recipe.method, **kept) != self.recipe.method or (
            recipe.preprocess != self.recipe.preprocess
        ):
            free = ", ".join((*later, "residual", "standardise", "pool", "score", "min_area"))
            raise RecipeError(
                f"found {', '.join(knobs)} to change after training; expected some of {free}. Fit anew for the others."
            )
        known = None if self.space is None else self.recipe.measure
        if recipe.measure not in (None, known):
            raise RecipeError(
                f"found latent_score={recipe.measure} to change after training, which needs the codes of the training "
                "images; expected latent_score=own. Fit anew for it."
            )
        space = None if recipe.measure is None else self.space
        fitted = recipe.method.implementation().restore(recipe.method, self.fitted.arrays())
        rates = {"false_alarm": self.calibration.false_alarm, "review": self.calibration.review}
        other = replace(self, recipe=recipe, fitted=fitted, space=space)
        return other.calibrate(normals, **rates)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write one ``.anomaly`` file (safetensors and JSON) atomically; an existing one is replaced."""
        path = Path(path)
        header = {
            "recipe": to_plain(self.recipe),
            "provenance": asdict(self.provenance),
            "false_alarm": self.calibration.false_alarm,
            "review": self.calibration.review,
        }
        own = ("scores", "peaks", "parts", "anywhere")
        groups = {
            "method": self.fitted.arrays(),
            "standardisation": self.standardisation.arrays(),
            "calibration": {
                name: one for name in own if (one := getattr(self.calibration, name)) is not None
            },
            "latent": {} if self.space is None else self.space.arrays(),
        }
        arrays = {f"{g}/{name}": one for g, group in groups.items() for name, one in group.items()}
        checkpoint.write(path, "detector", header, arrays)
        return path


def _alike(images: Iterable[Image]) -> Generator[list[tuple[int, Image]], None, None]:
    """Number images and group those of one shape that follow each other: a few, of a bounded size together."""
    group: list[tuple[int, Image]] = []
    shape: tuple[int, ...] | None = None
    for number, image in enumerate(images):
        own = getattr(image, "shape", None)
        most = 1 if own is None else min(TOGETHER, _VALUES // max(1, math.prod(own)))
        if group and (own != shape or len(group) >= most):
            yield group
            group = []
        group.append((number, image))
        shape = own
    if group:
        yield group


def load(path: str | PathLike[str]) -> Detector:
    """Read a detector written by :meth:`Detector.save`.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another version, or its arrays do not fit its recipe.
    """
    path = Path(path)
    set_up()
    header, arrays = checkpoint.read(path, "detector")
    groups: dict[str, dict[str, np.ndarray]] = {
        "method": {},
        "standardisation": {},
        "calibration": {},
        "latent": {},
    }
    try:
        for name, array in arrays.items():
            group, _, inner = name.partition("/")
            groups[group][inner] = array
        recipe = from_plain(header["recipe"])
        if ("parts" in groups["calibration"]) != (recipe.score == "both"):
            raise CheckpointError(f"found calibration arrays that are not those of {recipe.score=}")
        return Detector(
            recipe,
            recipe.method.implementation().restore(recipe.method, groups["method"]),
            Standardisation.restore(groups["standardisation"]),
            Calibration(
                **groups["calibration"], false_alarm=header["false_alarm"], review=header["review"]
            ),
            TypeAdapter(Provenance).validate_python(header["provenance"]),
            restore_space(recipe, groups["latent"]),
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
