"""One image that is larger than what is scored whole, looked at tile by tile. Knows layers, but no window.

It is read by rectangles, so that dask, zarr and pyramids stay where they are; map and labels that are too large for
memory are mapped to a temporary file.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.ndimage

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.filling import arrays_of
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.layers import Sheets, add_sheets, map_limits
from napari_anomaly.ui.numbering import BACKGROUND, region_rows, region_table
from napari_anomaly.ui.planes import is_single, planes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_anomaly.core.detector import Detector
    from napari_anomaly.core.tiling import Scan

FIELDS = 4
"""Images of the training images' size that one image may hold and still be scored whole, shrunk to their grid."""

LARGEST_WHOLE = 2**24
"""Pixels that are scored whole, whatever the training images' size: some .5 GB with all that is made of them."""

_AROUND = np.ones((3, 3))  # pixels that touch at a corner belong together, as in `core.regions`


@dataclass(frozen=True, eq=False)
class Scanned:
    """What was found in a large image.

    Attributes
    ----------
    source : Image
    scan : Scan
    labels : int32 array, ``(y, x)``
        Its regions.
    judge : Detector
        With the thresholds of scans, by which the fields were judged.
    """

    source: "Image"
    scan: "Scan"
    labels: np.ndarray
    judge: "Detector"

    @property
    def inspected(self) -> Inspected:
        """The image as a list of one, with the score of its strangest field."""
        score = np.array([self.scan.score])
        name, layer = self.source.name, str(self.source.unique_id)
        return Inspected((name,), score, detector=self.judge, layer=layer)

    def in_words(self) -> str:
        """Say what was found."""
        scan, (height, width) = self.scan, self.scan.field
        row, column = scan.worst
        count = len(scan.regions)
        return (
            f"scanned in {scan.scores.size} fields of {height} x {width} pixels, the training images' size: "
            f"{int((scan.verdicts == 'fail').sum())} fail. The strangest, from y {row * height}, x {column * width}: "
            f"{scan.verdict}, score {scan.score:.3g} (limit {scan.threshold:.3g}), "
            f"p = {scan.p_values[scan.worst]:.3g}. {count} region{'' if count == 1 else 's'}"
        )


def is_large(detector: "Detector", layer: "Image") -> bool:
    """Tell whether a layer is one image that a detector looks at tile by tile.

    It is if it holds more than `FIELDS` images of the training images' size, or has more than `LARGEST_WHOLE` pixels.
    Scored whole, it would be shrunk to the grid of one of them.
    """
    if not is_single(layer):
        return False
    height, width = planes(layer)[0].shape[:2]
    field = detector.recipe.preprocess.field
    if field is None:
        return height * width > LARGEST_WHOLE
    most = min(FIELDS * field[0] * field[1], LARGEST_WHOLE)
    return height * width > most and height >= field[0] and width >= field[1]


def scan_layer(detector: "Detector", layer: "Image") -> Generator[Progress, None, Scanned]:
    """Scan the one image of a layer; see :func:`napari_anomaly.scan`.

    Raises
    ------
    RecipeError
        The detector's recipe has no meaning for a larger image, or its scale is not known; says what to do.
    ImageError
        The image, or a part of it, cannot be used.
    DataError
        There is no room for the results.
    """
    from napari_anomaly.core.tiling import scan_steps  # loads JAX

    image = planes(layer)[0]
    make = arrays_of(8 * image.shape[0] * image.shape[1])
    labels = make(image.shape[:2], np.int32)
    out = make(image.shape[:2], np.float32)
    scan = yield from scan_steps(detector, image, out=out)
    yield from _draw(scan, labels)
    known = detector.calibration
    if (scan.threshold, scan.map_threshold) != (known.threshold, known.map_threshold):
        known = known.for_any_place()
    return Scanned(layer, scan, labels, replace(detector, calibration=known))


def show_scan(viewer: "ViewerModel", found: Scanned) -> "list[Layer]":
    """Show map and regions of a large image as layers that lie on it.

    Returns
    -------
    list of Layer
        As :func:`~napari_anomaly.ui.layers.add_sheets` does, without a reconstruction.
    """
    scan, localises = found.scan, found.judge.recipe.localises
    rows = [BACKGROUND, *region_rows(scan.regions, 0, 1)]
    numbers: dict[str, Any] = {
        "score": scan.score,
        "p_value": float(scan.p_values[scan.worst]),
        "verdict": scan.verdict,
        "regions": len(scan.regions),
        "threshold": scan.threshold,
        "map_threshold": scan.map_threshold,
        "field": scan.field,
        "field_scores": scan.scores,
    }
    highest = max((region.max_score for region in scan.regions), default=scan.map_threshold)
    sheets = Sheets(
        None,
        scan.anomaly_map if localises else None,
        found.labels,
        region_table(rows),
        map_limits(scan.map_threshold, highest),
        numbers,
    )
    return add_sheets(viewer, sheets, source=found.source)


def _draw(scan: "Scan", labels: np.ndarray) -> Generator[Progress, None, None]:
    """Write regions, which a scan only lists, into labels."""
    for done, region in enumerate(scan.regions, 1):
        y0, x0, y1, x1 = region.bbox
        above = np.asarray(scan.anomaly_map[y0:y1, x0:x1]) > np.float64(scan.map_threshold)
        labels[y0:y1, x0:x1][_filled(above)] = region.label
        yield Progress("drawing regions", done, len(scan.regions))


def _filled(above: np.ndarray) -> np.ndarray:
    """Return a region's pixels in its box: the one part that reaches from side to side, without holes."""
    parts, _ = scipy.ndimage.label(above, _AROUND)
    boxes = scipy.ndimage.find_objects(parts)
    whole = (slice(0, above.shape[0]), slice(0, above.shape[1]))
    mask: np.ndarray = scipy.ndimage.binary_fill_holes(parts == 1 + boxes.index(whole))
    return mask
