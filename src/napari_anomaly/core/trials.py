"""The test images, one by one: inspected, and compared with what is known about them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.data.folders import mask_of
from napari_anomaly.core.data.reading import pages_among, read_through
from napari_anomaly.core.errors import ImageError
from napari_anomaly.core.figures import Exhibit
from napari_anomaly.core.metrics import Confusion, PixelScores, pixel_confusion, pixel_scores
from napari_anomaly.core.threads import first_alone
from napari_anomaly.core.types import Image, Inspection, Region, Sample, Verdict

Outcome = Literal["pass", "false alarm", "review", "escape", "hit", "hit elsewhere"]


@runtime_checkable
class Inspector(Protocol):
    """What an evaluation needs of a detector."""

    @property
    def calibration(self) -> Calibration:
        """Where the thresholds come from."""

    @property
    def provenance(self) -> Any:
        """A dataclass with method, seed, version, device, n_train, n_calibration, fit_seconds."""

    def inspect(self, image: Image) -> Inspection:
        """Find what does not belong in one image."""


@dataclass(frozen=True)
class ImageRow:
    """One test image in the table of scores.

    Attributes
    ----------
    name, defect : str
        As in `Sample`.
    score, p_value : float
    verdict : {"pass", "review", "fail"}
    n_regions : int
        Regions that were found.
    mask : bool
        Whether its pixels have ground truth: a good image, or a defect with a usable mask.
    iou : float or None
        Intersection over union of mask and map above its threshold; None without defective pixels, or a map.
    aupimo : float or None
        See `per_image_overlap`; None where it is not defined.
    inspect_ms : float
    """

    name: str
    defect: str
    score: float
    p_value: float
    verdict: Verdict
    n_regions: int
    mask: bool
    iou: float | None
    aupimo: float | None
    inspect_ms: float

    @property
    def outcome(self) -> Outcome:
        """How the verdict compares with the truth.

        ``"hit elsewhere"``: a defect fails, but its map is above the threshold nowhere on the mask.
        """
        if self.verdict == "review":
            return "review"
        if self.defect == "good":
            return "false alarm" if self.verdict == "fail" else "pass"
        if self.verdict == "pass":
            return "escape"
        return "hit elsewhere" if self.iou == 0 else "hit"


@dataclass(frozen=True, eq=False)
class Trial:
    """What is kept of one image: everything but its map."""

    sample: Sample
    row: ImageRow
    regions: tuple[Region, ...]
    pixels: PixelScores | None
    counts: Confusion | None
    problem: str | None


def trials(
    detector: Inspector, samples: Sequence[Sample]
) -> Iterator[tuple[Sample, tuple[Trial, Exhibit] | str]]:
    """Yield samples, read, inspected and compared in threads, in order; the reason where the detector cannot."""

    def one(page: tuple[Sample, Image]) -> tuple[Trial, Exhibit] | str:
        try:
            return _inspect(detector, *page)
        except ImageError as error:
            return str(error)

    alone = first_alone(one)
    return read_through(samples, pages_among(samples), lambda *page: alone(page))


def _inspect(detector: Inspector, sample: Sample, image: Image) -> tuple[Trial, Exhibit]:
    began = time.perf_counter()
    found = detector.inspect(image)
    milliseconds = 1000 * (time.perf_counter() - began)
    gt_mask, problem = truth_of(sample, image.shape)
    pixels = counts = None
    if gt_mask is not None and found.localises:
        pixels = pixel_scores(found.anomaly_map, gt_mask)
        counts = pixel_confusion(found.anomaly_map, gt_mask, found.map_threshold)
    row = ImageRow(
        name=sample.name,
        defect=sample.defect,
        score=found.score,
        p_value=found.p_value,
        verdict=found.verdict,
        n_regions=len(found.regions),
        mask=gt_mask is not None,
        iou=counts.iou if counts is not None and sample.defect != "good" else None,
        aupimo=None,  # needs the other images
        inspect_ms=milliseconds,
    )
    shown = found.anomaly_map if found.localises else None
    title = f"{sample.name}\n{found.verdict}, score {found.score:.3g}, p = {found.p_value:.2g}"
    return (
        Trial(sample, row, found.regions, pixels, counts, problem),
        Exhibit(title, image, shown, found.labels, gt_mask, found.score),
    )


def truth_of(
    sample: Sample, shape: tuple[int, ...]
) -> tuple[Bool[np.ndarray, "y x"] | None, str | None]:
    """Read the mask of a sample; None where the truth about its pixels is unknown. And what is wrong with the mask."""
    try:
        gt_mask = mask_of(sample, shape)
    except ImageError as error:
        return None, str(error)
    if gt_mask is None or (sample.defect != "good" and not gt_mask.any()):
        return None, None
    return gt_mask, None
