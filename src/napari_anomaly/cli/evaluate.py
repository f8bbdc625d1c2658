"""``napari-anomaly evaluate``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from napari_anomaly.cli.common import check_writable, fitted_detector, loaded_detector
from napari_anomaly.cli.saying import say
from napari_anomaly.options import USUAL, Device, Fitting, UsageError

if TYPE_CHECKING:
    from napari_anomaly.core.report import Report


def evaluate(
    folder: Path,
    *,
    fitting: Fitting = USUAL,
    detector: Path | None = None,
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
        A file to measure instead of fitting.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    to_json
        File for the numbers; `-` is standard output.
    out
        Folder for tables and figures.
    """
    if detector is not None and fitting != USUAL:
        raise UsageError("found --detector and options for fitting; expected one of them")
    for target in (to_json, out and out / "report.json"):
        if target is not None and target != Path("-"):
            check_writable(target)
    report = _evaluated(folder, fitting, detector, device)
    if out is not None:
        report.save(out)
    if to_json is not None:
        _write_json(to_json, report.metrics)
    if to_json != Path("-"):
        from napari_anomaly.core.words import table

        say("\n".join(table(report.metrics)))


def _evaluated(folder: Path, fitting: Fitting, detector: Path | None, device: Device) -> "Report":
    fitted = (
        fitted_detector(folder, fitting, device)
        if detector is None
        else loaded_detector(detector, device)
    )
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.report import evaluate_steps

    return watched(evaluate_steps(fitted, folder))


def _write_json(target: Path, metrics: Mapping[str, Any]) -> None:
    text = json.dumps(metrics, indent=2, allow_nan=False)
    if target == Path("-"):
        say(text)
        return
    from napari_anomaly.core.data.files import write_atomically

    write_atomically(target, f"{text}\n".encode())
