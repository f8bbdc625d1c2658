"""The whole line on sample data: make pictures, fit, inspect, report."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from napari_anomaly.core.data.folders import open_folder
from napari_anomaly.core.data.synthetic import Material, write_sample_data
from napari_anomaly.core.detector import Detector
from napari_anomaly.core.fitting import fit_steps
from napari_anomaly.core.progress import labelled
from napari_anomaly.core.report import Report, evaluate_steps
from napari_anomaly.core.results import inspect_into
from napari_anomaly.core.types import Progress

MATERIALS: tuple[Material, ...] = ("fabric", "plate")
SIZE = (128, 128)
"""Height and width of the pictures, pixels."""


@dataclass(frozen=True)
class Shown:
    """What the demo made of one material: its pictures' folder, the detector fitted to them and its report."""

    data: Path
    detector: Detector
    report: Report


def demonstrate(
    folder: Path, *, train: int = 80, good: int = 8, each: int = 3
) -> Generator[Progress, None, dict[str, Shown]]:
    """Make the sample data and fit, inspect and report on each material.

    Parameters
    ----------
    folder : Path
        Gets ``sample_data/`` and for each material ``<material>/detector.anomaly``, ``<material>/report/`` and
        ``<material>/inspected/``; files of the same names are replaced.
    train, good, each : int
        Numbers of pictures, see `write_sample_data`.

    Yields
    ------
    Progress

    Returns
    -------
    dict
        Material to what was made of it.
    """
    yield Progress("drawing sample data", 0, 1)
    write_sample_data(folder / "sample_data", SIZE, train, good, each)
    yield Progress("drawing sample data", 1, 1)
    shown: dict[str, Shown] = {}
    for material in MATERIALS:
        steps = _line(folder / "sample_data" / material, folder / material)
        shown[material] = yield from labelled(material, steps)
    return shown


def _line(data: Path, out: Path) -> Generator[Progress, None, Shown]:
    dataset = open_folder(data)
    detector = yield from fit_steps(dataset, seed=0)
    detector.save(out / "detector.anomaly")
    report = yield from evaluate_steps(detector, dataset)
    report.save(out / "report")
    yield from inspect_into(out / "inspected", detector, [data / "test"])
    return Shown(data, detector, report)
