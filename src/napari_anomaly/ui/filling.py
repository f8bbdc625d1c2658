"""The results of a stack as arrays that fill image by image: one thread writes, another shows them."""

import shutil
import tempfile
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.layers import Sheets, map_limits
from napari_anomaly.ui.numbering import BACKGROUND, digest, numbered, region_rows, region_table
from napari_anomaly.ui.recutting import Cut, cut

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector

IN_MEMORY = 2**31
"""Bytes of results of one stack that are held in memory; more are mapped to a temporary file."""


class Filling:
    """Reconstructions, maps and labels of a stack; 0 where nothing was found yet, with NaN for a score.

    Parameters
    ----------
    place : tuple of int
        Images along each axis that counts them.
    first : Inspection
        Of any of the images, for shapes.
    reconstruction : bool
        Whether reconstructions are kept.

    Attributes
    ----------
    filled : list of int
        Numbers of the images by now, in order of arrival.
    thresholds : dict
        ``threshold`` and ``map_threshold``, at which all of them are cut.

    Raises
    ------
    DataError
        Neither memory nor disk has room.
    """

    def __init__(self, place: tuple[int, ...], first: Inspection, *, reconstruction: bool) -> None:
        pixels = place + first.labels.shape
        drawn = place + first.reconstruction.shape
        count = int(np.prod(place))
        shown = first.localises
        size = 4 * int(np.prod(pixels)) * (1 + shown) + 4 * int(np.prod(drawn)) * reconstruction
        make = arrays_of(size)
        self.reconstruction = make(drawn, np.float32) if reconstruction and shown else None
        self.anomaly_map = make(pixels, np.float32) if shown else None
        self.labels = make(pixels, np.int32)
        self.rows = [BACKGROUND]
        self.digests = [digest(np.zeros_like(first.labels, np.int32))] * count
        self.columns: dict[str, list[Any]] = {
            "score": [np.nan] * count,
            "p_value": [np.nan] * count,
            "verdict": [None] * count,
            "regions": [0] * count,
        }
        self.filled: list[int] = []
        self.thresholds = {"threshold": first.threshold, "map_threshold": first.map_threshold}
        self._place, self._highest = place, 0.0
        self._colours = first.map_threshold  # stay as they are when the limit moves

    def write(self, number: int, result: Inspection) -> None:
        """Add what was found in one image. Labels that a person painted there meanwhile stay."""
        where = self._at(number)
        if self.reconstruction is not None:
            self.reconstruction[where] = result.reconstruction
        if self.anomaly_map is not None:
            self.anomaly_map[where] = result.anomaly_map
            self._highest = max(self._highest, float(result.anomaly_map.max()))
        labels = numbered(result, number, self.rows)
        self.digests[number] = digest(labels)
        self.labels[where] = np.where(self.labels[where] == 0, labels, self.labels[where])
        own = (result.score, result.p_value, result.verdict, len(result.regions))
        for column, value in zip(self.columns.values(), own, strict=True):
            column[number] = value
        self.filled.append(number)

    def recut(self, detector: "Detector") -> Generator[int, None, None]:
        """Cut what was found by now at the detector's present thresholds, and yield how many images are cut.

        Nothing is written before all are. Images that a person painted in stay, as do the numbers in them.
        """
        cuts: dict[int, Cut] = {}
        if self.anomaly_map is not None:
            for number in self.filled:
                cuts[number] = cut(detector, self.anomaly_map[self._at(number)])
                yield len(cuts)
        self._renumber(cuts)
        calibration = detector.calibration
        for number in self.filled:
            score = self.columns["score"][number]
            self.columns["verdict"][number] = calibration.verdict(score)
        self.thresholds = {
            "threshold": calibration.threshold,
            "map_threshold": calibration.map_threshold,
        }

    def _renumber(self, cuts: dict[int, Cut]) -> None:
        painted = {number for number in cuts if self._is_painted(number)}
        rows = self._rows_kept(painted)
        for number, new in cuts.items():
            if number in painted:
                continue
            image = self.labels[self._at(number)]
            image[...] = 0
            np.put(image, new.inside, new.labels + (len(rows) - 1))
            self.digests[number] = digest(image)
            self.columns["regions"][number] = len(new.regions)
            rows += region_rows(new.regions, number, len(rows))
        self.rows = rows

    def _rows_kept(self, painted: set[int]) -> list[dict[str, Any]]:
        """Return rows up to the highest number in these images: theirs, and empty ones for numbers that are gone."""
        highest = max((int(self.labels[self._at(number)].max()) for number in painted), default=0)
        known = {row["index"]: row for row in self.rows if row["image"] in painted}
        empty = ({**BACKGROUND, "index": number} for number in range(1, highest + 1))
        return [BACKGROUND, *(known.get(row["index"], row) for row in empty)]

    def _is_painted(self, number: int) -> bool:
        return digest(self.labels[self._at(number)]) != self.digests[number]

    def _at(self, number: int) -> tuple[Any, ...]:
        return np.unravel_index(number, self._place)

    @property
    def limits(self) -> tuple[float, float]:
        """Where the colours of the map begin and end."""
        return map_limits(self._colours, self._highest)

    def sheets(self) -> Sheets:
        """Return them by now, to be added as layers; arrays and lists of numbers are shared."""
        return Sheets(
            self.reconstruction,
            self.anomaly_map,
            self.labels,
            region_table(list(self.rows)),
            self.limits,
            {**self.columns, **self.thresholds},
        )


def arrays_of(size: int) -> Any:
    """Return what makes arrays of zeros, of so many bytes in all: in memory, or in files that are gone with them.

    Raises
    ------
    DataError
        Neither memory nor disk has room.
    """
    if size <= IN_MEMORY:
        return np.zeros
    folder, free = tempfile.gettempdir(), shutil.disk_usage(tempfile.gettempdir()).free
    if size > free:
        raise DataError(
            f"the results need {size / 1e9:.3g} GB, found {free / 1e9:.3g} GB free in {folder}; make room there, "
            "leave out the reconstructions, or inspect a part of the images"
        )

    def make(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        with tempfile.TemporaryFile() as file:
            return np.memmap(file, dtype, "w+", shape=shape)

    return make
