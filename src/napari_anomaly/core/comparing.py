"""compare(): several methods on several folders, the same images, numbers and figures for each."""

import json
import platform
import re
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from napari_anomaly.core.compared import (
    Category,
    Entry,
    Seen,
    Shot,
    distinct,
    first_of_each_kind,
    table,
)
from napari_anomaly.core.costs import Stakes
from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.data.folders import Dataset, open_folder
from napari_anomaly.core.data.reading import page_of
from napari_anomaly.core.detector import Detector
from napari_anomaly.core.errors import AnomalyError, DataError, DataWarning, ImageError
from napari_anomaly.core.figures import png
from napari_anomaly.core.fitting import fit_steps
from napari_anomaly.core.methods.presets import recipe_of
from napari_anomaly.core.methods.recipes import AnyMethod, Recipe
from napari_anomaly.core.methods.settings import to_plain
from napari_anomaly.core.page import Figures, page
from napari_anomaly.core.panels import curves_figure, decisions_figure, kind_figure
from napari_anomaly.core.pictures import map_picture, mask_picture, photograph
from napari_anomaly.core.progress import labelled, watched
from napari_anomaly.core.report import evaluate_steps
from napari_anomaly.core.tables import csv_bytes
from napari_anomaly.core.trials import truth_of
from napari_anomaly.core.types import Image, Progress, Sample

Contender = str | Recipe | AnyMethod | Detector
"""A method's name, its knobs, a recipe; or a detector, which is not fitted again."""

Fit = Callable[[Dataset, Recipe], Generator[Progress, None, Detector]]

_PACKAGES = ("napari-anomaly", "jax", "flax", "numpy", "scipy", "scikit-image")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    Attributes
    ----------
    categories : tuple of Category
        One per folder.
    about : mapping
        Seed, options, versions, machine, date and seconds.
    problems : tuple of str
        Methods that could not be fitted to or measured on a folder, with the reason; or were not yet.
    """

    categories: tuple[Category, ...]
    about: Mapping[str, Any]
    problems: tuple[str, ...]

    @property
    def table(self) -> list[dict[str, Any]]:
        """Rows of numbers: for each category, kind of defect (None: all together) and method."""
        return table(self.categories)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write tables, figures and ``index.html``; files of the same names are replaced, each atomically.

        ``index.html`` holds everything a reader needs and comes last: where it lies, the rest is complete.
        """
        folder = Path(folder)
        figures: list[Figures] = []
        for category, name in zip(self.categories, self._folders(), strict=True):
            drawn = Figures(png(curves_figure(category)), png(decisions_figure(category)))
            figures.append(drawn)
            write_atomically(folder / name / "curves.png", drawn.curves)
            write_atomically(folder / name / "decisions.png", drawn.decisions)
            files = _file_names(["curves", "decisions", *category.kinds])[2:]
            for kind, file in zip(category.kinds, files, strict=True):
                picture = png(kind_figure(category, kind))
                write_atomically(folder / name / f"{file}.png", picture)
        rows = self.table
        write_atomically(folder / "comparison.csv", csv_bytes(list(rows[0]), rows))
        write_atomically(folder / "comparison.json", self._json())
        text = page(self.categories, figures, rows, self.about, self.problems)
        write_atomically(folder / "index.html", text.encode())
        return folder

    def _folders(self) -> list[str]:
        return _file_names(category.name for category in self.categories)

    def _json(self) -> bytes:
        entries = [
            {
                "category": category.name,
                "name": entry.method,
                **entry.report.metrics,
                "settings": entry.settings,
                "failures": [(row.name, row.outcome) for row in entry.report.failures],
            }
            for category in self.categories
            for entry in category.entries
        ]
        found = {"about": self.about, "problems": self.problems, "entries": entries}
        return json.dumps(found, indent=2, allow_nan=False).encode()


def compare(
    folders: Sequence[str | PathLike[str]] | str | PathLike[str],
    contenders: Sequence[Contender] | Mapping[str, Contender],
    **choices: Any,
) -> Comparison:
    """Fit several methods to several folders and measure all, with a progress bar on standard error.

    Takes the arguments of :func:`compare_steps`; blocks until done.
    """
    return watched(compare_steps(folders, contenders, **choices))


def compare_steps(
    folders: Sequence[str | PathLike[str]] | str | PathLike[str],
    contenders: Sequence[Contender] | Mapping[str, Contender],
    *,
    each: int = 2,
    prevalence: float | None = None,
    costs: tuple[float, float] | None = None,
    keep: str | PathLike[str] | None = None,
    so_far: Callable[[Comparison], object] | None = None,
    seed: int = 0,
    budget: float | None = None,
    false_alarm: float | None = None,
    review: float | None = None,
    calibration: float = 0.25,
    group: str | None = None,
) -> Generator[Progress, None, Comparison]:
    """Fit several methods to several folders and measure all, step by step.

    Every method gets the same split into train and calibration, and is shown on the same images: the first of each
    kind in the dataset's order.

    Parameters
    ----------
    folders : one or more folders
        In the MVTec layout, each a category.
    contenders : sequence or mapping
        Names of methods, knobs, recipes; or detectors, which are measured as they are. A mapping gives them names.
    each : int
        Images of each kind in the figures.
    prevalence, costs
        As for `evaluate_steps`.
    keep : folder, optional
        Gets each detector that was fitted, as ``CATEGORY/METHOD.anomaly``.
    so_far : callable, optional
        Gets what is finished: between two folders, and when an exception or closing ends the work early.
    seed, budget, false_alarm, review, calibration, group
        As for `fit_steps`; ``budget`` is that of each fit.

    Yields
    ------
    Progress

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If a folder has no test images, or no method could be measured on any folder.
    RecipeError
        For a method that does not exist; before any fit.

    Warns
    -----
    DataWarning
        For a method that is left out of a category, with the reason.
    """
    Stakes.of(prevalence, costs)
    datasets = _opened([folders] if isinstance(folders, str | PathLike) else folders)
    stakes = {"prevalence": prevalence, "costs": costs}
    fitting = {
        "seed": seed,
        "budget": budget,
        "false_alarm": false_alarm,
        "review": review,
        "calibration": calibration,
        "group": group,
    }
    work = _Work(
        dict(zip(distinct(one.root.name for one in datasets), datasets, strict=True)),
        _named(contenders),
        partial(_entry, fitting=fitting, stakes=stakes),
        partial(_about, time.monotonic(), datasets, {**fitting, **stakes}, each),
        None if keep is None else Path(keep),
    )
    yield from work.on_all(each, so_far)
    if not work.categories:
        raise DataError(f"no method could be measured on any folder: {'; '.join(work.problems)}")
    return work.comparison()


@dataclass(eq=False)
class _Work:
    """A comparison on its way: what is to be measured, and what was."""

    datasets: Mapping[str, Dataset]
    contenders: Mapping[str, Contender]
    measure: Callable[..., Generator[Progress, None, tuple[Detector, Entry]]]
    about: Callable[[], Mapping[str, Any]]
    keep: Path | None
    categories: list[Category] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tried: list[tuple[str, str]] = field(default_factory=list)

    def on_all(
        self, each: int, so_far: Callable[[Comparison], object] | None
    ) -> Generator[Progress, None, None]:
        """Measure every method on every folder."""

        def tell() -> None:
            if so_far is not None and self.categories:
                so_far(self.comparison())

        try:
            for k, name in enumerate(self.datasets):
                if k:
                    tell()
                yield from self.on(name, each)
        except BaseException:  # Ctrl-C too: what took hours is not lost
            tell()
            raise

    def on(self, name: str, each: int) -> Generator[Progress, None, None]:
        """Measure every method on one folder."""
        dataset = self.datasets[name]
        shots, images = _shots(first_of_each_kind(dataset, each))
        for method, contender in self.contenders.items():
            label = f"{name}, {method}"
            try:
                steps = self.measure(method, contender, dataset, images)
                detector, entry = yield from labelled(label, steps)
            except AnomalyError as error:
                self.tried.append((name, method))
                self.problems.append(f"{label}: {error}")
                warnings.warn(f"{label}: {error} (left out)", DataWarning, stacklevel=2)
            else:
                self.tried.append((name, method))
                self._add(name, shots, entry)
                if self.keep is not None and detector is not contender:
                    detector.save(self.keep / self._file_of(method))

    def comparison(self) -> Comparison:
        """Return what is finished; what is not is named among the problems."""
        missing = [
            f"{name}, {method}: not measured yet"
            for name in self.datasets
            for method in self.contenders
            if (name, method) not in self.tried
        ]
        return Comparison(tuple(self.categories), self.about(), (*self.problems, *missing))

    def _add(self, name: str, shots: tuple[Shot, ...], entry: Entry) -> None:
        if self.categories and self.categories[-1].name == name:
            last = self.categories.pop()
            self.categories.append(replace(last, entries=(*last.entries, entry)))
        else:
            self.categories.append(Category(name, shots, (entry,)))

    def _file_of(self, method: str) -> Path:
        """Where a detector of the last category is kept: beside the figures that `Comparison.save` writes."""
        folder = _file_names(one.name for one in self.categories)[-1]
        files = dict(zip(self.contenders, _file_names(self.contenders), strict=True))
        return Path(folder) / f"{files[method]}.anomaly"


def _opened(folders: Sequence[str | PathLike[str]]) -> list[Dataset]:
    datasets = [open_folder(folder) for folder in folders]
    for dataset in datasets:
        if not dataset.test:
            raise DataError(
                f"{dataset.root}: no test images; expected some in test/good/ and test/<defect>/ to compare methods on"
            )
    if not datasets:
        raise DataError("found no folders to compare methods on; expected at least one")
    return datasets


def _named(contenders: Sequence[Contender] | Mapping[str, Contender]) -> dict[str, Contender]:
    """Check every method, and give each a name of its own."""
    if not contenders:
        raise DataError("found no methods to compare; expected names of methods, or detectors")
    given = list(contenders.values() if isinstance(contenders, Mapping) else contenders)
    names = contenders if isinstance(contenders, Mapping) else map(_name_of, given)
    for one in given:
        if not isinstance(one, Detector):
            recipe_of(one)
    return dict(zip(distinct(names), given, strict=True))


def _name_of(one: Contender) -> str:
    if isinstance(one, Detector):
        return one.provenance.method
    return one if isinstance(one, str) else recipe_of(one).method.name


def _entry(
    method: str,
    contender: Contender,
    dataset: Dataset,
    images: Sequence[Image],
    *,
    fitting: Mapping[str, Any],
    stakes: Mapping[str, Any],
) -> Generator[Progress, None, tuple[Detector, Entry]]:
    """Fit, unless it is a detector; measure; look at the images that are shown."""
    if isinstance(contender, Detector):
        detector = contender
    else:
        detector = yield from fit_steps(dataset, contender, name=method, **fitting)
    report = yield from evaluate_steps(detector, dataset, **stakes)
    seen = tuple(_seen(detector, image) for image in images)
    lean = replace(report, exhibits=(), per_region=())  # full-size pictures nobody will look at
    return detector, Entry(method, to_plain(detector.recipe), lean, seen)


def _shots(samples: Sequence[Sample]) -> tuple[tuple[Shot, ...], list[Image]]:
    """Read the images to show; one that cannot be read is not shown, and told when it is measured."""
    shots, images = [], []
    for sample in samples:
        for shown, image in page_of(sample):
            if isinstance(image, ImageError):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # told when it is measured
                truth, _ = truth_of(shown, image.shape)
            shots.append(
                Shot(shown, photograph(image), None if truth is None else mask_picture(truth))
            )
            images.append(image)
    return tuple(shots), images


def _seen(detector: Detector, image: Image) -> Seen | None:
    try:
        found = detector.inspect(image)
    except ImageError:
        return None
    where = found.localises
    return Seen(
        photograph(found.reconstruction) if where else None,
        map_picture(found.anomaly_map, found.map_threshold) if where else None,
        mask_picture(found.labels > 0) if where else None,
        found.verdict,
        found.score,
        found.p_value,
    )


def _about(
    began: float, datasets: Sequence[Dataset], choices: Mapping[str, Any], each: int
) -> dict[str, Any]:
    return {
        "folders": [str(dataset.root) for dataset in datasets],
        "seed": choices.get("seed", 0),
        "options": {key: value for key, value in choices.items() if value is not None},
        "images shown": f"the first {each} of each kind, in order of name",
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(time.monotonic() - began, 1),
        "versions": {name: version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _file_names(names: Iterable[str]) -> list[str]:
    """Make names that any file system takes and tells apart; a longer list begins as a shorter one."""
    return distinct(map(_file_name, names), "{}_{}")


def _file_name(name: str) -> str:
    """Make a name that any file system takes."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "unnamed"
