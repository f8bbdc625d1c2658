"""What a comparison holds: categories, the images shown of each, and what every method made of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_anomaly.core.data.folders import Dataset
from napari_anomaly.core.pictures import Picture
from napari_anomaly.core.report import Report
from napari_anomaly.core.types import Sample, Verdict

OVERALL = (
    *("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05", "aupimo"),
    *("pixel_f1_at_threshold", "false_alarm_target", "false_alarm_rate", "escape_rate"),
    *("cpu_good", "cpl_defect", "fit_seconds", "inspect_ms_per_image"),
)
"""Numbers of a method on a category, of the flat numbers of its report."""

OF_A_KIND = (
    *("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05", "aupimo"),
    *("pixel_f1_at_threshold", "escape_rate", "cpl_defect"),
)
"""Numbers of a method on one kind of defect."""

_PAST_REVIEW = "escape_rate_past_review"

IN_USE = (_PAST_REVIEW, "ppv_at_prevalence", "expected_cost")
"""Further numbers, where they were asked for."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One image as a comparison shows it, small.

    Attributes
    ----------
    sample : Sample
    photograph : picture
    truth : picture or None
        Its mask; None where the truth about its pixels is unknown.
    """

    sample: Sample
    photograph: Picture
    truth: Picture | None


@dataclass(frozen=True, eq=False)
class Seen:
    """What one detector made of one image, small; without pictures, if it does not localise."""

    reconstruction: Picture | None
    anomaly_map: Picture | None
    regions: Picture | None
    verdict: Verdict
    score: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Entry:
    """One method on one category.

    Attributes
    ----------
    method : str
        Its name in the comparison.
    settings : mapping
        The whole recipe, as plain values.
    report : Report
    seen : tuple of Seen or None
        One per `Category.shots`; None where the detector cannot use the image.
    """

    method: str
    settings: Mapping[str, Any]
    report: Report
    seen: tuple[Seen | None, ...]


@dataclass(frozen=True, eq=False)
class Category:
    """One folder: the images shown of it, and an entry for each method."""

    name: str
    shots: tuple[Shot, ...]
    entries: tuple[Entry, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of defects, then ``"good"``, as far as images of them are shown."""
        kinds = dict.fromkeys(shot.sample.defect for shot in self.shots)
        return tuple(sorted(kinds, key=lambda kind: (kind == "good", kind)))

    def places(self, kind: str) -> tuple[int, ...]:
        """Return which of `shots` show a kind."""
        return tuple(k for k, shot in enumerate(self.shots) if shot.sample.defect == kind)


def first_of_each_kind(dataset: Dataset, each: int) -> list[Sample]:
    """Choose the images to show: the first of each kind in the dataset's order, whatever was found in them."""
    taken: dict[str, list[Sample]] = {}
    for sample in dataset.test:
        same = taken.setdefault(sample.defect, [])
        if len(same) < each:
            same.append(sample)
    return [sample for same in taken.values() for sample in same]


def table(categories: Sequence[Category]) -> list[dict[str, Any]]:
    """One row for each category, kind of defect (None: all together) and method."""
    return [row for category in categories for row in _rows(category)]


def distinct(names: Iterable[str], taken: str = "{} ({})") -> list[str]:
    """Number names that come again, so that each is its own; letter case does not tell them apart."""
    seen: set[str] = set()
    result = []
    for name in names:
        new, number = name, 1
        while new.casefold() in seen:
            number += 1
            new = taken.format(name, number)
        seen.add(new.casefold())
        result.append(new)
    return result


def _rows(category: Category) -> Iterable[dict[str, Any]]:
    for entry in category.entries:
        start = {"category": category.name, "defect": None, "method": entry.method}
        metrics = entry.report.metrics
        reviewed = metrics["review_target"] is not None  # otherwise it repeats the escapes
        yield {
            **start,
            "n": metrics["n_test_defect"],
            **_chosen(metrics, (*OVERALL, *IN_USE), reviewed),
        }
        for kind, numbers in entry.report.per_defect.items():
            chosen = _chosen(numbers, (*OF_A_KIND, _PAST_REVIEW), reviewed)
            yield {**start, "defect": kind, "n": numbers["n"], **chosen}


def _chosen(numbers: Mapping[str, Any], names: Sequence[str], reviewed: bool) -> dict[str, Any]:
    return {name: numbers[name] if reviewed or name != _PAST_REVIEW else None for name in names}
