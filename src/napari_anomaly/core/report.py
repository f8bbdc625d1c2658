"""evaluate(): a detector against the test images of a dataset, in numbers, tables and pictures."""

import json
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.charts import decision_figure
from napari_anomaly.core.costs import Stakes
from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.data.folders import Dataset, open_folder
from napari_anomaly.core.errors import DataError, DataWarning
from napari_anomaly.core.figures import (
    Exhibit,
    curve_figure,
    gallery_figure,
    png,
    score_figure,
)
from napari_anomaly.core.measuring import Curves, measure
from napari_anomaly.core.progress import finished
from napari_anomaly.core.tables import REGION_COLUMNS, csv_bytes, region_row
from napari_anomaly.core.trials import ImageRow, Inspector, Trial, trials
from napari_anomaly.core.types import Progress, Region

_WORST = 4  # exhibits of each kind
_FAILURES = ("escape", "hit elsewhere", "false alarm")


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
    curves: Curves
    exhibits: tuple[Exhibit, ...]
    calibration: Calibration

    @property
    def per_defect(self) -> Mapping[str, Mapping[str, Any]]:
        """Metrics of each kind of defect against all good test images."""
        kinds: Mapping[str, Mapping[str, Any]] = self.metrics["per_defect"]
        return kinds

    @property
    def failures(self) -> tuple[ImageRow, ...]:
        """Images judged wrongly: escapes, defects found elsewhere than they are, false alarms; each worst first."""
        wrong = [row for row in self.per_image if row.outcome in _FAILURES]

        def badness(row: ImageRow) -> tuple[int, float, float]:
            sign = -1 if row.defect == "good" else 1
            return _FAILURES.index(row.outcome), sign * row.score, row.aupimo or 0.0

        return tuple(sorted(wrong, key=badness))

    def scores(self, *, good: bool) -> np.ndarray:
        """Scores of the good test images, or of the defects, ``(n,)``."""
        return np.array([r.score for r in self.per_image if (r.defect == "good") == good], float)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write tables and figures; files of the same names are replaced, each atomically.

        ``report.json`` comes last: where it lies, the report is complete.
        """
        folder = Path(folder)
        limits = limits_of(self.calibration)
        good, defective = self.scores(good=True), self.scores(good=False)
        rows = [{**asdict(row), "outcome": row.outcome} for row in self.per_image]
        failures = [
            {name: row[name] for name in _FAILURE_COLUMNS}
            for row in ({**asdict(one), "outcome": one.outcome} for one in self.failures)
        ]
        summary = {**self.metrics, "problems": self.problems, "failures": failures}
        files = {
            "scores.csv": csv_bytes(_SCORE_COLUMNS, rows),
            "regions.csv": csv_bytes(REGION_COLUMNS, [region_row(*one) for one in self.per_region]),
            "scores.png": png(score_figure(good.tolist(), defective.tolist(), limits)),
            "curves.png": png(curve_figure(self.curves)),
            "decisions.png": png(decision_figure(good, defective, self.metrics, limits)),
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
    prevalence: float | None = None,
    costs: tuple[float, float] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Report:
    """Inspect the test images of a dataset and compare with what is known about them.

    Takes the arguments of :func:`evaluate_steps`, and what to call at each step; blocks until done.
    """
    steps = evaluate_steps(detector, data, prevalence=prevalence, costs=costs)
    return finished(steps, progress)


def evaluate_steps(
    detector: Inspector,
    data: Dataset | str | PathLike[str],
    *,
    prevalence: float | None = None,
    costs: tuple[float, float] | None = None,
) -> Generator[Progress, None, Report]:
    """Inspect the test images of a dataset, step by step.

    Parameters
    ----------
    detector : Detector
    data : Dataset or folder
        Only ``data.test`` is used. Masks count at each image's own size. A defect whose mask is
        missing, empty or unusable counts among images but not among pixels.
    prevalence : float, optional
        True share of defects in use, for the precision to be expected there.
    costs : (float, float), optional
        Of a false alarm and of an escape, in any one unit; needs the prevalence.

    Yields
    ------
    Progress

    Returns
    -------
    Report

    Raises
    ------
    DataError
        If there is no test image, or none can be used; for a prevalence or costs that cannot be.

    Warns
    -----
    DataWarning
        For each image or mask that is left out.
    """
    stakes = Stakes.of(prevalence, costs)
    dataset = data if isinstance(data, Dataset) else open_folder(data)
    if not dataset.test:
        raise DataError(
            f"{dataset.root}: no test images; expected some in test/good/ and test/<defect>/; "
            "add them, or inspect single images instead"
        )
    results: list[Trial] = []
    faintest: list[Exhibit] = []
    strangest: list[Exhibit] = []
    for sample, tried in trials(detector, dataset.test):
        if isinstance(tried, str):
            warnings.warn(f"{sample.name}: {tried} (left out)", DataWarning, stacklevel=2)
            continue
        result, exhibit = tried
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
    results, numbers, curves = yield from measure(results, detector.calibration, stakes)
    return Report(
        metrics={**asdict(detector.provenance), **numbers},
        per_image=tuple(t.row for t in results),
        per_region=tuple((t.row.name, region) for t in results for region in t.regions),
        problems=(*dataset.problems, *_left_out(dataset, results)),
        curves=curves,
        exhibits=(*faintest, *strangest),
        calibration=detector.calibration,
    )


def limits_of(calibration: Calibration) -> dict[str, float]:
    """Name the thresholds of a detector, as figures do."""
    limits = {"fail above": calibration.threshold}
    if calibration.review is not None:
        limits["review above"] = calibration.review_threshold
    return limits


def _left_out(dataset: Dataset, results: Sequence[Trial]) -> tuple[str, ...]:
    used = {t.sample.path for t in results}
    return tuple(
        f"{sample.name}: could not be used; left out"
        for sample in dataset.test
        if sample.path not in used
    )


_SCORE_COLUMNS = (*(f.name for f in fields(ImageRow)), "outcome")
_FAILURE_COLUMNS = ("name", "defect", "outcome", "score", "p_value", "iou", "aupimo")
