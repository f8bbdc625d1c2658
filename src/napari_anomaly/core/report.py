"""evaluate(): a detector against the test images of a dataset, in numbers, tables and pictures."""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.data.folders import Dataset, mask_of, open_folder
from napari_anomaly.core.data.reading import pages_among, read_through
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.figures import (
    Exhibit,
    Line,
    curve_figure,
    gallery_figure,
    png,
    score_figure,
    thinned,
)
from napari_anomaly.core.metrics import (
    Confusion,
    PixelCurve,
    PixelScores,
    RankCurve,
    pixel_confusion,
    pixel_curve,
    pixel_scores,
    rank_curve,
)
from napari_anomaly.core.progress import finished
from napari_anomaly.core.tables import REGION_COLUMNS, csv_bytes, region_row
from napari_anomaly.core.threads import first_alone
from napari_anomaly.core.types import Image, Inspection, Progress, Region, Sample, Verdict

if sys.platform != "win32":
    import resource

_WORST = 4  # exhibits of each kind


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
    inspect_ms: float


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found.

    Attributes
    ----------
    metrics : mapping
        The flat numbers of ``napari-anomaly evaluate --json``; None where one cannot be computed.
    per_image : tuple of ImageRow
        In the order of the dataset.
    per_region : tuple of (str, Region)
        Name of the image and region, for all that were found.
    problems : tuple of str
        What is wrong with the dataset and which images were left out.
    curves : mapping
        ``"ROC"``, ``"precision-recall"`` or ``"PRO"`` -> ``"images"`` or ``"pixels"`` -> x and y.
    exhibits : tuple of Exhibit
        Defects that scored lowest, then normal images that scored highest.
    calibration : Calibration
        Of the detector.
    """

    metrics: Mapping[str, Any]
    per_image: tuple[ImageRow, ...]
    per_region: tuple[tuple[str, Region], ...]
    problems: tuple[str, ...]
    curves: Mapping[str, Mapping[str, Line]]
    exhibits: tuple[Exhibit, ...]
    calibration: Calibration

    @property
    def per_defect(self) -> Mapping[str, Mapping[str, Any]]:
        """Metrics of each kind of defect against all good test images."""
        kinds: Mapping[str, Mapping[str, Any]] = self.metrics["per_defect"]
        return kinds

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write tables and figures; files of the same names are replaced, each atomically.

        ``report.json`` comes last: where it lies, the report is complete.
        """
        folder = Path(folder)
        good = [row.score for row in self.per_image if row.defect == "good"]
        defective = [row.score for row in self.per_image if row.defect != "good"]
        summary = {**self.metrics, "problems": self.problems}
        files = {
            "scores.csv": csv_bytes(_SCORE_COLUMNS, [asdict(row) for row in self.per_image]),
            "regions.csv": csv_bytes(REGION_COLUMNS, [region_row(*one) for one in self.per_region]),
            "scores.png": png(score_figure(good, defective, _limits(self.calibration))),
            "curves.png": png(curve_figure(self.curves)),
            "gallery.png": png(gallery_figure(self.exhibits, self.calibration.map_threshold)),
            "report.json": json.dumps(summary, indent=2, allow_nan=False).encode(),
        }
        for name, content in files.items():
            write_atomically(folder / name, content)
        return folder


def evaluate(
    detector: Inspector,
    data: Dataset | str | PathLike[str],
    *,
    progress: Callable[[Progress], object] | None = None,
) -> Report:
    """Inspect the test images of a dataset and compare with what is known about them.

    Takes the arguments of :func:`evaluate_steps`, and what to call at each step; blocks until done.
    """
    return finished(evaluate_steps(detector, data), progress)


def evaluate_steps(
    detector: Inspector, data: Dataset | str | PathLike[str]
) -> Generator[Progress, None, Report]:
    """Inspect the test images of a dataset, step by step.

    Parameters
    ----------
    detector : Detector
    data : Dataset or folder
        Only ``data.test`` is used. Masks count at each image's own size. A defect whose mask is
        missing, empty or unusable counts among images but not among pixels.

    Yields
    ------
    Progress

    Returns
    -------
    Report

    Raises
    ------
    DataError
        If there is no test image, or none can be used.

    Warns
    -----
    DataWarning
        For each image or mask that is left out.
    """
    dataset = data if isinstance(data, Dataset) else open_folder(data)
    if not dataset.test:
        raise DataError(
            f"{dataset.root}: no test images; expected some in test/good/ and test/<defect>/; "
            "add them, or inspect single images instead"
        )
    results: list[_Result] = []
    faintest: list[Exhibit] = []
    strangest: list[Exhibit] = []
    for sample, inspected in _inspected(detector, dataset.test):
        if isinstance(inspected, str):
            warnings.warn(f"{sample.name}: {inspected} (left out)", DataWarning, stacklevel=2)
            continue
        result, exhibit = inspected
        if result.problem:
            warnings.warn(f"{result.problem} (mask left out)", DataWarning, stacklevel=2)
        results.append(result)
        if sample.defect == "good":
            strangest = sorted([*strangest, exhibit], key=lambda e: -e.score)[:_WORST]
        else:
            faintest = sorted([*faintest, exhibit], key=lambda e: e.score)[:_WORST]
        yield Progress("inspecting", len(results), max(len(results), len(dataset.test)))
    if not results:
        raise DataError(f"{dataset.root}: the detector could use none of the test images")
    numbers, pixels = yield from _measure(results)
    return Report(
        metrics={
            **asdict(detector.provenance),
            **_cost(results),
            "false_alarm_target": detector.calibration.false_alarm,
            **numbers,
        },
        per_image=tuple(r.row for r in results),
        per_region=tuple((r.row.name, region) for r in results for region in r.regions),
        problems=(*dataset.problems, *_left_out(dataset, results)),
        curves=_curves(_image_curve(results), pixels),
        exhibits=(*faintest, *strangest),
        calibration=detector.calibration,
    )


@dataclass(frozen=True, eq=False)
class _Result:
    """What is kept of one image: everything but its map."""

    sample: Sample
    row: ImageRow
    regions: tuple[Region, ...]
    pixels: PixelScores | None
    counts: Confusion | None
    problem: str | None


def _inspected(
    detector: Inspector, samples: Sequence[Sample]
) -> Iterator[tuple[Sample, tuple[_Result, Exhibit] | str]]:
    """Yield samples, read, inspected and compared in threads, in order; the reason where the detector cannot."""

    def one(page: tuple[Sample, Image]) -> tuple[_Result, Exhibit] | str:
        try:
            return _inspect(detector, *page)
        except ImageError as error:
            return str(error)

    alone = first_alone(one)
    return read_through(samples, pages_among(samples), lambda *page: alone(page))


def _inspect(detector: Inspector, sample: Sample, image: Image) -> tuple[_Result, Exhibit]:
    began = time.perf_counter()
    found = detector.inspect(image)
    milliseconds = 1000 * (time.perf_counter() - began)
    gt_mask, problem = _truth(sample, image.shape)
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
        inspect_ms=milliseconds,
    )
    title = f"{sample.name}\n{found.verdict}, score {found.score:.3g}, p = {found.p_value:.2g}"
    return (
        _Result(sample, row, found.regions, pixels, counts, problem),
        Exhibit(title, image, found.anomaly_map, found.labels, gt_mask, found.score),
    )


def _truth(
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


def _measure(
    results: Sequence[_Result],
) -> Generator[Progress, None, tuple[dict[str, Any], PixelCurve | None]]:
    """All numbers, overall and for each kind of defect, and the curve of all pixels."""
    kinds = sorted({r.sample.defect for r in results} - {"good"})
    yield Progress("measuring", 0, len(kinds) + 1)
    pixels = _pixel_curve(results)
    overall = _numbers(results, pixels)
    per_defect = {}
    for step, kind in enumerate(kinds, start=1):
        yield Progress("measuring", step, len(kinds) + 1)
        some = [r for r in results if r.sample.defect in ("good", kind)]
        same = len(some) == len(results)
        per_defect[kind] = {
            "n": sum(r.sample.defect == kind for r in some),
            "n_masks": sum(r.sample.defect == kind and r.row.mask for r in some),
            **(overall if same else _numbers(some, _pixel_curve(some))),
        }
    yield Progress("measuring", len(kinds) + 1, len(kinds) + 1)
    false_alarms = [r.row.verdict == "fail" for r in results if r.sample.defect == "good"]
    return {**overall, "false_alarm_rate": _share(false_alarms), "per_defect": per_defect}, pixels


def _numbers(results: Sequence[_Result], pixels: PixelCurve | None) -> dict[str, float | None]:
    """Metrics that hold for all defects as well as for one kind."""
    images = _image_curve(results)
    counts = sum((r.counts for r in results if r.counts), start=Confusion(0, 0, 0, 0))
    escapes = [r.row.verdict != "fail" for r in results if r.sample.defect != "good"]
    return {
        "image_auroc": images.auroc if images else None,
        "image_ap": images.average_precision if images else None,
        "pixel_auroc": pixels.auroc if pixels else None,
        "pixel_ap": pixels.average_precision if pixels else None,
        "aupro_30": pixels.aupro(0.3) if pixels else None,
        "aupro_05": pixels.aupro(0.05) if pixels else None,
        "pixel_f1_at_threshold": counts.f1 if pixels else None,
        "pixel_iou_at_threshold": counts.iou if pixels else None,
        "escape_rate": _share(escapes),
    }


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _image_curve(results: Sequence[_Result]) -> RankCurve | None:
    good = [r.row.score for r in results if r.sample.defect == "good"]
    defective = [r.row.score for r in results if r.sample.defect != "good"]
    return rank_curve(np.array(good), np.array(defective)) if good and defective else None


def _pixel_curve(results: Sequence[_Result]) -> PixelCurve | None:
    parts = [r.pixels for r in results if r.pixels is not None]
    rankable = any(p.n_regions for p in parts) and any(p.normal.size for p in parts)
    return pixel_curve(parts) if rankable else None


def _cost(results: Sequence[_Result]) -> dict[str, int | float | None]:
    good = sum(r.sample.defect == "good" for r in results)
    return {
        "n_test_good": good,
        "n_test_defect": len(results) - good,
        # The median leaves out the first image, which pays for compiling.
        "inspect_ms_per_image": statistics.median(r.row.inspect_ms for r in results),
        "peak_rss_mb": _peak_rss_mb(),
    }


def _peak_rss_mb() -> float | None:
    """Peak memory of this process so far, fitting included if it was done here; None on Windows."""
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _left_out(dataset: Dataset, results: Sequence[_Result]) -> tuple[str, ...]:
    used = {r.sample.path for r in results}
    return tuple(
        f"{sample.name}: could not be used; left out"
        for sample in dataset.test
        if sample.path not in used
    )


def _curves(images: RankCurve | None, pixels: PixelCurve | None) -> dict[str, dict[str, Line]]:
    ranks = {"images": images, "pixels": pixels.ranks if pixels else None}
    known = {name: rank for name, rank in ranks.items() if rank}
    return {
        "ROC": {name: thinned(rank.roc()) for name, rank in known.items()},
        "precision-recall": {n: thinned(rank.precision_recall()) for n, rank in known.items()},
        "PRO": {"pixels": thinned(pixels.pro())} if pixels else {},
    }


def _limits(calibration: Calibration) -> dict[str, float]:
    limits = {"fail above": calibration.threshold}
    if calibration.review is not None:
        limits["review above"] = calibration.review_threshold
    return limits


_SCORE_COLUMNS = tuple(f.name for f in fields(ImageRow))
