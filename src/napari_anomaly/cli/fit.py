"""``napari-anomaly fit``."""

from pathlib import Path

from napari_anomaly.cli.common import check_writable, fitted_detector
from napari_anomaly.cli.saying import say, tell
from napari_anomaly.options import USUAL, Device, Fitting, UsageError


def fit(
    folder: Path,
    *,
    out: Path,
    fitting: Fitting = USUAL,
    device: Device = "auto",
    resume: bool = False,
) -> int:
    """Train a detector on a folder of good images and write it to a file.

    Ctrl-C leaves the state of a training beside the file; go on with --resume.

    Parameters
    ----------
    folder
        A folder of good images, or one with `train/good` inside (MVTec layout).
    out
        The detector's file, ending in `.anomaly`; an existing one is replaced.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    resume
        Go on with the training that was interrupted.
    """
    if out.suffix != ".anomaly":
        raise UsageError(f"found --out {out}; expected a name ending in .anomaly")
    check_writable(out)
    state = out.with_name(f"{out.name}.partial")
    _check_state(state, resume)
    try:
        detector = fitted_detector(folder, fitting, device, state)
    except KeyboardInterrupt:
        tell(_how_to_go_on(state))
        return 130
    detector.save(out)
    from napari_anomaly.core.words import about_detector

    say("\n".join(about_detector(detector)))
    say(f"Written to {out}")
    return 0


def _check_state(state: Path, resume: bool) -> None:
    if state.exists() and not resume:
        raise UsageError(
            f"{state}: the state of an interrupted training. Give --resume to go on with it, or remove the file to "
            "start anew"
        )
    if resume and not state.exists():
        tell(f"{state}: no such file, so there is nothing to resume; starting anew")


def _how_to_go_on(state: Path) -> str:
    if not state.exists():
        return "Stopped before there was anything to resume."
    how = "To go on, run the same command again with --resume"
    return f"Stopped. The state of the training is in {state}\n{how}"
