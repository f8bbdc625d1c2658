"""What several commands do: use a device, read or fit a detector, refuse early what could not be written."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anomaly.options import Device, Fitting, UsageError

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector


def fitted_detector(
    folder: Path, fitting: Fitting, device: Device, state: Path | None = None
) -> "Detector":
    """Fit a detector as the options say, with a progress bar; its state is kept in a file if one is given."""
    recipe = fitting.recipe
    use(device)
    from napari_anomaly.core.fitting import fit_steps
    from napari_anomaly.core.methods.presets import recipe_of
    from napari_anomaly.core.progress import watched

    name = fitting.method or "linear"
    if recipe_of(name).method.name != recipe.method.name:  # --set method={"name": ...}
        name = recipe.method.name
    return watched(fit_steps(folder, recipe, state_file=state, name=name, **fitting.given))


def loaded_detector(path: Path, device: Device = "auto") -> "Detector":
    """Read a detector, to compute on a device."""
    use(device)
    from napari_anomaly.core.detector import load

    return load(path)


def with_review(detector: "Detector", review: float | None) -> "Detector":
    """Return the detector with a review band beside its false-alarm rate, if one is wanted."""
    if review is None:
        return detector
    return detector.calibrate(false_alarm=detector.calibration.false_alarm, review=review)


def check_stakes(prevalence: float | None, costs: tuple[float, float] | None) -> None:
    """Refuse before hours of fitting what could not be used after them."""
    from napari_anomaly.core.costs import Stakes

    Stakes.of(prevalence, costs)


def use(device: Device) -> None:
    """Compute on this device from now on."""
    from napari_anomaly.core.nn.devices import use

    use(device)


def check_writable(target: Path) -> None:
    """Refuse before hours of work what could not be written after them."""
    if target.is_dir() and target.suffix:
        raise UsageError(f"{target}: a folder; expected the name of a file to write")
    folder = next(one for one in target.absolute().parents if one.exists())
    if not folder.is_dir():
        raise UsageError(f"{folder}: a file; expected a folder to write into")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: no permission to write; choose another place")
