"""A folder's or a layer's images as a list: what is known of each, and what was found."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_anomaly.core.types import Sample, Verdict

if TYPE_CHECKING:
    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.core.data.folders import Dataset


@dataclass(frozen=True, eq=False)
class Inspected:
    """What was found in some images, without their pixels: a folder of ten thousand fits.

    Attributes
    ----------
    names : tuple of str
    scores : float64 array, ``(n,)``
        Image scores; NaN for an image that was not inspected or cannot be.
    samples : tuple of Sample, or empty
        Where the images lie; empty for those of a layer.
    dataset : Dataset or None
        The folder they are from.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    samples: tuple[Sample, ...] = ()
    dataset: "Dataset | None" = None

    def verdicts(self, calibration: "Calibration") -> list[Verdict | None]:
        """Return each image's verdict at the calibration's present rates; None without a score."""
        return [
            None if np.isnan(score) else calibration.verdict(score)
            for score in self.scores.tolist()
        ]

    def p_values(self, calibration: "Calibration") -> np.ndarray:
        """Return each image's p-value; NaN without a score."""
        return np.array(
            [
                np.nan if np.isnan(score) else calibration.p_value(score)
                for score in self.scores.tolist()
            ]
        )
