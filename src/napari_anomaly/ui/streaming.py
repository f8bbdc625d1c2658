"""A layer's images inspected one by one, in layers that fill as results come. Knows layers, but no window.

A thread reads, inspects and writes into arrays; the window's thread adds the layers once the first result is there and
refreshes them. Each image is read when its turn comes, and results that are too large for memory are mapped to a
temporary file: a stack may be larger than memory.
"""

import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.errors import DataWarning, ImageError
from napari_anomaly.core.threads import first_alone, in_order, workers
from napari_anomaly.core.types import Inspection, Progress
from napari_anomaly.ui.filling import Filling
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.layers import (
    add_sheets,
    add_to_viewer,
    in_words,
    slices,
)
from napari_anomaly.ui.numbering import DIGESTS, region_table
from napari_anomaly.ui.planes import counting, is_single, names_of
from napari_anomaly.ui.recutting import judged

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_anomaly.core.detector import Detector

_NO_PIXELS = np.zeros((0, 0), np.float32)
_NO_LABELS = np.zeros((0, 0), np.int32)


class Stream:
    """The inspection of one layer: what was found by now, and the layers that show it.

    Parameters
    ----------
    detector : Detector
    layer : napari.layers.Image
        A stack, or one image.
    start : int
        The image to begin with, numbered as ``slices`` lists them; those nearest to it follow.
    reconstruction : bool
        Whether reconstructions are kept and shown, too.

    Attributes
    ----------
    source : Image
    reconstruction : bool
    names : tuple of str
        Of all images.
    results : dict
        From an image's number to its inspection, in order of arrival; of a stack without pixels, which `layers` show.
    layers : list of Layer
    """

    def __init__(
        self, detector: "Detector", layer: "Image", *, start: int = 0, reconstruction: bool = True
    ) -> None:
        self._images = slices(layer)
        self.names = tuple(names_of(layer, len(self._images)))
        self.results: dict[int, Inspection] = {}
        self.layers: list[Layer] = []
        self.source, self.reconstruction = layer, reconstruction
        self._detector = detector
        self._judge = self._wanted = detector  # whose thresholds hold, and shall hold
        self._start, self._place = start, None if is_single(layer) else counting(layer)
        self._filling: Filling | None = None
        self._coloured: list[float] = []  # contrast limits of the map as we set them last
        self._listed: list[dict[str, Any]] = []  # the rows that the table of regions shows
        self._ended = False

    def follow(self, detector: "Detector") -> None:
        """Cut at a detector's thresholds from now on, also what was cut before; nothing if its scores are others."""
        if self.inspected.at_present(detector) is detector:
            self._wanted = detector

    def steps(self) -> Generator[Progress, None, "Stream"]:
        """Inspect image by image; what was done when it is closed stays.

        Raises
        ------
        ImageError
            None of the images can be inspected.
        DataError
            There is no room for the results.

        Warns
        -----
        DataWarning
            For each image of a stack that cannot be inspected; its score is NaN.
        """
        import pandas  # noqa: F401  here, and not when the window's thread needs it

        order = nearest_first(len(self.names), self._start)
        try:
            with closing(in_order(first_alone(self._look), order, ahead=workers())) as found:
                for done, (number, one) in enumerate(zip(order, found, strict=True), 1):
                    yield from self._catch_up()
                    if isinstance(one, Inspection):
                        self._keep(number, one)
                    elif done == len(order) and not self.results:
                        raise one
                    else:
                        warnings.warn(f"{one} (left out)", DataWarning, stacklevel=2)
                    yield Progress("inspecting", done, len(order))
            yield from self._catch_up()
        finally:
            self._ended = True
        return self

    def show(self, viewer: "ViewerModel") -> "list[Layer]":
        """Add the layers if there are none and something was found, else refresh them; return them."""
        ended = self._ended
        if self.layers:
            self._refresh()
        elif self._filling is not None:
            self.layers = add_sheets(viewer, self._filling.sheets(), source=self.source)
            if self._filling.anomaly_map is not None:
                self._coloured = self.layers[-2].contrast_limits
        elif self.results:
            self.layers = add_to_viewer(
                viewer, self.results[0], source=self.source, reconstruction=self.reconstruction
            )
        if ended and self._filling is not None:
            self.layers[-1].metadata[DIGESTS] = self._filling.digests
        return self.layers

    @property
    def inspected(self) -> Inspected:
        """The list of all images; NaN for those that nothing was found about yet."""
        found = dict(self.results)  # a thread adds to it
        scores = [found[k].score if k in found else np.nan for k in range(len(self.names))]
        return Inspected(
            self.names,
            np.array(scores, np.float64),
            detector=self._detector,
            layer=str(self.source.unique_id),
            folder=self._folder,
        )

    @property
    def _folder(self) -> Path | None:
        about = self.source.metadata
        return Path(about["path"]) if about.get("path") and about.get("sample") else None

    def in_words(self) -> str:
        """Say what was found by now."""
        found = list(self.results.values())
        if self._place is None and found:
            return in_words(found[0])
        failed = sum(one.verdict == "fail" for one in found)
        left = (
            ""
            if len(found) == len(self.names)
            else f", {len(self.names) - len(found)} not inspected"
        )
        return f"{failed} of {len(found)} images fail{left}"  # fmt: skip

    def _look(self, number: int) -> Inspection | ImageError:
        try:
            return self._detector.inspect(np.asarray(self._images[number]))
        except ImageError as error:
            return ImageError(f"{self.names[number]}: {error}")

    def _catch_up(self) -> Generator[Progress, None, None]:
        """Cut what is there at the thresholds that are wanted by now."""
        while self._judge is not self._wanted:
            judge, filling = self._wanted, self._filling
            if filling is not None:
                for done in filling.recut(judge):
                    yield Progress("cutting regions", done, len(filling.filled))
                verdict = judge.calibration.verdict
                self.results = {
                    number: replace(one, verdict=verdict(one.score))
                    for number, one in self.results.items()
                }
            self._judge = judge

    def _keep(self, number: int, result: Inspection) -> None:
        if self._judge is not self._detector:
            result = judged(self._judge, result)
        if self._place is not None:
            if self._filling is None:
                self._filling = Filling(self._place, result, reconstruction=self.reconstruction)
            self._filling.write(number, result)
            result = replace(
                result, reconstruction=_NO_PIXELS, anomaly_map=_NO_PIXELS, labels=_NO_LABELS
            )
        self.results[number] = result

    def _refresh(self) -> None:
        if self._filling is None:
            return
        rows, regions = self._filling.rows, self.layers[-1]
        if rows is not self._listed or len(rows) != len(regions.features):
            regions.features = region_table(list(rows))
            self._listed = rows
        if self._filling.anomaly_map is not None:
            self._colour(self.layers[-2], self._filling.limits)
        for layer in self.layers:
            layer.metadata.update(self._filling.thresholds)
            layer.refresh(extent=False)

    def _colour(self, anomaly_map: Any, limits: tuple[float, float]) -> None:
        """Follow the highest value, until a person sets other limits."""
        if self._coloured == anomaly_map.contrast_limits:
            anomaly_map.contrast_limits = limits
            self._coloured = anomaly_map.contrast_limits


def nearest_first(count: int, start: int) -> list[int]:
    """Order the numbers below ``count`` by how far they are from ``start``."""
    return sorted(range(count), key=lambda number: abs(number - start))
