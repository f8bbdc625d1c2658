"""Many images inspected one by one, and shown. Knows layers, but no window."""

import warnings
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.data.folders import Dataset, open_folder
from napari_anomaly.core.data.reading import read_samples
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.types import Inspection, Progress, Sample
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.readers import sample_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_anomaly.core.detector import Detector

LIST_IMAGES = 8
"""Images of differing size that are shown, four layers each; the strangest are."""


@dataclass(frozen=True)
class Found:
    """What was found in some images.

    Attributes
    ----------
    names : tuple of str
    results : tuple of Inspection
        One per name.
    images : tuple of array
        The images of a folder; empty for a layer, which shows them already.
    metadata : dict
        Where they came from, one list entry per image; see ``layers.ABOUT``.
    samples : tuple of Sample, or empty
    dataset : Dataset or None
        Of a folder.
    """

    names: tuple[str, ...]
    results: tuple[Inspection, ...]
    images: tuple[np.ndarray, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    dataset: Dataset | None = None

    @property
    def inspected(self) -> Inspected:
        """The list of it, without pixels."""
        scores = np.array([result.score for result in self.results], np.float64)
        return Inspected(self.names, scores, self.samples, self.dataset)


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
            results.append(_lean(detector.inspect(np.asarray(image)), reconstruction))
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        yield Progress("inspecting", len(results), len(names))
    return Found(tuple(names), tuple(results))


def inspect_folder(
    detector: "Detector", folder: Path, *, reconstruction: bool = True
) -> Generator[Progress, None, Found]:
    """Inspect the test images of an MVTec folder, or all images of a plain one; skip unusable ones.

    Raises
    ------
    DataError
        No image can be used.
    """
    dataset = open_folder(folder)
    samples = dataset.test or dataset.train
    used: list[tuple[Sample, np.ndarray, Inspection]] = []
    for count, (sample, image) in enumerate(read_samples(samples), 1):
        try:
            used.append((sample, image, _lean(detector.inspect(image), reconstruction)))
        except ImageError as error:
            warnings.warn(f"{sample.name}: {error} (skipped)", DataWarning, stacklevel=2)
        yield Progress("inspecting", count, max(count, len(samples)))
    if not used:
        raise DataError(f"{folder}: none of its images can be inspected by this detector")
    return Found(
        tuple(sample.name for sample, _, _ in used),
        tuple(result for _, _, result in used),
        tuple(image for _, image, _ in used),
        sample_metadata(dataset, [sample for sample, _, _ in used]),
        tuple(sample for sample, _, _ in used),
        dataset,
    )


def show_folder(
    viewer: "ViewerModel", found: Found, name: str, *, reconstruction: bool = True
) -> "list[tuple[int, list[Layer]]]":
    """Show a folder's images and results: stacks if shapes agree, else the strangest singly.

    Returns
    -------
    list of (number of the first image, its layers)
        One entry for stacks.
    """
    if len({(image.shape, image.dtype) for image in found.images}) == 1:
        pixels = np.stack(found.images)
        rgb = found.images[0].ndim == 3
        labels = ("image", "y", "x")
        source = viewer.add_image(
            pixels, name=name, rgb=rgb, metadata=found.metadata, axis_labels=labels
        )
        results = list(found.results)
        added = add_to_viewer(viewer, results, source=source, reconstruction=reconstruction)
        return [(0, [source, *added])]
    return [
        (k, _show_one(viewer, found, k, visible=rank == 0, reconstruction=reconstruction))
        for rank, k in enumerate(_strangest(found))
    ]


def _show_one(
    viewer: "ViewerModel", found: Found, k: int, *, visible: bool, reconstruction: bool
) -> "list[Layer]":
    image = found.images[k]
    about = {key: row[k] if isinstance(row, list) else row for key, row in found.metadata.items()}
    source = viewer.add_image(image, name=found.names[k], rgb=image.ndim == 3, metadata=about)
    added = add_to_viewer(viewer, found.results[k], source=source, reconstruction=reconstruction)
    for layer in [source, *added]:
        layer.visible = layer.visible and visible
    return [source, *added]


def _strangest(found: Found) -> Iterable[int]:
    order = sorted(range(len(found.results)), key=lambda k: -found.results[k].score)
    if len(order) > LIST_IMAGES:
        warnings.warn(
            "the images differ in size, so each gets layers of its own; the "
            f"{LIST_IMAGES} with the highest scores are shown, {len(order) - LIST_IMAGES} are not",
            DataWarning,
            stacklevel=3,
        )
    return order[:LIST_IMAGES]


def _lean(result: Inspection, reconstruction: bool) -> Inspection:
    """Drop a reconstruction that will not be shown: it is most of a result's memory."""
    return (
        result if reconstruction else replace(result, reconstruction=np.zeros((0, 0), np.float32))
    )
