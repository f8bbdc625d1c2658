"""What the table of images shows: columns, and which rows in which order. Fast enough for ten thousand."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from napari_anomaly.core.data.files import IMAGE_SUFFIXES
from napari_anomaly.core.data.folders import natural_key

if TYPE_CHECKING:
    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.ui.decisions import Decision
    from napari_anomaly.ui.inspected import Inspected

Sheet = dict[str, np.ndarray]
"""From a column's name to its values, one per image: text (object), numbers or bool."""

STATES = ("all", "fail", "review", "pass", "undecided", "unusable")
"""What the list can be narrowed to: a verdict, or what no person has said anything of."""

UNUSABLE = "unusable"
"""Stands where the verdict would, of an image that cannot be inspected."""

_RANK = {UNUSABLE: 0, "": 1, "pass": 2, "review": 3, "fail": 4}  # of verdicts: by how bad they are


def sheet_of(inspected: "Inspected") -> Sheet:
    """Return what does not change: names, where the images come from, and their scores."""
    count = len(inspected.names)
    samples = inspected.samples
    mvtec = inspected.dataset is not None and bool(inspected.dataset.test)
    blank = [""] * count
    splits = [str(sample.split) for sample in samples] if mvtec else blank
    defects = [sample.defect for sample in samples] if mvtec else blank
    names = [short(name) for name in inspected.names]
    words = map(" ".join, zip(inspected.names, splits, defects, strict=True))
    return {
        "image": _texts(names),
        "place": _places(inspected.names),
        "words": _texts([text.casefold() for text in words]),
        "score": np.asarray(inspected.scores, np.float64),
        "split": _texts(splits),
        "defect": _texts(defects),
        "file": np.array([bool(samples) and samples[k].mask_path is not None for k in range(count)]),
    }  # fmt: skip


def judged(inspected: "Inspected", calibration: "Calibration | None") -> Sheet:
    """Return what depends on the thresholds: p-values and verdicts."""
    count = len(inspected.names)
    verdicts: list[str] = [""] * count
    p_values = np.full(count, np.nan)
    if calibration is not None:
        verdicts = [verdict or "" for verdict in inspected.verdicts(calibration)]
        p_values = inspected.p_values(calibration)
    for number, reason in enumerate(inspected.reasons):
        if reason:
            verdicts[number] = UNUSABLE
    return {"verdict": _texts(verdicts), "p": p_values}


def decided(inspected: "Inspected", decisions: "Mapping[str, Decision]") -> Sheet:
    """Return what a person says of the images."""
    count = len(inspected.names)
    said = (
        [decisions.get(inspected.key(k), "") for k in range(count)] if decisions else [""] * count
    )
    return {"you": _texts(said)}


def masked(sheet: Sheet, painted: np.ndarray, dirty: np.ndarray) -> Sheet:
    """Return what is known of the ground truth: ``file``, ``painted`` or ``none``, and what is not saved."""
    status = np.where(sheet["file"] & ~dirty, "file", np.where(painted | dirty, "painted", "none"))
    return {"mask": status.astype(object), "dirty": dirty}


def arranged(sheet: Sheet, by: str, descending: bool, text: str, state: str) -> np.ndarray:
    """Return which images the table lists, in its order.

    Parameters
    ----------
    sheet : Sheet
        Complete.
    by : str
        The column that it is sorted by; what is equal there by descending score. NaN comes last either way.
    descending : bool
    text : str
        Words that must all be found in an image's name, split or defect, in any case.
    state : str
        One of `STATES`; ``"undecided"``: has a score, and no person has said good or defect.
    """
    keys = _sort_keys(sheet, by)
    order = np.lexsort((-sheet["score"], -keys if descending else keys))
    listed: np.ndarray = order[_wanted(sheet, text, state)[order]]
    return listed


def next_undecided(sheet: Sheet, order: np.ndarray, row: int) -> int | None:
    """Return the row of the next undecided image after this one, from the first again; None if all are decided."""
    rows = np.flatnonzero(_undecided(sheet)[order])
    if not len(rows):
        return None
    return int(rows[np.searchsorted(rows, row, side="right") % len(rows)])


def short(name: str) -> str:
    """Leave out what all names of a folder share."""
    path = PurePath(name.removeprefix("test/"))
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def _wanted(sheet: Sheet, text: str, state: str) -> np.ndarray:
    wanted = np.ones(len(sheet["score"]), bool)
    if state == "undecided":
        wanted &= _undecided(sheet)
    elif state != "all":
        wanted &= sheet["verdict"] == state
    for word in text.casefold().split():
        wanted &= np.array([word in words for words in sheet["words"]], bool)
    return wanted


def _undecided(sheet: Sheet) -> np.ndarray:
    undecided: np.ndarray = (sheet["you"] == "") & ~np.isnan(sheet["score"])
    return undecided


def _sort_keys(sheet: Sheet, by: str) -> np.ndarray:
    if by == "image":
        return sheet["place"]
    if by == "verdict":
        return np.array([_RANK[verdict] for verdict in sheet["verdict"]])
    values = sheet[by]
    return (
        np.unique(values.astype(str), return_inverse=True)[1] if values.dtype == object else values
    )


def _places(names: tuple[str, ...]) -> np.ndarray:
    """Return each name's place in natural order, 2 before 10."""
    order = sorted(range(len(names)), key=lambda k: natural_key(names[k]))
    places = np.empty(len(names), int)
    places[order] = np.arange(len(names))
    return places


def _texts(values: list[str]) -> np.ndarray:
    return np.array(values, object)
