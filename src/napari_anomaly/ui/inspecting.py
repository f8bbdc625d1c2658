"""Many images inspected one by one, and shown as stacks. Knows layers, but no window."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.data.folders import Dataset, open_folder
from napari_anomaly.core.data.reading import pages_among, work_through
from napari_anomaly.core.errors import DataError, ImageError
from napari_anomaly.core.types import Inspection, Progress, Sample
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.masks import add_truth, mask_if_any
from napari_anomaly.ui.readers import sample_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_anomaly.core.detector import Detector

KEPT_BYTES = 2**30
"""Images and results of a folder up to which they are kept, to be shown as stacks; of a larger one only the scores."""


@dataclass(frozen=True)
class Found:
    """What was found in some images.

    Attributes
    ----------
    inspected : Inspected
        All of them as a list, those without a score last.
    results : tuple of Inspection
        One per image with a score; empty if they differ in shape or need too much memory together.
    images : tuple of array
        The images of a folder; empty for a layer, which shows them already, and where there are no results.
    masks : tuple of array or None
        Of the images of a folder that has masks, ``(y, x)`` each, None for those without.
    metadata : dict
        Where these came from, one list entry per image; see ``layers.ABOUT``.
    """

    inspected: Inspected
    results: tuple[Inspection, ...]
    images: tuple[np.ndarray, ...] = ()
    masks: tuple[np.ndarray | None, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


def inspect_images(
    detector: "Detector",
    images: Sequence[Any],
    names: Sequence[str],
    *,
    reconstruction: bool = True,
) -> Generator[Progress, None, Found]:
    """Inspect images ``(y, x)`` or ``(y, x, c)`` one by one.

    Raises
    ------
    ImageError
        One cannot be inspected; the message names it.
    """
    results = []
    for image, name in zip(images, names, strict=True):
        try:
            results.append(lean(detector.inspect(np.asarray(image)), reconstruction))
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        yield Progress("inspecting", len(results), len(names))
    scores = np.array([result.score for result in results], np.float64)
    return Found(Inspected(tuple(names), scores, detector=detector), tuple(results))


def inspect_folder(
    detector: "Detector", folder: Path, *, reconstruction: bool = True, most: int = KEPT_BYTES
) -> Generator[Progress, None, Found]:
    """Inspect the test images of an MVTec folder, or all images of a plain one.

    Images that cannot be used are listed with the reason; the training images of an MVTec folder without a score.

    Parameters
    ----------
    detector : Detector
    folder : Path
    reconstruction : bool
        Whether reconstructions are kept.
    most : int
        Bytes that images and results may need together; if they need more, none of them are kept.

    Raises
    ------
    DataError
        No image can be used.
    """
    dataset = open_folder(folder)
    samples = dataset.test or dataset.train
    scores: list[tuple[Sample, float]] = []
    unusable: list[tuple[Sample, str]] = []
    kept = _Kept(most)
    reading = work_through(samples, pages_among(samples), lambda _, image: image, threads=1)
    with closing(reading) as pages:
        for count, (sample, image) in enumerate(pages, 1):
            try:
                result = lean(detector.inspect(_usable(image)), reconstruction)
            except ImageError as error:
                unusable.append((sample, str(error)))
            else:
                scores.append((sample, result.score))
                kept.add(np.asarray(image), result, sample)
            yield Progress("inspecting", count, max(count, len(samples)))
    if not scores:
        why = f"; the last one: {unusable[-1][1]}" if unusable else ""
        raise DataError(f"{folder}: none of its images can be inspected by this detector{why}")
    about = sample_metadata(dataset, [sample for sample, _ in scores]) if kept.images else {}
    inspected = _listed(detector, dataset, scores, unusable)
    return Found(inspected, tuple(kept.results), tuple(kept.images), tuple(kept.masks), about)


def show_stack(viewer: "ViewerModel", found: Found, name: str) -> "list[Layer]":
    """Show a folder's images and results, which were kept, as stacks.

    Returns
    -------
    list of Layer
        The images, then what ``add_to_viewer`` adds, then the folder's masks as ground truth, if there are any.
    """
    source = viewer.add_image(
        np.stack(found.images),
        name=name,
        rgb=found.images[0].ndim == 3,
        metadata=found.metadata,
        axis_labels=("image", "y", "x"),
    )
    reconstruction = found.results[0].reconstruction.size > 0
    results = list(found.results)
    added = add_to_viewer(viewer, results, source=source, reconstruction=reconstruction)
    return [source, *added, *add_truth(viewer, source, found.masks)]


def lean(result: Inspection, reconstruction: bool) -> Inspection:
    """Drop a reconstruction that will not be shown: it is most of a result's memory."""
    return (
        result if reconstruction else replace(result, reconstruction=np.zeros((0, 0), np.float32))
    )


class _Kept:
    """Images, results and masks as long as they are of one shape and need no more than so many bytes; then none."""

    def __init__(self, most: int) -> None:
        self.images: list[np.ndarray] = []
        self.results: list[Inspection] = []
        self.masks: list[np.ndarray | None] = []
        self._left = most
        self._given_up = False

    def add(self, image: np.ndarray, result: Inspection, sample: Sample) -> None:
        if self._given_up:
            return
        mask = mask_if_any(sample, image.shape)
        arrays = (image, result.reconstruction, result.anomaly_map, result.labels)
        self._left -= sum(one.nbytes for one in arrays) + (0 if mask is None else mask.nbytes)
        self.masks.append(mask)
        self.images.append(image)
        self.results.append(result)
        first = self.images[0]
        alike = (image.shape, image.dtype) == (first.shape, first.dtype)
        self._given_up |= self._left < 0 or not alike
        if self._given_up:
            self.images.clear()
            self.masks.clear()
            self.results.clear()


def _usable(image: np.ndarray | ImageError) -> np.ndarray:
    if isinstance(image, ImageError):
        raise image
    return image


def _listed(
    detector: "Detector",
    dataset: Dataset,
    scores: Sequence[tuple[Sample, float]],
    unusable: Sequence[tuple[Sample, str]],
) -> Inspected:
    """Make the list: images with a score, those that cannot be used, those that were trained on."""
    others = [*unusable, *((sample, "") for sample in dataset.train if dataset.test)]
    samples = [sample for sample, _ in (*scores, *others)]
    known = [score for _, score in scores]
    return Inspected(
        tuple(sample.name for sample in samples),
        np.array(known + [np.nan] * len(others), np.float64),
        tuple(samples),
        dataset,
        tuple([""] * len(scores) + [reason for _, reason in others]),
        detector,
    )
