"""``napari-anomaly compare``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from napari_anomaly.cli.common import check_stakes, check_writable, use
from napari_anomaly.cli.saying import say, tell
from napari_anomaly.options import Device, UsageError

if TYPE_CHECKING:
    from napari_anomaly.core.comparing import Contender


def compare(
    *folders: Path,
    out: Path,
    methods: str = "",
    detectors: str = "",
    seed: int = 0,
    budget: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    false_alarm: float | None = None,
    review: float | None = None,
    calibration: float = 0.25,
    group: str | None = None,
    data_range: tuple[float, float] | None = None,
    each: Annotated[int, Parameter(validator=Number(gte=1))] = 2,
    prevalence: float | None = None,
    costs: tuple[float, float] | None = None,
    device: Device = "auto",
) -> int:
    """Fit several methods to several folders, measure all, and show them beside each other on the same images.

    Writes `index.html` (everything, in one file), `comparison.csv`, `comparison.json`, a figure for each folder and
    kind of defect, and the detectors; after each folder, and with what was finished if it is stopped. Exit code 1 if a
    method was left out.

    Parameters
    ----------
    folders
        In the MVTec layout: `train/good`, `test/KIND`, `ground_truth/KIND/NAME_mask.png`.
    out
        Folder to write into; files of the same names are replaced.
    methods
        Names that `napari-anomaly methods` lists, with commas between them.
    detectors
        Files that `fit` wrote, with commas between them; measured on every folder, not fitted again.
    seed
        Decides the split into train and calibration, the same for all methods, and everything random in training.
    budget
        Seconds after which each training stops early.
    false_alarm
        Wanted share of good images that fail; default: 0.01, or the smallest the held-out images support.
    review
        Wanted share of good images that do not pass outright, at least the false-alarm rate (default: no such band).
    calibration
        Share of the good images held out for thresholds.
    group
        Regular expression; images whose names share its first group stay on one side of the split.
    data_range
        Intensities that mean black and white; default: the range of the pixels' type, 0 to 1 for floats.
    each
        Images of each kind in the figures: the first ones, in order of name.
    prevalence
        True share of defects in use, for the precision and the cost to be expected there.
    costs
        Of a false alarm and of an escape, in any one unit.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    """
    if not folders:
        raise UsageError("found no folders; expected one or more in the MVTec layout")
    check_writable(out / "index.html")
    check_stakes(prevalence, costs)
    names, files = _listed(methods), [Path(name) for name in _listed(detectors)]
    if not names and not files:
        raise UsageError(
            "found neither --methods nor --detectors; expected names with commas, such as linear,vae"
        )
    use(device)
    from napari_anomaly.core.comparing import compare_steps
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.words import comparison_lines

    pages: list[Path] = []
    contenders = {**_recipes(names, data_range), **_detectors(files, names)}
    steps = compare_steps(
        folders,
        contenders,
        each=each,
        prevalence=prevalence,
        costs=costs,
        keep=out,
        so_far=lambda found: pages.append(found.save(out) / "index.html"),
        seed=seed,
        budget=budget,
        false_alarm=false_alarm,
        review=review,
        calibration=calibration,
        group=group,
    )
    try:
        found = watched(steps)
    except BaseException:
        if pages:
            tell(f"Report of what was finished: {pages[-1]}")
        raise
    page = found.save(out) / "index.html"
    say("\n".join(comparison_lines(found.table)))
    tell(f"Report: {page}. Figures, tables and detectors are beside it.")
    return 1 if found.problems else 0


def _recipes(
    names: Sequence[str], data_range: tuple[float, float] | None
) -> "dict[str, Contender]":
    """Look every name up before a file is read."""
    from napari_anomaly.core.methods.presets import recipe_of
    from napari_anomaly.core.methods.settings import changed

    knobs = {} if data_range is None else {"data_range": data_range}
    return {name: changed(recipe_of(name), knobs) for name in names}


def _detectors(files: Sequence[Path], taken: Sequence[str]) -> "dict[str, Contender]":
    """Read detectors, each called after its file."""
    from napari_anomaly.core.compared import distinct
    from napari_anomaly.core.detector import load

    names = distinct([*taken, *(path.stem for path in files)])[len(taken) :]
    return {name: load(path) for name, path in zip(names, files, strict=True)}


def _listed(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]
