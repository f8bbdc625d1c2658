"""``napari-anomaly evaluate``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from napari_anomaly.cli.common import (
    check_stakes,
    check_writable,
    fitted_detector,
    loaded_detector,
    with_review,
)
from napari_anomaly.cli.saying import say
from napari_anomaly.options import USUAL, Device, Fitting, UsageError

if TYPE_CHECKING:
    from napari_anomaly.core.trials import ImageRow

_NAMED = 3  # failures of each kind


def evaluate(
    folder: Path,
    *,
    fitting: Fitting = USUAL,
    detector: Path | None = None,
    prevalence: float | None = None,
    costs: tuple[float, float] | None = None,
    device: Device = "auto",
    to_json: Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
    out: Path | None = None,
) -> None:
    """Fit to the good training images of a folder and measure on its test images.

    Parameters
    ----------
    folder
        In the MVTec layout: `train/good`, `test/KIND`, `ground_truth/KIND/NAME_mask.png`.
    detector
        A file to measure instead of fitting; of the options for fitting only --review goes with it.
    prevalence
        True share of defects in use, for the precision and the cost to be expected there.
    costs
        Of a false alarm and of an escape, in any one unit.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    to_json
        File for the numbers; `-` is standard output.
    out
        Folder for tables and figures.
    """
    if detector is not None and replace(fitting, review=None) != USUAL:
        raise UsageError("found --detector and options for fitting; expected one of them")
    check_stakes(prevalence, costs)
    for target in (to_json, out and out / "report.json"):
        if target is not None and target != Path("-"):
            check_writable(target)
    fitted = (
        fitted_detector(folder, fitting, device)
        if detector is None
        else with_review(loaded_detector(detector, device), fitting.review)
    )
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.report import evaluate_steps

    report = watched(evaluate_steps(fitted, folder, prevalence=prevalence, costs=costs))
    if out is not None:
        report.save(out)
    if to_json is not None:
        _write_json(to_json, report.metrics)
    if to_json != Path("-"):
        from napari_anomaly.core.words import bands, notes, table

        lines = (
            *table(report.metrics),
            *bands(report.metrics),
            *_failures(report.failures),
            *notes(report.metrics),
        )
        say("\n".join(lines))


def _failures(rows: "Sequence[ImageRow]") -> Iterator[str]:
    """Yield a line for each of the worst images of each kind of failure, and say how many more there are."""
    for outcome in dict.fromkeys(row.outcome for row in rows):
        some = [row for row in rows if row.outcome == outcome]
        worst = ", ".join(f"{row.name} ({row.score:.3g})" for row in some[:_NAMED])
        more = f", and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
        yield f"  {outcome} ({len(some)}): {worst}{more}"


def _write_json(target: Path, metrics: Mapping[str, Any]) -> None:
    text = json.dumps(metrics, indent=2, allow_nan=False)
    if target == Path("-"):
        say(text)
        return
    from napari_anomaly.core.data.files import write_atomically

    write_atomically(target, f"{text}\n".encode())
