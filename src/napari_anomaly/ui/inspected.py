"""A folder's or a layer's images as a list: what is known of each, and what was found."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_anomaly.core.types import Sample, Verdict

if TYPE_CHECKING:
    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.core.data.folders import Dataset
    from napari_anomaly.core.detector import Detector


@dataclass(frozen=True, eq=False)
class Inspected:
    """What was found in some images, without their pixels: a folder of ten thousand fits.

    Image k is slice k of the layer that shows them all: of a folder, images with a score come first.

    Attributes
    ----------
    names : tuple of str
    scores : float64 array, ``(n,)``
        Image scores; NaN for an image that was not inspected or cannot be.
    samples : tuple of Sample, or empty
        Where the images lie; empty for those of a layer.
    dataset : Dataset or None
        The folder they are from.
    reasons : tuple of str, or empty
        Why an image cannot be inspected; empty where nothing is wrong with it.
    detector : Detector or None
        Which gave the scores.
    folder : Path or None
        Where the images of a layer lie, if they are a folder's.
    layer : str or None
        The ``unique_id`` of the layer that shows the images, of a folder those with a score; None where each is opened
        by itself.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    samples: tuple[Sample, ...] = ()
    dataset: "Dataset | None" = None
    reasons: tuple[str, ...] = ()
    detector: "Detector | None" = None
    layer: str | None = None
    folder: Path | None = None

    @property
    def root(self) -> Path | None:
        """The folder of the images, where it is known."""
        return self.folder if self.dataset is None else self.dataset.root

    def verdicts(self, calibration: "Calibration") -> list[Verdict | None]:
        """Return each image's verdict at the calibration's present rates; None without a score."""
        found = np.full(len(self.scores), "pass", object)
        found[self.scores > calibration.review_threshold] = "review"
        found[self.scores > calibration.threshold] = "fail"
        found[np.isnan(self.scores)] = None
        verdicts: list[Verdict | None] = found.tolist()
        return verdicts

    def p_values(self, calibration: "Calibration") -> np.ndarray:
        """Return each image's p-value; NaN without a score."""
        lower = np.searchsorted(np.sort(calibration.scores), self.scores, side="left")
        p_values = (1 + calibration.n - lower) / (calibration.n + 1)
        return np.where(np.isnan(self.scores), np.nan, p_values)

    def at_present(self, detector: "Detector | None") -> "Detector | None":
        """Return the given detector if the scores are comparable with its normals', else the one that gave them.

        Moved thresholds leave the normals' scores as they are; another training or other normals do not.
        """
        own = self.detector
        if own is None or detector is None:
            return own or detector
        same = np.array_equal(own.calibration.scores, detector.calibration.scores)
        return detector if same else own

    def key(self, number: int) -> str:
        """Return what an image is remembered by when its folder, or its layer, is inspected again."""
        name = self.names[number]
        if self.root is None:
            return f"{self.layer}/{name}"  # images of other layers may have the same name
        return str(self.root / name)
